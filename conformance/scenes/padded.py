"""Scenes as one padded batch, and a batch's outputs as those of its scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.capabilities import Holds
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import MASKS, ROWS, Scene

__all__ = ["PaddedBatch", "outputs_of_rows", "pad_scenes"]

AnyArray = NDArray[Any]
Outputs = Mapping[str, AnyArray]
Places = Mapping[str, AnyArray]

GTS_BEYOND = 3
"""Padding rows of ground truths beyond the largest scene's number; of ignore regions too."""

PRIORS_BEYOND = 2
"""Padding rows of priors on each level, where an assigner allows it."""


def outputs_of_rows(recipe: Recipe, outputs: Outputs, places: Places, gts: int) -> dict[str, AnyArray]:
    """Cut the outputs of some rows out of those of all, numbered as these rows are.

    Parameters
    ----------
    recipe : Recipe
        Whose outputs.
    outputs : mapping of str to numpy.ndarray
        Of one image.
    places : mapping of str to numpy.ndarray
        For each kind of rows, which of the image's are meant, in their order.
    gts : int
        How many rows of ground truths the image has.

    Returns
    -------
    dict of str to numpy.ndarray
        Without outputs that are not declared, unless they are real numbers or flags, one a prior.
    """
    stranger = gts + int(places["I"].max(initial=-1)) + 1
    lookup = np.full(stranger, stranger)
    lookup[places["G"]] = np.arange(len(places["G"]))
    lookup[gts + places["I"]] = len(places["G"]) + np.arange(len(places["I"]))
    priors = outputs["gt_inds"].shape[-1]
    found = {}
    for name, x in outputs.items():
        holds = recipe.capabilities.holds(name)
        if holds is Holds.PAIRS:
            found[name] = x[..., places["N"], :][..., places["G"]]
        elif holds is Holds.OF_GTS:
            found[name] = x[places["G"]]
        elif holds is Holds.IN_TURN:
            in_turn = x.reshape(-1, gts, *x.shape[1:]) if gts else x[None]
            # With few priors there are fewer turns.
            if len(in_turn) <= len(places["N"]):
                found[name] = in_turn[:, places["G"]].reshape(-1, *x.shape[1:])
        elif x.ndim and x.shape[-1] == priors and (holds is not None or x.dtype.kind not in "iu"):
            rows = x[..., places["N"]]
            if holds is Holds.CODES:
                rows = np.where(rows > 0, lookup[rows - 1] + 1, rows) if stranger else rows
            elif holds in (Holds.INDICES, Holds.BOXES):
                # What belongs to no ground truth names any.
                named = np.where(lookup == stranger, 0, lookup)
                rows = np.where(rows >= 0, named[rows], rows) if stranger else rows
            found[name] = rows
    return found


@dataclass(frozen=True, eq=False)
class PaddedBatch:
    """A call with padding, and how to read its outputs.

    Parameters
    ----------
    recipe : Recipe
        Whose call.
    arrays : mapping of str to numpy.ndarray
        The arguments, ``(B, ...)``.
    statics : mapping
        The arguments that are no arrays.
    places : tuple of mapping
        For each scene, where its rows of each kind are among all.
    gts : int
        Rows of ground truths of each image.
    """

    recipe: Recipe
    arrays: Mapping[str, AnyArray]
    statics: Mapping[str, Any]
    places: tuple[Places, ...]
    gts: int

    def outputs_of(self, outputs: Outputs, image: int) -> dict[str, AnyArray]:
        """Cut the outputs of one scene out of the batch's, numbered as its ground truths are."""
        own = {name: x[image] for name, x in outputs.items()}
        return outputs_of_rows(self.recipe, own, self.places[image], self.gts)


def _harmful(array: AnyArray, shape: tuple[int, ...], rng: np.random.Generator | None) -> AnyArray:
    """Give the most harmful values for padding rows: none may matter there."""
    if rng is None:
        value = {"f": np.nan, "b": True}.get(array.dtype.kind, 1)
        return np.full(shape, value, dtype=array.dtype)
    if array.dtype.kind == "f":
        return rng.choice([np.nan, np.inf, 0.0, 3.0, 6.0, 50.0], shape)
    return rng.random(shape) < 0.5 if array.dtype.kind == "b" else rng.integers(-5, 99, shape)


def _places(count: int, rows: int, lead: int, rng: np.random.Generator | None) -> AnyArray:
    """Tell where so many rows go among more."""
    return lead + np.arange(count) if rng is None else np.sort(rng.permutation(rows)[:count])


def pad_scenes(
    recipe: Recipe,
    scenes: Sequence[Scene],
    *,
    like: Sequence[Scene] = (),
    rng: np.random.Generator | None = None,
) -> PaddedBatch:
    """Join scenes to one batch.

    Parameters
    ----------
    recipe : Recipe
        Whose arguments.
    scenes : sequence of Scene
        At least one; all on the same levels.
    like : sequence of Scene, optional
        Further scenes whose numbers of rows count, so that several batches have one shape.
    rng : numpy.random.Generator, optional
        Draws the places of padding and what it holds. By default it holds NaN and is behind the rows of each
        level and of each kind, but for the ground truths of every second scene, which it is in front of.

    Returns
    -------
    PaddedBatch
        Its masks tell what is padding. Priors are padded on each level, unless they are the cells of feature
        maps.

    Raises
    ------
    ValueError
        There is no scene, or their levels differ.
    """
    if len({scene.levels for scene in scenes}) != 1:
        raise ValueError("expected at least one scene, all on the same levels")
    levels = scenes[0].levels
    most = [level.cells + (0 if recipe.by_map else PRIORS_BEYOND) for level in levels]
    starts = np.cumsum([0, *most[:-1]])
    counted = (*scenes, *like)
    rows = {"N": sum(most), **{kind: max(x.count(kind) for x in counted) + GTS_BEYOND for kind in "GI"}}
    places: list[Places] = []
    images: list[dict[str, AnyArray]] = []
    for number, scene in enumerate(scenes):
        of_levels = [
            start + _places(level.cells, length, 0, rng)
            for start, length, level in zip(starts, most, levels, strict=True)
        ]
        own: Places = {
            "N": np.concatenate(of_levels).astype(int),
            "G": _places(scene.n_gts, rows["G"], GTS_BEYOND if number % 2 else 0, rng),
            "I": _places(scene.count("I"), rows["I"], 0, rng),
        }
        places.append(own)
        wanted = recipe.arrays(scene)
        image = {}
        for name, array in wanted.items():
            kind = ROWS.get(name)
            if kind is None:
                image[name] = array
                continue
            spread = _harmful(array, (rows[kind], *array.shape[1:]), rng)
            spread[own[kind]] = array
            if name == MASKS[kind]:
                spread = np.isin(np.arange(rows[kind]), own[kind][array])
            image[name] = spread
        images.append(image)
    statics = recipe.statics(scenes[0])
    if recipe.by_level:
        statics["num_level_priors"] = tuple(most)
    arrays = {
        name: np.stack([image[name] for image in images]) if name in ROWS else x
        for name, x in images[0].items()
    }
    return PaddedBatch(recipe, arrays, statics, tuple(places), rows["G"])
