"""Scenes: everything an assigner may ask for about one image, by the names of the signatures.

A scene holds all arrays in float64, whatever an assigner reads of them;
:mod:`assigncore.conformance.scenes.recipes` picks and casts. Scenes are drawn by
kind and seed, the same on every machine: see :mod:`assigncore.conformance.scenes.kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.targets.target import Target

__all__ = [
    "BOXES",
    "MASKS",
    "PYRAMID",
    "ROWS",
    "SCORES",
    "Level",
    "Scene",
    "native_arrays",
    "round_to",
    "scene_of",
]

AnyArray = NDArray[Any]

MASKS: Mapping[str, str] = MappingProxyType({"N": "prior_valid", "G": "gt_valid", "I": "ignore_valid"})
"""The mask that marks each kind of rows."""

ROWS: Mapping[str, str] = MappingProxyType(
    {
        "priors": "N", "prior_valid": "N", "approxs": "N", "responsible_flags": "N", "pred_bboxes": "N",
        "pred_scores": "N", "pred_logits": "N", "pred_objectness": "N", "pred_masks": "N",
        "gt_bboxes": "G", "gt_labels": "G", "gt_valid": "G", "gt_masks": "G",
        "gt_keypoints": "G", "pred_keypoints": "N",
        "ignore_bboxes": "I", "ignore_valid": "I", "ignore_labels": "I", "strides": "N",
    }
)  # fmt: skip
"""What the rows of each array are: priors, ground truths or ignore regions. Others have none."""

BOXES = ("priors", "approxs", "gt_bboxes", "ignore_bboxes", "pred_bboxes")
"""The arrays of boxes."""

SCORES = ("pred_scores", "pred_logits", "pred_objectness", "pred_masks")
"""What else is predicted."""

CLASSES = 5
"""Number of classes."""

MASK_SIDE = 6
"""Height and width of the masks of a scene."""


@dataclass(frozen=True)
class Level:
    """One level of a feature pyramid: its height and width in cells, and a cell's side in pixels."""

    height: int
    width: int
    stride: int

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.height * self.width

    def centers(self) -> AnyArray:
        """Give the cells' centres, row by row, ``(cells, 2)``."""
        y, x = np.mgrid[: self.height, : self.width]
        return (np.stack([x.ravel(), y.ravel()], axis=-1) + 0.5) * self.stride


PYRAMID = (Level(8, 8, 8), Level(4, 4, 16), Level(2, 2, 32))
"""The levels of a scene of 64 x 64 pixels: 84 cells."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What there is to know about one image.

    Parameters
    ----------
    name : str
        What reports call it.
    kind : str
        What it is like.
    levels : tuple of Level
        The levels on which its priors lie, one prior a cell.
    arrays : mapping of str to numpy.ndarray
        All array arguments there are, by name; real numbers in float64.
    """

    name: str
    kind: str
    levels: tuple[Level, ...]
    arrays: Mapping[str, AnyArray]

    @property
    def n_priors(self) -> int:
        """Number of priors, N."""
        return len(self.arrays["priors"])

    @property
    def n_gts(self) -> int:
        """Number of ground truths, G."""
        return len(self.arrays["gt_bboxes"])

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        first = self.levels[0]
        return max(first.height, 1) * first.stride, max(first.width, 1) * first.stride

    def count(self, kind: str) -> int:
        """Count the rows of a kind: ``"N"`` priors, ``"G"`` ground truths, ``"I"`` ignore regions."""
        return len(self.arrays[MASKS[kind]])

    def with_arrays(self, **arrays: AnyArray) -> Scene:
        """Give the scene with some arrays replaced."""
        return replace(self, arrays={**self.arrays, **arrays})

    def take(self, kind: str, rows: Any) -> Scene:
        """Give the scene with these rows of a kind alone, in their order; priors stay on as many levels."""
        taken = {name: x[rows] for name, x in self.arrays.items() if ROWS.get(name) == kind}
        if kind != "N":
            return self.with_arrays(**taken)
        of_level = np.repeat(np.arange(len(self.levels)), [level.cells for level in self.levels])[rows]
        levels = tuple(
            Level(1, int(np.sum(of_level == i)), level.stride)
            if np.any(of_level == i)
            else Level(0, 0, level.stride)
            for i, level in enumerate(self.levels)
        )
        unchanged = all(one.cells == other.cells for one, other in zip(levels, self.levels, strict=True))
        return replace(self.with_arrays(**taken), levels=self.levels if unchanged else levels)


