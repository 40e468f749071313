"""Pairs of ground truths and priors, and how what belongs to either is brought to the pairs.

A formula over pairs is written once, of two arrays that broadcast against each other, and serves a tile of
all pairs, a list of those that may matter, and the few candidates that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

from assigncore.backend import Array, ArrayBackend
from assigncore.pairs.tiles import TileView

__all__ = ["ListedPairs", "Pairs", "TilePairs", "all_rows"]


class Pairs(Protocol):
    """Pairs (b, g, n), each of a ground truth and a prior of one image."""

    def of_gts(self, x: Array) -> Array:
        """Bring `x` (B, G, ...) of the ground truths to the pairs: (b, g, 1, ...)."""

    def of_priors(self, x: Array) -> Array:
        """Bring `x` (B or 1, N, ...) of the priors to the pairs: (b, 1 or g, n, ...)."""

    def of_classes(self, x: Array, label: Array) -> Array:
        """Pick from `x` (B or 1, N, C) what the prior says of the class `label` (B, G): (b, g, n)."""


@dataclass(frozen=True, eq=False)
class TilePairs:
    """Each ground truth of a tile with each of its priors.

    Attributes
    ----------
    view : TileView
        Of the tile.
    """

    view: TileView

    def of_gts(self, x: Array) -> Array:
        """Cut to the tile's ground truths."""
        return self.view.of_gts(x)[:, :, None, ...]

    def of_priors(self, x: Array) -> Array:
        """Cut to the tile's priors."""
        return self.view.of_priors(x)[:, None, ...]

    def of_classes(self, x: Array, label: Array) -> Array:
        """Pick the columns of the tile's classes, without an array over pairs and classes."""
        xp = self.view.backend.xp
        scores, label = self.view.of_priors(x), self.view.of_gts(label)
        images, n_priors, n_classes = int(label.shape[0]), int(scores.shape[1]), int(scores.shape[2])
        scores = xp.broadcast_to(scores, (images, n_priors, n_classes))
        label = xp.broadcast_to(label[:, None, :], (images, n_priors, int(label.shape[1])))
        return xp.matrix_transpose(xp.take_along_axis(scores, label, axis=2))


@dataclass(frozen=True, eq=False)
class ListedPairs:
    """For each of some ground truths, some priors of its image.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    num_gts : int
        Ground truths of an image: G.
    row : array (b, g) of integers
        The ground truths, counted from 0 through all images: image G + ground truth.
    index : array (b, g, n) of integers
        The priors, from 0.
    """

    backend: ArrayBackend
    num_gts: int
    row: Array
    index: Array

    def of_gts(self, x: Array) -> Array:
        """Take the rows of the ground truths."""
        flat = (int(x.shape[0]) * int(x.shape[1]), *x.shape[2:])
        return self._take(x, flat, self.row)[:, :, None, ...]

    def of_priors(self, x: Array) -> Array:
        """Take the rows of `x` (B or 1, N, D); each column of what is returned is contiguous."""
        xp, width = self.backend.xp, int(x.shape[-1])
        planes = xp.reshape(xp.moveaxis(x, -1, 0), (width, int(x.shape[0]) * int(x.shape[1])))
        taken = xp.take(planes, xp.reshape(self._place(x), (-1,)), axis=1)
        return xp.moveaxis(xp.reshape(taken, (width, *self.index.shape)), 0, -1)

    def of_classes(self, x: Array, label: Array) -> Array:
        """Take the entries, one a pair."""
        n_classes = int(x.shape[-1])
        entry = self._place(x) * n_classes + self.of_gts(label)
        return self._take(x, (prod(x.shape),), entry)

    def _place(self, x: Array) -> Array:
        """Return the places of the pairs' priors in `x` (B or 1, N, ...), its images joined."""
        if int(x.shape[0]) == 1:
            return self.index
        return self.index + (self.row // self.num_gts)[:, :, None] * int(x.shape[1])

    def _take(self, x: Array, flat: tuple[int, ...], index: Array) -> Array:
        xp = self.backend.xp
        taken = xp.take(xp.reshape(x, flat), xp.reshape(index, (-1,)), axis=0)
        return xp.reshape(taken, (*index.shape, *flat[1:]))


def all_rows(backend: ArrayBackend, like: Any) -> Array:
    """Count the ground truths of `like` (B, G, ...) through all images, (B, G)."""
    images, n_gts = int(like.shape[0]), int(like.shape[1])
    integers = backend.integer_dtype(like)
    rows = backend.xp.arange(images * n_gts, dtype=integers, device=backend.device_of(like))
    return backend.xp.reshape(rows, (images, n_gts))
