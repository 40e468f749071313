"""How the pairs of ground truths and priors are cut up: all of them, or without those that cannot touch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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

    @property
    def skips(self) -> bool:
        """Whether pairs are left out."""

    @property
    def is_whole(self) -> bool:
        """Whether one tile has all pairs."""

    def join(self, parts: list[Array], like: Array) -> Array:
        """Join what tiles say of their priors, each (b, n), into (B, N).

        0 where there is no tile; in the dtype of `like` where there is none at all.
        """

    def join_pairs(self, parts: list[Array], like: Array) -> Array:
        """Join what tiles say of their pairs, each (b, g, n), into (B, G, N); 0 or false elsewhere."""

    def per_prior(self, reduce: Callable[[View], Array], like: Array) -> Array:
        """Reduce the pairs of each tile to one value a prior, (b, n), and join them as `join` does."""

    def largest(self, best: Iterable[Array], like: Array) -> Array:
        """Reduce the largest values within tiles, each (b, g), to those of all priors, (B, G).

        They are from 0 up where pairs are left out, and 0 for a ground truth in no tile.
        """

    def first_largest(
        self, found: Iterable[tuple[Array, Array]], like: Array
    ) -> tuple[Array, Array, list[Array]]:
        """Reduce the largest values within tiles and the first priors that have them, each (b, g).

        Returns the largest of all priors and the first prior that has it, from 0, both (B, G), and what
        :meth:`at_their_best` wants of the tiles.
        """

    def at_their_best(self, best: list[Array], of_gt: Array, eligible: Array) -> PairPlan:
        """Return a plan that still has each eligible ground truth's tiles whose `best` is its best, `of_gt`.

        It may have more. Values are as those of `largest`; `of_gt` and `eligible` are (B, G).
        """


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
    skips: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether there is but one tile."""
        return len(self.tiles) == 1

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

    def largest(self, best: Iterable[Array], like: Array) -> Array:
        """Reduce the largest values within tiles, each (b, G), to those of all priors, (B, G)."""
        rows: dict[int, Array] = {}
        for tile, values in zip(self.tiles, best, strict=True):
            kept = rows.get(tile.first_image)
            rows[tile.first_image] = values if kept is None else self.backend.xp.maximum(kept, values)
        return self._of_all_images(list(rows.values()))

    def first_largest(
        self, found: Iterable[tuple[Array, Array]], like: Array
    ) -> tuple[Array, Array, list[Array]]:
        """Reduce the largest values within tiles and the first priors that have them, each (b, G).

        Only the best so far is kept: of many ground truths, every tile's would outgrow the tiles.
        """
        xp = self.backend.xp
        rows: dict[int, tuple[Array, Array]] = {}
        for tile, (best, prior) in zip(self.tiles, found, strict=True):
            if tile.first_image in rows:
                kept, first = rows[tile.first_image]
                later = (best > kept) | ((best != best) & (kept == kept))
                best, prior = xp.where(later, best, kept), xp.where(later, prior, first)
            rows[tile.first_image] = best, prior
        of_gt, prior_of_gt = (self._of_all_images(list(parts)) for parts in zip(*rows.values(), strict=True))
        return of_gt, prior_of_gt, []

    def _of_all_images(self, parts: list[Array]) -> Array:
        return parts[0] if len(parts) == 1 else self.backend.xp.concat(parts, axis=0)

    def at_their_best(self, best: list[Array], of_gt: Array, eligible: Array) -> DensePlan:
        """Return the plan itself: values may be on a device, and nothing waits for them."""
        return self


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
