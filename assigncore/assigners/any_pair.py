"""Which priors some ground truth has in its reach, by where they lie alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from assigncore.backend import Array
from assigncore.scene import Scene
from assigncore.tiles import TileView, cut_tiles, join_tiles

__all__ = ["any_pair"]

_COMPARED = ("priors", "gt_bboxes", "gt_valid", "prior_whole")
"""Arrays of a scene that decide by position alone."""


def any_pair(scene: Scene, holds: Callable[..., tuple[Array, ...]], *of_gts: Array) -> tuple[Array, ...]:
    """Tell for which priors each of some relations holds with any valid ground truth, each (B, N).

    Parameters
    ----------
    scene : Scene
        Neither without priors nor without ground truths.
    holds : callable
        Maps the scene, in whatever library, the view of a tile, and `of_gts` to booleans (b, g, n), one for
        each relation.
    *of_gts : arrays (B, G, ...)
        What else belongs to the ground truths.

    Returns
    -------
    tuple of arrays (B, N) of bool
        False also where a prior takes no part or is broken.
    """
    backend, xp = scene.backend, scene.xp
    twin = backend.host_twin(scene.priors)
    if twin is not None:
        # What is all comparisons is quicker there, and its answer is read on the host anyway.
        compared = {name: backend.to_numpy(getattr(scene, name)) for name in _COMPARED}
        host = replace(scene, backend=twin, **cast("dict[str, Any]", compared))
        found = any_pair(host, holds, *map(backend.to_numpy, of_gts))
        return tuple(backend.from_numpy(x, backend.device_of(scene.priors)) for x in found)
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
