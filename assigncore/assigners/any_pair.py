"""Which priors some ground truth has in its reach, by where they lie alone."""

from __future__ import annotations

from collections.abc import Callable

from assigncore.backend import Array
from assigncore.scene import Scene
from assigncore.tiles import TileView, cut_tiles, join_tiles

__all__ = ["any_pair"]


def any_pair(scene: Scene, holds: Callable[..., tuple[Array, ...]], *of_gts: Array) -> tuple[Array, ...]:
    """Tell for which priors each of some relations holds with any valid ground truth, each (B, N).

    Parameters
    ----------
    scene : Scene
        Neither without priors nor without ground truths.
    holds : callable
        Maps the scene, the view of a tile, and `of_gts` to booleans (b, g, n), one for each relation.
    *of_gts : arrays (B, G, ...)
        What else belongs to the ground truths.

    Returns
    -------
    tuple of arrays (B, N) of bool
        False also where a prior takes no part or is broken.
    """
    backend, xp = scene.backend, scene.xp
    tiles = cut_tiles(backend, (scene.priors, scene.gt_bboxes), *scene.shape)
    parts = []
    for tile in tiles:
        view = TileView(backend, tile, scene.gt_bboxes)
        masks = holds(scene, view, *of_gts)
        if not backend.surely_all(scene.gt_valid):
            valid = view.of_gts(scene.gt_valid)[..., None]
            masks = tuple(mask & valid for mask in masks)
        parts.append([xp.any(mask, axis=1) for mask in masks])
    return tuple(
        join_tiles(xp, tiles, list(of_tiles)) & scene.prior_whole for of_tiles in zip(*parts, strict=True)
    )
