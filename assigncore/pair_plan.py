"""How the pairs of ground truths and priors are cut up: all of them, or without those that cannot touch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from assigncore.backend import Array, ArrayBackend
from assigncore.blocks import BlockPlan
from assigncore.tiles import Tile, TileView, View, join_tiles, plan_tiles

__all__ = ["DensePlan", "PairPlan", "plan_pairs"]


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
        As :func:`assigncore.tiles.plan_tiles` cuts them.
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
