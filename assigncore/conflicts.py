"""One prior, several ground truths: who gets it."""

from __future__ import annotations

from assigncore.backend import Array, ArrayBackend

__all__ = ["best_claim"]


def best_claim(
    backend: ArrayBackend, index: Array, value: Array, claims: Array, num_priors: int, *, nothing: float
) -> tuple[Array, Array]:
    """Give each prior to the ground truth that claims it with the largest value; the first on ties.

    Parameters
    ----------
    backend : ArrayBackend
        The library of the arrays.
    index : array (B, G, K) of integers
        The priors each ground truth may claim, from 0.
    value : array (B, G, K)
        What they compete by.
    claims : array (B, G, K) of bool
        Whether the ground truth claims the prior.
    num_priors : int
        Number of priors: N.
    nothing : float
        The value of a prior that nobody claims; less than any other.

    Returns
    -------
    gt_inds : array (B, N) of integers
        Index + 1 of the ground truth, 0 where nobody claims the prior.
    values : array (B, N)
        The value it was won by.
    """
    xp = backend.xp
    images, n_gts, k = (int(n) for n in index.shape)
    flat = (images, n_gts * k)
    index, claims = xp.reshape(index, flat), xp.reshape(claims, flat)
    value = xp.where(claims, xp.reshape(value, flat), nothing)
    best = backend.scatter_max(index, value, num_priors, fill=nothing)
    wins = claims & (value == xp.take_along_axis(best, index, axis=-1))
    # Counted down, so that the largest place is the first ground truth's.
    device = backend.device_of(index)
    down = xp.arange(n_gts, 0, -1, dtype=index.dtype, device=device)
    down = xp.reshape(xp.broadcast_to(down[None, :, None], (images, n_gts, k)), flat)
    place = backend.scatter_max(index, xp.where(wins, down, 0), num_priors)
    return xp.where(place > 0, n_gts + 1 - place, 0), best
