"""Generated and stated scenes: how an assigner is given them, and its answers are held against NumPy's."""