def scene_of(
    name: str,
    kind: str,
    gt_bboxes: AnyArray,
    rng: np.random.Generator,
    *,
    levels: tuple[Level, ...] = PYRAMID,
    ignore_bboxes: AnyArray | None = None,
    coarse: bool = False,
) -> Scene:
    """Put a scene together around ground truths.

    Parameters
    ----------
    name, kind : str
        What reports call it, and what it is like.
    gt_bboxes : numpy.ndarray
        Shape ``(G, 4)``.
    rng : numpy.random.Generator
        Draws everything else.
    levels : tuple of Level, optional
        Where the priors lie: one square of two strides about each cell's centre. Fewer than three levels
        are followed by empty ones, since some methods have rules for so many.
    ignore_bboxes : numpy.ndarray, optional
        Shape ``(I, 4)``; two boxes where they are not given.
    coarse : bool, default False
        Whether predictions take few values, so that many are equal.
    """
    levels += tuple(Level(0, 0, 2 * levels[-1].stride) for _ in range(3 - len(levels)))
    centers = np.concatenate([level.centers() for level in levels]).reshape(-1, 2)
    strides = np.repeat([float(level.stride) for level in levels], [level.cells for level in levels])
    priors = np.concatenate([centers - strides[:, None], centers + strides[:, None]], axis=-1)
    count, gts = len(priors), len(gt_bboxes)
    if ignore_bboxes is None:
        low = rng.uniform(0, 40, (2, 2))
        ignore_bboxes = np.concatenate([low, low + rng.uniform(4, 24, (2, 2))], axis=-1)
    pred_bboxes = priors + rng.normal(0, 3, priors.shape)
    pred_logits = rng.normal(-1, 2, (count, CLASSES))
    if gts:
        # Some predictions are good ones, or every method would find nothing but background.
        good = np.flatnonzero(rng.random(count) < 0.4)
        near = rng.integers(0, gts, len(good))
        with np.errstate(invalid="ignore"):
            pred_bboxes[good] = gt_bboxes[near] + rng.normal(0, 1.5, (len(good), 4))
    objectness = rng.normal(0, 1, count)
    if coarse:
        pred_bboxes, pred_logits, objectness = (
            np.round(x / 4) * 4 for x in (pred_bboxes, pred_logits, objectness)
        )
        ignore_bboxes = np.round(ignore_bboxes / 4) * 4
    regions = len(ignore_bboxes)
    arrays = {
        "priors": priors,
        "prior_valid": rng.random(count) < 0.95,
        "approxs": priors[:, None] + np.array([[0.0, 0, 0, 0], [-4, 4, 4, -4], [4, -4, -4, 4]]),
        "responsible_flags": rng.random(count) < 0.6,
        "pred_bboxes": pred_bboxes,
        "pred_logits": pred_logits,
        "pred_scores": 1 / (1 + np.exp(-pred_logits)),
        "pred_objectness": objectness,
        "pred_masks": np.round(rng.normal(0, 2, (count, MASK_SIDE, MASK_SIDE)), 1 if coarse else 6),
        "gt_bboxes": np.asarray(gt_bboxes, dtype=float).reshape(gts, 4),
        "gt_labels": rng.integers(0, CLASSES, gts),
        "gt_valid": rng.random(gts) < 0.9,
        "gt_masks": rng.random((gts, MASK_SIDE, MASK_SIDE)) < 0.5,
        "ignore_bboxes": np.asarray(ignore_bboxes, dtype=float).reshape(regions, 4),
        "ignore_valid": rng.random(regions) < 0.8,
        "ignore_labels": np.full(regions, -1),
    }
    return Scene(name, kind, levels, MappingProxyType(arrays))


def round_to(array: AnyArray, dtype: str) -> AnyArray:
    """Round real numbers to what a dtype can hold, in NumPy's dtype of the computation.

    Parameters
    ----------
    array : numpy.ndarray
        Numbers; others than real ones pass through.
    dtype : str
        ``"float64"``, ``"float32"``, ``"float16"`` or ``"bfloat16"``.

    Returns
    -------
    numpy.ndarray
        In float64, or in float32 for all others.

    Examples
    --------
    >>> round_to(np.array([1 / 3]), "bfloat16")
    array([0.33398438], dtype=float32)
    """
    if array.dtype.kind != "f" or dtype == "float64":
        return array
    with np.errstate(over="ignore"):
        if dtype == "float16":
            return array.astype(np.float16).astype(np.float32)
        single = array.astype(np.float32)
    if dtype == "float32":
        return single
    bits = single.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(single), single, rounded.astype(np.uint32).view(np.float32))


def native_arrays(target: Target, arrays: Mapping[str, AnyArray], dtype: str) -> dict[str, Any]:
    """Bring arrays to a target, real numbers rounded to a dtype and in it."""
    return {
        name: target.in_dtype(round_to(x, dtype), dtype) if x.dtype.kind == "f" else target.from_numpy(x)
        for name, x in arrays.items()
    }
