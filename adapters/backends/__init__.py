"""Array backends with their libraries' native primitives, and what they share.

Each module imports its library, so the core imports none of them until one of its arrays arrives.
"""
