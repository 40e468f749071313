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

    def of_images(self, x: Array) -> Array:
        """Cut `x` (B, ...) of the images to those whose priors `largest` gives values: (b, ...)."""

    def largest(self, values: Array) -> Array:
        """Return the largest of what the pairs say to their prior; nothing is less than 0.

        A value for each prior of the tile (b, n), or of the scene (B, N) where pairs are listed.
        """

    def own(self, x: Array) -> Array:
        """Bring what `largest` returned, or what was made of it, to the pairs: (b, 1 or g, n)."""

    def whole(self, mask: Array) -> Array:
        """Return a mask of the pairs as one of all pairs of the tile (b, g, n), or the scene (B, G, N)."""


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

    def of_images(self, x: Array) -> Array:
        """Cut to the tile's images."""
        return self.view.of_images(x)

    def largest(self, values: Array) -> Array:
        """Reduce over the ground truths."""
        return self.view.backend.xp.max(values, axis=1)

    def own(self, x: Array) -> Array:
        """Give all ground truths the same."""
        return x[:, None, :]

    def whole(self, mask: Array) -> Array:
        """Return the mask."""
        return mask


@dataclass(frozen=True, eq=False)
class ListedPairs:
    """For each of some ground truths, some priors of its image.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    shape : (int, int, int)
        Numbers of images, priors and ground truths of the scene: B, N, G.
    row : array (b, g) of integers
        The ground truths, counted from 0 through all images: image G + ground truth.
    index : array (b, g, n) of integers
        The priors, from 0.
    """

    backend: ArrayBackend
    shape: tuple[int, int, int]
    row: Array
    index: Array

    @property
    def counts(self) -> Array:
        """How many rows there are of each ground truth, (B G,), where they ascend."""
        xp, (images, _, n_gts) = self.backend.xp, self.shape
        numbers = xp.arange(images * n_gts + 1, dtype=self.row.dtype, device=self.backend.device_of(self.row))
        ends = xp.searchsorted(xp.reshape(self.row, (-1,)), numbers)
        return ends[1:] - ends[:-1]

    def of_gts(self, x: Array) -> Array:
        """Take the rows of the ground truths."""
        flat = (int(x.shape[0]) * int(x.shape[1]), *x.shape[2:])
        return self._take(x, flat, self.row)[:, :, None, ...]

    def of_priors(self, x: Array) -> Array:
        """Take the rows of the priors."""
        flat = (int(x.shape[0]) * int(x.shape[1]), *x.shape[2:])
        return self._take(x, flat, self._place(int(x.shape[0])))

    def of_classes(self, x: Array, label: Array) -> Array:
        """Take the entries, one a pair."""
        n_classes = int(x.shape[-1])
        entry = self._place(int(x.shape[0])) * n_classes + self.of_gts(label)
        return self._take(x, (prod(x.shape),), entry)

    def of_images(self, x: Array) -> Array:
        """Return all images."""
        return x

    def largest(self, values: Array) -> Array:
        """Write the values to their priors, the largest stays."""
        xp, (images, n_priors, _) = self.backend.xp, self.shape
        place = self._place(images)
        values = xp.reshape(xp.broadcast_to(values, place.shape), (1, -1))
        most = self.backend.scatter_max(xp.reshape(place, (1, -1)), values, images * n_priors)
        return xp.reshape(most, (images, n_priors))

    def holds_for_any(self, mask: Array | None = None) -> Array:
        """Tell which priors a mask of the pairs holds for, or which are in any pair, (B, N)."""
        xp, (images, n_priors, _) = self.backend.xp, self.shape
        place = self._place(images)
        if mask is not None:
            place = xp.where(mask, place, -1)
        times = self.backend.count(xp.reshape(place, (1, -1)), images * n_priors)
        return xp.reshape(times > 0, (images, n_priors))

    def own(self, x: Array) -> Array:
        """Take the entries of the priors."""
        return self.of_priors(x)

    def whole(self, mask: Array) -> Array:
        """Write the mask to the pairs' places."""
        xp, (images, n_priors, n_gts) = self.backend.xp, self.shape
        place = xp.reshape(self.row[:, :, None] * n_priors + self.index, (1, -1))
        flat = self.backend.scatter_max(place, xp.reshape(mask, (1, -1)), images * n_gts * n_priors)
        return xp.reshape(flat, (images, n_gts, n_priors))

    def _place(self, images: int) -> Array:
        """Return the places of the pairs' priors among all those of so many images, joined; 1: shared."""
        if images == 1:
            return self.index
        return self.index + (self.row // self.shape[2])[:, :, None] * self.shape[1]

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
