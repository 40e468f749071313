"""Scenes as one padded batch, and a batch's outputs as those of its scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import MASKS, ROWS, Scene

__all__ = ["PaddedBatch", "pad_scenes"]

AnyArray = NDArray[Any]
Outputs = Mapping[str, AnyArray]

GTS_BEYOND = 3
"""Padding rows of ground truths beyond the largest scene's number; of ignore regions too."""

PRIORS_BEYOND = 2
"""Padding rows of priors at the end of each level, where an assigner allows it."""


@dataclass(frozen=True, eq=False)
class PaddedBatch:
    """A call with padding, and how to read its outputs.

    Parameters
    ----------
    arrays : mapping of str to numpy.ndarray
        The arguments, ``(B, ...)``.
    statics : mapping
        The arguments that are no arrays.
    places : tuple of numpy.ndarray
        For each scene, where its priors are among the rows.
    leads : tuple of int
        For each scene, how many rows of padding come before its ground truths.
    widths : tuple of int
        Numbers of rows of priors and of ground truths, padding included.
    regions : bool, default False
        Whether there are ignore regions, which some number on from the ground truths.
    """

    arrays: Mapping[str, AnyArray]
    statics: Mapping[str, Any]
    places: tuple[AnyArray, ...]
    leads: tuple[int, ...]
    widths: tuple[int, int]
    regions: bool = False

    def outputs_of(self, outputs: Outputs, image: int) -> dict[str, AnyArray]:
        """Cut the outputs of one scene out of the batch's, numbered as its ground truths are.

        Outputs that do not have a value for each prior are left out, and so are the integers among the
        extras, whose meaning is the assigner's own, where padding has moved the boxes they may count.
        """
        rows, lead = self.widths[0], self.leads[image]
        own = {}
        for name, batch in outputs.items():
            x = batch[image]
            if x.ndim == 0 or x.shape[-1] != rows:
                continue
            x = x[..., self.places[image]]
            if name == "gt_inds":
                x = np.where(x > 0, x - lead, x)
            elif (lead or self.regions) and x.dtype.kind in "iu" and name != "labels":
                continue
            own[name] = x
        return own


def _garbage(dtype: np.dtype[Any]) -> Any:
    """Give the most harmful value for a padding row: none may matter there."""
    if dtype.kind == "f":
        return np.nan
    return True if dtype.kind == "b" else 1


def _spread(array: AnyArray, places: AnyArray, rows: int) -> AnyArray:
    spread = np.full((rows, *array.shape[1:]), _garbage(array.dtype), dtype=array.dtype)
    spread[places] = array
    return spread


def _places(scene: Scene, most: Sequence[int]) -> AnyArray:
    """Tell where the priors of a scene go when each level is as long as `most` says."""
    starts = np.cumsum([0, *most[:-1]])
    return np.concatenate(
        [start + np.arange(level.cells) for start, level in zip(starts, scene.levels, strict=True)]
    ).astype(int)


def pad_scenes(recipe: Recipe, scenes: Sequence[Scene], *, like: Sequence[Scene] = ()) -> PaddedBatch:
    """Join scenes to one batch, every second one with padding in front of its ground truths.

    Parameters
    ----------
    recipe : Recipe
        Whose arguments.
    scenes : sequence of Scene
        At least one; all on the same levels.
    like : sequence of Scene, optional
        Further scenes whose numbers of rows count, so that several batches have one shape.

    Returns
    -------
    PaddedBatch
        Its masks tell what is padding, which holds NaN and other harmful values. Priors are padded behind
        each level, unless they are the cells of feature maps.

    Raises
    ------
    ValueError
        There is no scene, or their levels differ.
    """
    if len({scene.levels for scene in scenes}) != 1:
        raise ValueError("expected at least one scene, all on the same levels")
    beyond = 0 if recipe.by_map else PRIORS_BEYOND
    most = [level.cells + beyond for level in scenes[0].levels]
    counted = (*scenes, *like)
    rows = {
        "N": sum(most),
        "G": max(scene.n_gts for scene in counted) + GTS_BEYOND,
        "I": max(len(scene.arrays["ignore_bboxes"]) for scene in counted) + GTS_BEYOND,
    }
    leads = tuple(GTS_BEYOND if number % 2 else 0 for number in range(len(scenes)))
    places = tuple(_places(scene, most) for scene in scenes)
    images: list[dict[str, AnyArray]] = []
    for scene, lead, place in zip(scenes, leads, places, strict=True):
        image = {}
        wanted = recipe.arrays(scene)
        for mask in MASKS.values():
            if mask in recipe.parameters:
                wanted[mask] = scene.arrays[mask]
        for name, array in wanted.items():
            kind = ROWS.get(name, "")
            own = {"N": place, "G": lead + np.arange(scene.n_gts), "I": np.arange(len(array))}.get(kind)
            spread = array if own is None else _spread(array, own, rows[kind])
            if name in MASKS.values() and own is not None:
                spread = np.isin(np.arange(rows[kind]), own[array])
            image[name] = spread
        images.append(image)
    statics = recipe.statics(scenes[0])
    if recipe.by_level:
        statics["num_level_priors"] = tuple(most)
    arrays = {name: np.stack([image[name] for image in images]) for name in images[0] if name in ROWS}
    shared = {name: array for name, array in images[0].items() if name not in ROWS}
    return PaddedBatch(
        {**arrays, **shared}, statics, places, leads, (rows["N"], rows["G"]), recipe.takes_regions
    )
