"""Matching by dynamic k: each ground truth takes as many of its cheapest priors as its overlaps add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assigncore.assigners.counted_rows import WORTHWHILE, Rows, counted_rows, num_counted
from assigncore.assigners.offers import (
    FORBIDDEN,
    Offer,
    Pricing,
    dynamic_count,
    largest_overlaps,
    offer_rows,
    offer_with_demand,
)
from assigncore.backend import Array, get_backend
from assigncore.coordinates import at_least, rounded_product
from assigncore.overlaps import zero_when_disjoint
from assigncore.scene import Scene

__all__ = ["Shortlist", "match_dynamic_k", "overlap_cost", "weighted"]


@dataclass(frozen=True, eq=False)
class Shortlist:
    """Priors that are most likely enough for all ground truths to choose from.

    Attributes
    ----------
    listed : array (B, N) of bool
        Which they are.
    floor : float
        What any other prior that counts costs any ground truth at least.
    predictions : array (B or 1, N, C)
        All that can make a cost infinite, or NaN.
    limit : float
        The largest size of predictions that surely makes none so.
    """

    listed: Array
    floor: float
    predictions: Array
    limit: float


def overlap_cost(calculator: Any, overlaps: Array, eps: float, weight: float) -> Array:
    """Return the weighted negative logarithm of overlaps, of which one below 0 counts as 0."""
    if not zero_when_disjoint(calculator):
        overlaps = at_least(overlaps, 0.0)
    return weighted(get_backend(overlaps).xp.log(overlaps + eps), -weight)


def weighted(cost: Array, weight: float) -> Array:
    """Return a cost times its weight, rounded before anything is added."""
    return cost if weight == 1 else rounded_product(cost, float(weight))


def match_dynamic_k(
    scene: Scene,
    counted: Array,
    k: int,
    pricing: Pricing,
    *,
    nothing: float,
    shortlist: Shortlist | None = None,
) -> tuple[Array, Array]:
    """Match each ground truth with its dynamic k cheapest priors, and each prior with one ground truth.

    The dynamic k of a ground truth is the sum of its `k` largest overlaps, truncated, and at least 1. A prior
    that several ground truths choose goes to the one it is cheapest for among all ground truths, also where
    that one did not choose it; so a ground truth may end with none.

    Parameters
    ----------
    scene : Scene
        Neither without priors nor without ground truths.
    counted : array (B, N) of bool
        False where a prior cannot be chosen and its overlaps do not count.
    k : int
        How many overlaps are added up, and the most priors a ground truth can choose.
    pricing : Pricing
        Gives overlaps and costs.
    nothing : float
        The overlap of a prior that nobody has; less than any other.
    shortlist : Shortlist, optional
        Spares costs; it changes nothing, since all priors are priced where it turns out too short. The host
        must be able to read the arrays.

    Returns
    -------
    gt_inds : array (B, N) of integers
        Index + 1 of the ground truth, 0 where nobody has the prior.
    overlaps : array (B, N)
        Overlap with the ground truth.

    Notes
    -----
    Of equally cheap priors the first is chosen, and of ground truths for which a prior is equally cheap the
    first has it. An overlap that is negative or NaN counts as 0.
    """
    backend, n_priors = scene.backend, scene.shape[1]
    rows = counted_rows(backend, counted)
    if rows.count == 0:
        return scene.full(0, integers=True), scene.full(nothing)
    k = min(k, rows.count)
    found = None if shortlist is None else _shortlisted(scene, rows, counted, k, pricing, shortlist)
    if found is None:
        found = rows, *offer_with_demand(scene, rows, k, pricing)
    rows, offer, wanted = found
    gt_inds, overlaps = _settle(scene, offer, wanted, rows.count, nothing)
    if rows.index is None:
        return gt_inds, overlaps
    return (
        backend.scatter_max(rows.index, gt_inds, n_priors),
        backend.scatter_max(rows.index, overlaps, n_priors, fill=nothing),
    )


def _shortlisted(
    scene: Scene, rows: Rows, counted: Array, k: int, pricing: Pricing, shortlist: Shortlist
) -> tuple[Rows, Offer, Array] | None:
    """Offer the listed rows, and all to images with a ground truth for which they are too few or too dear.

    Returns
    -------
    tuple of Rows, Offer, array (B, G), or None
        The rows, their offer, and how many each ground truth wants; None where that depends on the costs of
        others, or no image is served by the list.
    """
    backend = scene.backend
    listed = counted_rows(backend, counted & shortlist.listed)
    if not 0 < num_counted(backend, listed) <= WORTHWHILE * num_counted(backend, rows):
        return None
    most = largest_overlaps(scene, rows, k, pricing)
    if not _are_moderate(scene, rows, most.index, shortlist):
        return None
    wanted = dynamic_count(most.value)
    offer = offer_rows(scene, listed, min(k, listed.count), pricing)
    served = _serves(scene, offer, wanted, shortlist.floor)
    if served.all():
        return listed, offer, wanted
    if not served.any():
        return None
    kept = backend.from_numpy(served[:, None], backend.device_of(counted))
    listed = counted_rows(backend, counted & (shortlist.listed | ~kept))
    return listed, offer_rows(scene, listed, min(k, listed.count), pricing), wanted


def _are_moderate(scene: Scene, rows: Rows, index: Array, shortlist: Shortlist) -> bool:
    """Tell whether no cost of some rows (B, G, K) can be infinite, so that all their overlaps count."""
    backend = scene.backend
    predictions = backend.to_numpy(shortlist.predictions)
    for image, of_image in enumerate(backend.to_numpy(index)):
        prior = np.unique(of_image)
        if rows.index is not None:
            prior = backend.to_numpy(rows.index)[image][prior]
        asked = predictions[image if len(predictions) > 1 else 0][prior]
        if not (asked.max() <= shortlist.limit and asked.min() >= -shortlist.limit):
            return False
    return True


def _serves(scene: Scene, offer: Offer, wanted: Array, floor: float) -> np.ndarray[Any, Any]:
    """Tell in which images each ground truth finds as many rows as it wants below the floor, (B,)."""
    cost, valid = scene.backend.to_numpy(offer.cost), scene.backend.to_numpy(scene.gt_valid)
    last = scene.backend.to_numpy(wanted).astype(np.int64)[..., None] - 1
    reaches = last < cost.shape[-1]
    dearest = np.take_along_axis(cost, np.where(reaches, last, 0), axis=-1)
    served: np.ndarray[Any, Any] = np.all((reaches & (dearest < floor))[..., 0] | ~valid, axis=-1)
    return served


def _settle(scene: Scene, offer: Offer, wanted: Array, n_rows: int, nothing: float) -> tuple[Array, Array]:
    """Let each ground truth choose as many rows as it wanted, then give each row to one."""
    backend, xp = scene.backend, scene.xp
    images, n_gts, k = (int(n) for n in offer.index.shape)
    device = backend.device_of(scene.priors)
    rank = xp.arange(k, dtype=wanted.dtype, device=device)
    chosen = (rank < wanted[..., None]) & (offer.cost < FORBIDDEN)
    place = xp.arange(1, n_gts + 1, dtype=offer.index.dtype, device=device)[None, :, None]
    flat = (images, n_gts * k)
    index = xp.reshape(offer.index, flat)
    chooser = backend.scatter_max(index, xp.reshape(xp.where(chosen, place, 0), flat), n_rows)
    overlap = xp.reshape(xp.where(chosen, offer.overlap, nothing), flat)
    overlap = backend.scatter_max(index, overlap, n_rows, fill=nothing)
    several = backend.count(xp.where(xp.reshape(chosen, flat), index, -1), n_rows) > 1
    cheapest = xp.astype(offer.cheapest, chooser.dtype) + 1
    return xp.where(several, cheapest, chooser), xp.where(several, offer.overlap_there, overlap)
