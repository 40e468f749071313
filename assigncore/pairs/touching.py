"""Listing, on the host, the priors that touch each ground truth, so that far pairs are never looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.pairs.listed import ListedPairs

__all__ = ["touching_pairs"]

MOST_TESTED = 2**20
"""Pairs that are tested at once; only memory depends on it."""

MOST_LISTED = 2**16
"""Pairs of a group, which are looked up one by one: half as many as where tiles are sliced."""

ALIKE = 0.6
"""Least share of the longest row's pairs that the other rows of a group have, if it is of many pairs."""

FEW = 2**14
"""Pairs of a group up to which it costs less to fill rows up than to make another group."""

Host = np.ndarray[Any, Any]


def touching_pairs(
    backend: ArrayBackend, boxes: Array, counted: Array, gt_bboxes: Array, gt_valid: Array
) -> tuple[Iterator[tuple[ListedPairs, Array]], Array]:
    """List the pairs that may share area, of ground truths with like numbers of them together.

    Parameters
    ----------
    backend : ArrayBackend
        Of arrays that the host can read.
    boxes : array (B or 1, N, 4)
        Boxes; one without an extent touches what it lies strictly inside of.
    counted : array (B or 1, N) of bool
        False where a box touches nothing.
    gt_bboxes : array (B, G, 4)
        Ground truths.
    gt_valid : array (B, G) of bool
        False where a ground truth touches nothing.

    Returns
    -------
    groups : iterator of (ListedPairs (1, r, n), array (1, r, n) of bool)
        Pairs, the priors of each ground truth ascending; false where one only fills a row up.
    order : array (B G,) of integers
        Where each ground truth, counted through all images, is among the rows of all groups.
    """
    n_gts = int(gt_bboxes.shape[1])
    at_once = min(MOST_TESTED, backend.most_pairs(boxes))
    prior, count = _listed(at_once, *(backend.to_numpy(x) for x in (boxes, counted, gt_bboxes, gt_valid)))
    first = np.cumsum(count) - count
    # Rows of one group are filled up to the longest of them, so the longest come first.
    rows = np.argsort(-count, kind="stable")

    def groups() -> Iterator[tuple[ListedPairs, Array]]:
        for own in _groups(count[rows], min(MOST_LISTED, backend.pairs_per_tile(boxes))):
            row = rows[own]
            rank = np.arange(max(1, int(count[row[0]])))
            inside = rank < count[row, None]
            # What fills a row up are other rows' priors: no matter which.
            index = prior.take(first[row, None] + rank, mode="clip") if prior.size else 0 * inside
            of_row, of_index, listed = (backend.host_indices(x[None], boxes) for x in (row, index, inside))
            yield ListedPairs(backend, n_gts, of_row, of_index), listed

    return groups(), backend.host_indices(np.argsort(rows), boxes)


def _listed(at_once: int, boxes: Host, counted: Host, gts: Host, valid: Host) -> tuple[Host, Host]:
    """List the boxes that touch each ground truth, one after the other, and count them, (B G,)."""
    images, n_gts, n_priors = len(gts), gts.shape[1], boxes.shape[1]
    several = max(1, at_once // (n_gts * n_priors))
    step = max(1, min(n_gts, at_once // n_priors))
    priors, counts = [], []
    for image in range(0, images, several):
        own = slice(image, min(image + several, images))
        of_boxes = [x if len(x) == 1 else x[own] for x in (boxes, counted)]
        for start in range(0, n_gts, step):
            touches = _touch(*of_boxes, *(x[own, start : start + step] for x in (gts, valid)))
            place = np.flatnonzero(touches)
            starts = np.arange(0, touches.size + 1, n_priors)
            count = np.diff(np.searchsorted(place, starts))
            place -= np.repeat(starts[:-1], count)
            priors.append(place)
            counts.append(count)
    return np.concatenate(priors), np.concatenate(counts)


def _touch(boxes: Host, counted: Host, gts: Host, valid: Host) -> Host:
    """Tell which of the boxes (b or 1, N, 4) touch which of the ground truths (b, g, 4), (b, g, N)."""
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)[:, :, None, :]
    gx1, gy1, gx2, gy2 = np.moveaxis(gts, -1, 0)[..., None]
    touches: Host = x1 < gx2
    touches &= x2 > gx1
    touches &= y1 < gy2
    touches &= y2 > gy1
    if not counted.all():
        touches &= counted[:, None, :]
    if not valid.all():
        touches &= valid[..., None]
    return touches


def _groups(count: Host, limit: int) -> Iterator[slice]:
    """Cut rows of so many pairs, the longest first, into groups of like length and at most `limit` pairs."""
    start = 0
    while start < count.size:
        longest = max(1, int(count[start]))
        stop = min(count.size, start + max(1, limit // longest))
        if longest * (stop - start) > FEW:
            stop = min(stop, int(np.searchsorted(-count, -ALIKE * longest, side="right")))
        yield slice(start, stop)
        start = stop
