"""Adapters: array backends, compiled loops, and drop-ins for detection frameworks.

Each module imports its framework, so the core imports none of them until one of its arrays arrives.
"""
