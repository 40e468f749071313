"""Reference implementations of the assigners, in plain Python and NumPy, with nothing of the core in them."""
