"""The priors that can be chosen at all, picked out where the host can tell, and their tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.scene import Scene
from assigncore.tiles import Tile, TileView, cut_tiles

__all__ = ["WORTHWHILE", "RowView", "Rows", "counted_rows", "num_counted"]

WORTHWHILE = 0.75
"""Share of the priors up to which it pays to leave the others out; only speed depends on it."""

BLOCK = 2**18
"""Entries of a tile that runs on the host's own memory, where that is within the budget."""


@dataclass(frozen=True)
class RowView(TileView):
    """A view whose tile cuts chosen rows of the priors, (B, V) of integers, in place of all priors."""

    rows: Array | None

    def of_priors(self, x: Array, axis: int = 1) -> Array:
        """Pick what belongs to the rows of the tile: (b or 1, n, ...) of `x` (B or 1, N, ...)."""
        if self.rows is None or axis != 1:
            return super().of_priors(x, axis)
        xp, rows = self.backend.xp, self.rows[self.tile.images, self.tile.priors]
        own = x if x.shape[0] == 1 else x[(self.tile.images, ...)]
        if rows.shape[0] == 1:
            if x.ndim != 3 or x.shape[-1] > 4:
                return xp.take(own[0, ...], rows[0, :], axis=0)[None, ...]
            # Boxes and points are kept as columns, see `collapse`, and stay so.
            picked = xp.take(xp.matrix_transpose(own[0, ...]), rows[0, :], axis=1)
            return xp.matrix_transpose(picked)[None, ...]
        n_priors = int(x.shape[1])
        if own.shape[0] > 1:
            first = np.arange(int(own.shape[0])) * n_priors
            rows = rows + self.backend.host_indices(first, rows)[:, None]
        flat = xp.reshape(own, (int(own.shape[0]) * n_priors, *x.shape[2:]))
        return xp.reshape(xp.take(flat, xp.reshape(rows, (-1,)), axis=0), (*rows.shape, *x.shape[2:]))


@dataclass(frozen=True, eq=False)
class Rows:
    """Some priors of each image.

    Attributes
    ----------
    index : array (B, V) of integers, or None
        The priors, ascending; an image with fewer than V is filled up. None stands for all priors.
    inside : array (B, V) of bool
        False where a row does not count.
    """

    index: Array | None
    inside: Array

    @property
    def count(self) -> int:
        """Rows of an image: V."""
        return int(self.inside.shape[1])

    def views(self, scene: Scene, entries: int, fewest: int) -> list[RowView]:
        """Cut the pairs of ground truths and rows, image by image where no tile could hold two.

        Parameters
        ----------
        scene : Scene
            The inputs.
        entries : int
            Numbers per row that are kept at once.
        fewest : int
            Rows an image has in its tiles at least; it has no more than count, where it has tiles of its own.
        """
        backend, arrays = scene.backend, (scene.priors, scene.gt_bboxes)
        block = BLOCK if backend.reads_host(scene.priors) else 0
        tiles = cut_tiles(backend, arrays, int(self.inside.shape[0]), self.count, entries, fewest=block)
        if self.index is not None and tiles[0].images == slice(0, 1):
            counts = [max(int(n), fewest) for n in backend.to_numpy(self.inside).sum(axis=-1)]
            tiles = [
                Tile(image, image + 1, tile.first_prior, tile.last_prior)
                for image, count in enumerate(counts)
                for tile in cut_tiles(backend, arrays, 1, count, entries, fewest=block)
            ]
        return [RowView(backend, tile, scene.gt_bboxes, self.index) for tile in tiles]


def counted_rows(backend: ArrayBackend, counted: Array) -> Rows:
    """List the priors that count, (B, N) of bool, where the host can tell and it spares work; else all."""
    if not backend.reads_host(counted):
        return Rows(None, counted)
    host = backend.to_numpy(counted)
    counts = host.sum(axis=-1)
    if counts.sum() > WORTHWHILE * host.size:
        return Rows(None, counted)
    longest = int(counts.max(initial=0))
    inside = np.arange(longest) < counts[:, None]
    rows = np.zeros(inside.shape, dtype=np.int64)
    rows[inside] = np.nonzero(host)[1]
    return Rows(backend.host_indices(rows, counted), backend.from_numpy(inside, backend.device_of(counted)))


def num_counted(backend: ArrayBackend, rows: Rows) -> int:
    """Count the rows that count in all images, on the host."""
    return int(np.count_nonzero(backend.to_numpy(rows.inside)))
