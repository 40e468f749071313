"""Cutting the (B, G, N) pairs of ground truths and priors into tiles that are handled one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any, NamedTuple

from assigncore.backend import Array, ArrayBackend

__all__ = [
    "Tile",
    "TileView",
    "by_images",
    "cut_tiles",
    "dense_tiles",
    "join_images",
    "join_tiles",
    "per_prior",
    "plan_tiles",
]

SHORTEST_BLOCK = 1024
"""Priors a block has at least, where memory allows, so that the work outweighs the calls."""


class Tile(NamedTuple):
    """A block of priors in some images, with all of their ground truths.

    Four numbers, among which PyTorch's compiler keeps lengths that it does not know; of a slice it would fix
    them.

    Attributes
    ----------
    first_image, last_image : int
        Of the batch; the last one is beyond it.
    first_prior, last_prior : int
        Of the priors; likewise.
    """

    first_image: int
    last_image: int
    first_prior: int
    last_prior: int

    @property
    def images(self) -> slice:
        """The images."""
        return slice(self.first_image, self.last_image)

    @property
    def priors(self) -> slice:
        """The priors."""
        return slice(self.first_prior, self.last_prior)

    @property
    def num_priors(self) -> int:
        """Number of priors in the block: n."""
        return self.last_prior - self.first_prior


@dataclass(frozen=True)
class TileView:
    """What arrays over the whole scene say of one tile of all ground truths.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    tile : Tile
        The tile.
    like : array (B, G, ...)
        Any array over the ground truths.
    """

    backend: ArrayBackend
    tile: Tile
    like: Array

    def of_priors(self, x: Array, axis: int = 1) -> Array:
        """Cut `x` (B or 1, ..., N, ...), whose `axis` counts priors, to the tile: (b or 1, ..., n, ...)."""
        images = slice(0, 1) if x.shape[0] == 1 else self.tile.images
        return x[(images, *[slice(None)] * (axis - 1), self.tile.priors, ...)]

    def of_gts(self, x: Array) -> Array:
        """Cut `x` (B, G, ...) to the tile: (b, G, ...)."""
        return x[(self.tile.images, ...)]

    def of_images(self, x: Array) -> Array:
        """Cut `x` (B, ...) to the tile: (b, ...)."""
        return x[(self.tile.images, ...)]

    def gt_numbers(self, like: Array) -> Array:
        """Return the ground truths counted from 1, (1, G, 1), on the device of `like`."""
        xp, n_gts = self.backend.xp, int(self.like.shape[1])
        integers = self.backend.integer_dtype(like)
        numbers = xp.arange(1, n_gts + 1, dtype=integers, device=self.backend.device_of(like))
        return numbers[None, :, None]

    def first_priors(self, like: Array) -> Array:
        """Return the first prior of the tile, (1, 1), on the device of `like`."""
        xp, device = self.backend.xp, self.backend.device_of(like)
        return xp.full((1, 1), self.tile.first_prior, dtype=self.backend.integer_dtype(like), device=device)


def plan_tiles(backend: ArrayBackend, priors: Array, gt_bboxes: Array) -> list[Tile]:
    """Cut all pairs into tiles, image by image and from the first prior to the last.

    Parameters
    ----------
    backend : ArrayBackend
        Says how large a tile may be.
    priors : array (B or 1, ..., N, 4)
        Boxes; dimensions between the first and the last two are alternatives of a prior.
    gt_bboxes : array (B, G, 4)
        Boxes.
    """
    images, n_gts = int(gt_bboxes.shape[0]), int(gt_bboxes.shape[1])
    n_priors, per_prior = int(priors.shape[-2]), n_gts * prod(priors.shape[1:-2])
    # Very short blocks would spend more on what is kept of each tile than they save.
    fewest = SHORTEST_BLOCK * per_prior
    return cut_tiles(backend, (priors, gt_bboxes), images, n_priors, per_prior, fewest=fewest)


def cut_tiles(
    backend: ArrayBackend,
    arrays: Sequence[Array],
    images: int,
    n_priors: int,
    per_prior: int,
    *,
    fewest: int = 0,
) -> list[Tile]:
    """Cut all pairs into tiles of the size that suits the backend; into one beneath a compiler.

    Parameters
    ----------
    backend : ArrayBackend
        Says how large a tile may be.
    arrays : sequence of arrays
        What is computed with, any of which a compiler may trace. The first one's dtype and device count.
    images, n_priors : int
        How many there are: B, N.
    per_prior : int
        Pairs of one prior in one image.
    fewest : int, default 0
        Pairs a tile has at least, where the memory budget allows and there are so many.
    """
    whole = [Tile(0, images, 0, n_priors)]
    if any(map(backend.is_traced, arrays)):
        return whole
    limit = max(backend.pairs_per_tile(arrays[0]), min(fewest, backend.most_pairs(arrays[0])))
    if images * per_prior * n_priors <= limit:
        return whole
    return dense_tiles(images, n_priors, per_prior, limit)


def dense_tiles(images: int, n_priors: int, per_prior: int, limit: int) -> list[Tile]:
    """Cut all pairs into tiles of at most `limit`, where each prior is in `per_prior` pairs of an image."""
    several = max(1, limit // (per_prior * n_priors))
    block = min(n_priors, max(1, limit // per_prior))
    return [
        Tile(image, min(image + several, images), start, min(start + block, n_priors))
        for image in range(0, images, several)
        for start in range(0, n_priors, block)
    ]


def join_tiles(xp: Any, tiles: list[Tile], parts: list[Array]) -> Array:
    """Join what tiles say of their priors, each (b, n), into (B, N)."""
    if len(parts) == 1:
        return parts[0]
    rows = [xp.concat(row, axis=-1) if len(row) > 1 else row[0] for row in by_images(tiles, parts)]
    return join_images(xp, rows)


def join_images(xp: Any, parts: list[Array]) -> Array:
    """Join what consecutive images say, each (b, ...), into (B, ...)."""
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)


def by_images(tiles: list[Tile], parts: list[Array]) -> list[list[Array]]:
    """Group what belongs to tiles by the images the tiles are of."""
    rows = groupby(zip(tiles, parts, strict=True), key=lambda pair: pair[0].first_image)
    return [[part for _, part in row] for _, row in rows]


def per_prior(
    backend: ArrayBackend,
    tiles: list[Tile],
    like: Array,
    reduce: Callable[[TileView], Array],
) -> Array:
    """Reduce the pairs of each tile to one value a prior, (b, n), and join the tiles: (B, N).

    `like` is any array over the ground truths, (B, G, ...).
    """
    return join_tiles(backend.xp, tiles, [reduce(TileView(backend, tile, like)) for tile in tiles])
