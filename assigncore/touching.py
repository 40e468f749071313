"""Listing, on the host, the priors that touch each ground truth, so that far pairs are never looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.pairs import ListedPairs

__all__ = ["touching_pairs"]

MOST_TESTED = 2**20
"""Pairs that are tested at once; only memory depends on it."""

Host = np.ndarray[Any, Any]


def touching_pairs(
    backend: ArrayBackend, boxes: Array, counted: Array, gt_bboxes: Array, gt_valid: Array
) -> tuple[list[tuple[ListedPairs, Array]], Array]:
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
    groups : list of (ListedPairs (1, r, n), array (1, r, n) of bool)
        Pairs, the priors of each ground truth ascending; false where one only fills a row up.
    order : array (B G,) of integers
        Where each ground truth, counted through all images, is among the rows of all groups.
    """
    images, n_gts, n_priors = int(gt_bboxes.shape[0]), int(gt_bboxes.shape[1]), int(boxes.shape[1])
    at_once = min(MOST_TESTED, backend.most_pairs(boxes))
    several = max(1, at_once // (n_gts * n_priors))
    step = max(1, min(n_gts, at_once // n_priors))
    host = [backend.to_numpy(x) for x in (boxes, counted, gt_bboxes, gt_valid)]
    limit = backend.pairs_per_tile(boxes)
    groups, rows = [], []
    for image in range(0, images, several):
        own = slice(image, min(image + several, images))
        for start in range(0, n_gts, step):
            touches = _touch(
                *(x if len(x) == 1 else x[own] for x in host[:2]),
                *(x[own, start : start + step] for x in host[2:]),
            )
            first = np.arange(images * n_gts).reshape(images, n_gts)[own, start : start + step]
            for row, index, inside in _grouped(touches.reshape(first.size, n_priors), limit):
                row = first.reshape(-1)[row]
                rows.append(row)
                of_row, of_index, listed = (
                    backend.host_indices(x[None], boxes) for x in (row, index, inside)
                )
                groups.append((ListedPairs(backend, n_gts, of_row, of_index), listed))
    return groups, backend.host_indices(np.argsort(np.concatenate(rows)), boxes)


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


def _grouped(touches: Host, limit: int) -> list[tuple[Host, Host, Host]]:
    """Cut the rows of `touches` (R, N) into groups of at most `limit` pairs, the longest rows first.

    Returns
    -------
    list of (row (r,), index (r, n), inside (r, n))
        The true entries of each row, and where there is one.
    """
    n_priors = touches.shape[1]
    place_of = np.flatnonzero(touches)
    count = np.count_nonzero(touches, axis=-1)
    first = np.cumsum(count) - count
    order = np.argsort(-count, kind="stable")
    groups, start = [], 0
    while start < order.size:
        longest = max(1, int(count[order[start]]))
        stop = min(order.size, start + max(1, limit // longest))
        row = order[start:stop]
        rank = np.arange(longest)
        inside = rank < count[row, None]
        index = np.zeros(inside.shape, dtype=np.int64)
        if place_of.size:
            place = place_of[np.where(inside, first[row, None] + rank, 0)]
            index = np.where(inside, place - row[:, None] * n_priors, 0)
        groups.append((row, index, inside))
        start = stop
    return groups
