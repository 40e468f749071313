"""What the backends that compute on the host's own cores have in common."""

from __future__ import annotations

__all__ = ["cached_pairs_per_tile"]

CACHED_PAIRS = 2**15
"""Pairs whose temporaries, a dozen arrays of four or eight bytes a pair, stay in a core's second-level cache.

It is also the size up to which PyTorch works on one thread, and so does not wait for a busy core.
"""


def cached_pairs_per_tile(within_budget: int) -> int:
    """Return the pairs of a tile that fits both the memory budget and the cache."""
    return min(within_budget, CACHED_PAIRS)
