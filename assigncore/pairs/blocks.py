"""Cutting priors into short blocks, each of which meets only the ground truths that can touch it.

Blocks that meet equally many ground truths are handled together, whatever image they are of: a tile is a
stack of them. So no pair is computed that a block's bounding box rules out, in few and large steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from assigncore.backend import Array, ArrayBackend
from assigncore.backend.memory import current_memory_budget
from assigncore.pairs.tiles import Tile, TileView, View, join_tiles, plan_tiles

__all__ = ["BlockPlan", "BlockView", "DensePlan", "PairPlan", "block_bounds", "block_length", "plan_pairs"]

BLOCK = 160
"""Priors a block has, about: shorter ones rule out more pairs, longer ones are quicker a pair."""

LONGEST_BLOCK = 256

EXACT = 8
"""Up to so many ground truths a tile's blocks meet equally many; beyond, up to one part in so many fewer."""

BYTES_LISTED = 104
"""What a listed pair of a block and a ground truth takes at most, with what is computed of it."""

Host = np.ndarray[Any, Any]


def block_length(n_priors: int) -> int:
    """Return a length of blocks; one near `BLOCK` that divides the number of priors, where there is one."""
    fitting = [n for n in range(BLOCK // 2, LONGEST_BLOCK + 1) if n_priors % n == 0]
    return min(fitting, key=lambda n: abs(n - BLOCK), default=min(BLOCK, n_priors))


def block_bounds(priors: Host, counted: Host, starts: Host) -> tuple[Host, ...]:
    """Return the sides of the box around each block's priors, each (B or 1, blocks, 1)."""
    everything = bool(counted.all())
    between = tuple(range(1, priors.ndim - 2))
    sides = []
    for column, (reduce, nowhere) in enumerate([(np.minimum, np.inf)] * 2 + [(np.maximum, -np.inf)] * 2):
        side = reduce.reduce(priors[..., column], axis=between) if between else priors[..., column]
        side = side if everything else np.where(counted, side, nowhere)
        sides.append(reduce.reduceat(side, starts, axis=-1)[..., None])
    return tuple(sides)


@dataclass(frozen=True, eq=False)
class BlockPlan:
    """Which blocks of priors meet which ground truths.

    Attributes
    ----------
    backend : ArrayBackend
        Of arrays that the host can read.
    shape : (int, int, int)
        Numbers of images, priors and ground truths: B, N, G.
    length : int
        Priors a block; the last block of an image may have fewer.
    most_pairs : int
        Pairs a tile has at most, if it has more than one block.
    row : numpy array (E,) of integers
        Blocks, counted over all images; ascending.
    gt : numpy array (E,) of integers
        A ground truth that may matter to the block; ascending for each block.
    """

    backend: ArrayBackend
    shape: tuple[int, int, int]
    length: int
    most_pairs: int
    row: Host
    gt: Host
    _cut: dict[tuple[int, int], tuple[Array, Array]] = field(default_factory=dict, repr=False)

    @classmethod
    def of_touching(
        cls, backend: ArrayBackend, priors: Array, gt_bboxes: Array, counted: Array
    ) -> BlockPlan | None:
        """Pair each block with the ground truths that touch the box around it; None where too many do.

        Parameters
        ----------
        backend : ArrayBackend
            Of arrays that the host can read.
        priors : array (B or 1, ..., N, 4)
            Boxes; dimensions between the first and the last two are alternatives of a prior.
        gt_bboxes : array (B, G, 4)
            Boxes.
        counted : array (B or 1, N) of bool
            False where a prior overlaps nothing anyway.
        """
        n_priors = int(priors.shape[-2])
        images, n_gts = (int(n) for n in gt_bboxes.shape[:2])
        alternatives = int(np.prod(priors.shape[1:-2], dtype=np.int64))
        per_prior = n_gts * alternatives
        length = max(1, min(block_length(n_priors), backend.most_pairs(priors) // per_prior))
        sides = block_bounds(
            backend.to_numpy(priors), backend.to_numpy(counted), np.arange(0, n_priors, length)
        )
        boxes = backend.to_numpy(gt_bboxes)
        n_blocks = -(-n_priors // length)
        rows, gts, listed = [], [], 0
        for image in range(images):
            x1, y1, x2, y2 = (side[image if side.shape[0] > 1 else 0] for side in sides)
            left, top, right, bottom = np.moveaxis(boxes[image], -1, 0)
            touches = (x1 < right) & (x2 > left) & (y1 < bottom) & (y2 > top)
            listed += int(np.count_nonzero(touches))
            if listed * BYTES_LISTED > current_memory_budget():
                return None
            row, gt = np.nonzero(touches)
            rows.append(row + image * n_blocks)
            gts.append(gt)
        most = max(1, backend.pairs_per_tile(priors) // alternatives)
        shape = (images, n_priors, n_gts)
        return cls(backend, shape, length, most, np.concatenate(rows), np.concatenate(gts))

    @property
    def n_blocks(self) -> int:
        """Blocks of an image."""
        return -(-self.shape[1] // self.length)

    @cached_property
    def views(self) -> list[BlockView]:
        """The tiles; a block that meets nothing is in none."""
        blocks, first, count = np.unique(self.row, return_index=True, return_counts=True)
        unit = 2 ** np.maximum(0, np.floor(np.log2(count)).astype(np.int64) - int(np.log2(EXACT)))
        width = -(-count // unit) * unit
        found = []
        for wide in np.unique(width):
            own = np.flatnonzero(width == wide)
            step = max(1, self.most_pairs // (int(wide) * self.length))
            for start in range(0, own.size, step):
                some = own[start : start + step]
                # A row that is too short repeats its last: what meets twice changes no extreme.
                places = np.minimum(np.arange(wide), count[some, None] - 1)
                found.append(BlockView(self, blocks[some], self.gt[first[some, None] + places]))
        return found

    def cut(self, x: Array, axis: int) -> Array:
        """Lay `x` (B or 1, ..., N, ...), whose `axis` counts priors, out by blocks: (rows, ..., length, ...).

        What follows the priors, one dimension at most, comes first: each of its columns is contiguous. It is
        kept, since every tile cuts the same arrays.
        """
        found = self._cut.get((id(x), axis))
        if found is not None:
            return found[1]
        xp, own = self.backend.xp, x
        columns = x.ndim > axis + 1
        if columns:
            own = xp.moveaxis(own, -1, 0)
        padding = self.n_blocks * self.length - self.shape[1]
        if padding:
            tail = (*own.shape[:-1], padding)
            own = xp.concat([own, xp.zeros(tail, dtype=x.dtype, device=self.backend.device_of(x))], axis=-1)
        at = 1 if columns else 0
        images, between = own.shape[at], own.shape[at + 1 : -1]
        own = xp.reshape(own, (*own.shape[:at], images, *between, self.n_blocks, self.length))
        own = xp.moveaxis(own, -2, at + 1)
        own = xp.reshape(own, (*own.shape[:at], images * self.n_blocks, *between, self.length))
        self._cut[id(x), axis] = x, own
        return own

    def join(self, parts: list[Array], like: Array) -> Array:
        """Join what tiles say of their priors, each (b, n), into (B, N); 0 where there is no tile."""
        xp, (images, n_priors, _) = self.backend.xp, self.shape
        joined = self._placed([view.rows for view in self.views], parts, images * self.n_blocks, like)
        return xp.reshape(joined, (images, self.n_blocks * self.length))[:, :n_priors]

    def join_pairs(self, parts: list[Array], like: Array) -> Array:
        """Join what tiles say of their pairs, each (b, g, n), into (B, G, N); 0 where there is none."""
        xp, (images, n_priors, n_gts) = self.backend.xp, self.shape
        rows = [
            (view.pair_keys * self.n_blocks + (view.rows % self.n_blocks)[:, None]).reshape(-1)
            for view in self.views
        ]
        flat = [xp.reshape(part, (-1, self.length)) for part in parts]
        joined = self._placed(rows, flat, images * n_gts * self.n_blocks, like)
        return xp.reshape(joined, (images, n_gts, self.n_blocks * self.length))[..., :n_priors]

    def per_prior(self, reduce: Callable[[View], Array], like: Array) -> Array:
        """Reduce the pairs of each tile to one value a prior, (b, n), and join them: (B, N)."""
        return self.join([reduce(view) for view in self.views], like)

    def _placed(self, rows: list[Host], parts: list[Array], n_rows: int, like: Array) -> Array:
        """Put rows (r, length) in their places among `n_rows`, 0 elsewhere."""
        xp, backend = self.backend.xp, self.backend
        dtype = parts[0].dtype if parts else like.dtype
        blank = xp.zeros((1, self.length), dtype=dtype, device=backend.device_of(like))
        source = np.zeros(n_rows, dtype=np.int64)
        if rows:
            every = np.concatenate(rows)
            source[every] = np.arange(1, every.size + 1)
        return xp.take(xp.concat([blank, *parts], axis=0), backend.host_indices(source, like), axis=0)


@dataclass(frozen=True, eq=False)
class BlockView:
    """What arrays over the whole scene say of one tile: blocks (b) of n priors, each with g ground truths.

    Attributes
    ----------
    plan : BlockPlan
        What it is of.
    rows : numpy array (b,) of integers
        The blocks, counted over all images.
    gts : numpy array (b, g) of integers
        The ground truths that may matter to each block, ascending; the last may repeat.
    """

    plan: BlockPlan
    rows: Host
    gts: Host

    @property
    def backend(self) -> ArrayBackend:
        """The library of the arrays."""
        return self.plan.backend

    def of_priors(self, x: Array, axis: int = 1) -> Array:
        """Cut `x` (B or 1, ..., N, ...), whose `axis` counts priors, to the tile: (b, ..., n, ...)."""
        xp, own = self.backend.xp, self.plan.cut(x, axis)
        rows = self.rows % self.plan.n_blocks if x.shape[0] == 1 else self.rows
        index = self.backend.host_indices(rows, x)
        if x.ndim > axis + 1:
            return xp.moveaxis(xp.take(own, index, axis=1), 0, -1)
        return xp.take(own, index, axis=0)

    def of_gts(self, x: Array) -> Array:
        """Cut `x` (B, G, ...) to the tile: (b, g, ...)."""
        xp, tail = self.backend.xp, x.shape[2:]
        index = self.backend.host_indices(self.pair_keys.reshape(-1), x)
        return xp.reshape(xp.take(xp.reshape(x, (-1, *tail)), index, axis=0), (*self.gts.shape, *tail))

    def of_images(self, x: Array) -> Array:
        """Cut `x` (B, ...) to the tile: (b, ...)."""
        images = self.backend.host_indices(self.rows // self.plan.n_blocks, x)
        return self.backend.xp.take(x, images, axis=0)

    def gt_numbers(self, like: Array) -> Array:
        """Return the tile's ground truths counted from 1, (b, g, 1), on the device of `like`."""
        return self.backend.host_indices(self.gts[..., None] + 1, like)

    @cached_property
    def pair_keys(self) -> Host:
        """The places of the pairs of images and ground truths among all B x G, (b, g)."""
        keys: Host = (self.rows // self.plan.n_blocks)[:, None] * self.plan.shape[2] + self.gts
        return keys


class PairPlan(Protocol):
    """The tiles of a scene, and how what they say is put together again."""

    @property
    def views(self) -> Sequence[View]:
        """The tiles."""

    def join(self, parts: list[Array], like: Array) -> Array:
        """Join what tiles say of their priors, each (b, n), into (B, N).

        0 where there is no tile; in the dtype of `like` where there is none at all.
        """

    def join_pairs(self, parts: list[Array], like: Array) -> Array:
        """Join what tiles say of their pairs, each (b, g, n), into (B, G, N); 0 or false elsewhere."""

    def per_prior(self, reduce: Callable[[View], Array], like: Array) -> Array:
        """Reduce the pairs of each tile to one value a prior, (b, n), and join them as `join` does."""


@dataclass(frozen=True, eq=False)
class DensePlan:
    """All pairs, in tiles of consecutive priors.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    tiles : list of Tile
        As :func:`assigncore.pairs.tiles.plan_tiles` cuts them.
    gts : array (B, G, ...)
        Any array over the ground truths.
    """

    backend: ArrayBackend
    tiles: list[Tile]
    gts: Array

    @property
    def views(self) -> list[TileView]:
        """The tiles."""
        return [TileView(self.backend, tile, self.gts) for tile in self.tiles]

    def join(self, parts: list[Array], like: Array) -> Array:
        """Join what tiles say of their priors, each (b, n), into (B, N)."""
        return join_tiles(self.backend.xp, self.tiles, parts)

    def join_pairs(self, parts: list[Array], like: Array) -> Array:
        """Join what tiles say of their pairs, each (b, G, n), into (B, G, N)."""
        return join_tiles(self.backend.xp, self.tiles, parts)

    def per_prior(self, reduce: Callable[[View], Array], like: Array) -> Array:
        """Reduce the pairs of each tile to one value a prior, (b, n), and join the tiles: (B, N)."""
        return self.join([reduce(view) for view in self.views], like)


def plan_pairs(
    backend: ArrayBackend, priors: Array, gt_bboxes: Array, counted: Array, *, skip: bool
) -> PairPlan:
    """Cut the pairs of a scene into tiles.

    Parameters
    ----------
    backend : ArrayBackend
        Says how large a tile may be, and whether the host may look at the boxes.
    priors : array (B or 1, ..., N, 4)
        Boxes; dimensions between the first and the last two are alternatives of a prior.
    gt_bboxes : array (B, G, 4)
        Boxes.
    counted : array (B or 1, N) of bool
        False where a prior overlaps nothing anyway.
    skip : bool
        Whether pairs that cannot touch may be left out.
    """
    tiles = plan_tiles(backend, priors, gt_bboxes)
    if len(tiles) > 1 and skip and backend.reads_host(priors):
        plan = BlockPlan.of_touching(backend, priors, gt_bboxes, counted)
        if plan is not None:
            return plan
    return DensePlan(backend, tiles, gt_bboxes)
