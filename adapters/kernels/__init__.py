"""The loops compiled with numba, the extra ``fast``, and what asks them; importing this imports no numba."""
