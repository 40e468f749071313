"""Predictions and ground truths that are matched by cost, checked once and brought to one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from numbers import Real
from types import MappingProxyType
from typing import Any

from assigncore.backend import Array, ArrayBackend
from assigncore.result import AssignResult
from assigncore.scene import Beside, read_inputs, with_known_class

__all__ = ["COST_INPUTS", "MatchScene", "read_match_scene"]

_DIMENSIONS: Mapping[str, tuple[tuple[str | int, ...], str]] = MappingProxyType(
    {
        "pred_bboxes": (("N", 4), "real floating"),
        "pred_logits": (("N", "C"), "real floating"),
        "pred_scores": (("N", "C"), "real floating"),
        "pred_masks": (("N", "H", "W"), "real floating"),
        "prior_valid": (("N",), "bool"),
        "gt_bboxes": (("G", 4), "real floating"),
        "gt_masks": (("G", "H", "W"), ""),
        "gt_labels": (("G",), "integral"),
        "positive_maps": (("G", "C"), ""),
        "gt_valid": (("G",), "bool"),
        "text_token_mask": (("C",), "bool"),
        "mask_points": (("P", 2), "real floating"),
        "image_shape": ((2,), ""),
    }
)

COST_INPUTS = tuple(name for name in _DIMENSIONS if not name.endswith("_valid"))
"""What a match cost may read, by the name it has in every signature."""

PREDICTIONS = tuple(name for name in COST_INPUTS if name.startswith("pred_"))
GROUND_TRUTHS = ("gt_bboxes", "gt_labels", "gt_masks", "positive_maps")


@dataclass(frozen=True, eq=False)
class MatchScene:
    """What is matched, with one batch dimension and in the computing dtype.

    Attributes
    ----------
    backend : ArrayBackend
        The library all arrays belong to.
    lead : tuple of int
        The leading dimensions of the inputs, which `result` restores. Their product is B.
    shape : tuple of int
        Numbers of images, predictions and ground truths: B, N, G.
    dtype : dtype
        What costs are computed in, at least float32.
    arrays : mapping of str to array
        The inputs of costs, each with the batch dimension B or 1 in front of its own. `image_shape` is
        there as an array (B or 1, 2) if it was given.
    prior_valid : array (B or 1, N) of bool
        Predictions that take part.
    gt_valid : array (B, G) of bool
        Ground truths that are no padding.
    """

    backend: ArrayBackend
    lead: tuple[int, ...]
    shape: tuple[int, int, int]
    dtype: Any
    arrays: Mapping[str, Array]
    prior_valid: Array
    gt_valid: Array

    @property
    def xp(self) -> Any:
        """The array API namespace."""
        return self.backend.xp

    @property
    def is_empty(self) -> bool:
        """Whether there is no pair of a prediction and a ground truth at all, padding included."""
        return 0 in self.shape

    @property
    def pairs(self) -> Array:
        """True where both a prediction and a ground truth take part, (B, N, G)."""
        return self.prior_valid[:, :, None] & self.gt_valid[:, None, :]

    def full(self, shape: tuple[int, ...], value: float, *, integers: bool = False) -> Array:
        """Return an array of one value, in the computing dtype or the default integer one."""
        like = self.gt_valid
        dtype = self.backend.integer_dtype(like) if integers else self.dtype
        return self.xp.full(shape, value, dtype=dtype, device=self.backend.device_of(like))

    def result(
        self, matched: Array, max_overlaps: Array | None = None, extras: Mapping[str, Array] | None = None
    ) -> AssignResult:
        """Return the result of a matching, with labels looked up and the leading dimensions restored.

        Parameters
        ----------
        matched : array (B, N) of integers
            Ground truth of each prediction counted from 0, -1 where it has none.
        max_overlaps : array (B, N), optional
            What the result says of overlaps.
        extras : mapping of str to array (B, ...), optional
            Further outputs.
        """
        xp = self.xp
        gt_inds = xp.where(self.prior_valid, matched + 1, -1)
        labels = self.arrays.get("gt_labels")
        if labels is not None:
            labels = self.restore(self._labels_of(labels, gt_inds))
        restored = {name: self.restore(x) for name, x in (extras or {}).items()}
        overlaps = None if max_overlaps is None else self.restore(max_overlaps)
        return AssignResult(self.restore(gt_inds), overlaps, labels, self.shape[2], restored)

    def _labels_of(self, gt_labels: Array, gt_inds: Array) -> Array:
        xp = self.xp
        if self.is_empty:
            return xp.full_like(gt_inds, -1)
        each = xp.astype(xp.broadcast_to(gt_labels, (self.shape[0], self.shape[2])), gt_inds.dtype)
        place = xp.where(gt_inds > 0, gt_inds - 1, 0)
        return xp.where(gt_inds > 0, xp.take_along_axis(each, place, axis=-1), -1)

    def unmatched(self) -> Array:
        """Return a matching (B, N) without any pair."""
        return self.full(self.shape[:2], -1, integers=True)

    def restore(self, x: Array) -> Array:
        """Give `x` (B, ...) the leading dimensions of the inputs."""
        return self.xp.reshape(x, (*self.lead, *x.shape[1:]))


def read_match_scene(inputs: Mapping[str, Any], needed: Mapping[str, str]) -> MatchScene:
    """Check what is to be matched and bring it to one form.

    Nothing here reads a value but labels where they are read as classes and the host can read them, so it
    costs nothing and works while compiling.

    Parameters
    ----------
    inputs : mapping of str to array or None
        The inputs by the names of `COST_INPUTS`, and `prior_valid` and `gt_valid`. `image_shape` may be a
        tuple (height, width) of numbers too.
    needed : mapping of str to str
        Inputs that must be there, each with what reads it.

    Raises
    ------
    TypeError
        If an input has an unknown name, is no array, of another library or of the wrong kind of dtype.
    ValueError
        If an input that is needed is missing, a shape does not fit, two are on different devices, or a label
        is none of the classes.
    """
    for name in inputs:
        if name not in _DIMENSIONS:
            raise TypeError(f"unknown argument {name!r}; expected some of {', '.join(_DIMENSIONS)}")
    arrays = {name: x for name, x in inputs.items() if x is not None}
    for name, reader in needed.items():
        if name not in arrays:
            kind = "a pair (height, width) or an array" if name == "image_shape" else "an array"
            raise ValueError(f"{name}: expected {kind}, since {reader} reads it, got None")
    for some in (PREDICTIONS, GROUND_TRUTHS):
        if not any(name in arrays for name in some):
            raise ValueError(f"{', '.join(some)}: expected at least one of them, got None of all")
    sides = arrays.pop("image_shape") if isinstance(arrays.get("image_shape"), tuple | list) else None
    if sides is not None:
        _check_sides(sides)
    ordered = {name: arrays[name] for name in _DIMENSIONS if name in arrays}
    backend, lead, flat = read_inputs({name: _beside(name, x, arrays) for name, x in ordered.items()})
    if "C" in (axes := _lengths(flat)) and axes["C"] == 0:
        raise ValueError("pred_logits: expected at least one class, got none")
    if 0 in (axes.get("H", 1), axes.get("W", 1)):
        raise ValueError("pred_masks: expected at least one pixel, got none")
    scene = _build_match(backend, lead, flat, axes, sides)
    if "gt_labels" not in needed or "C" not in axes:
        return scene
    valid = with_known_class(backend, flat["gt_labels"], scene.gt_valid, axes["C"])
    return replace(scene, gt_valid=valid)


def _check_sides(sides: tuple[Any, ...] | list[Any]) -> None:
    good = len(sides) == 2 and all(isinstance(x, Real) and 0 < float(x) < float("inf") for x in sides)
    if not good:
        raise ValueError(f"image_shape: expected two positive numbers, height and width, got {sides!r}")


def _beside(name: str, x: Array, arrays: Mapping[str, Array]) -> Beside:
    dimensions, kind = _DIMENSIONS[name]
    if name == "gt_masks" and "mask_points" in arrays:
        # Sampled at points, predictions and ground truth need not have one resolution.
        dimensions = ("G", "height", "width")
    if not kind:
        kinds = {"bool": "bool", "int": "integral", "uint": "integral"}
        kind = next((kinds[k] for k in kinds if k in str(getattr(x, "dtype", ""))), "real floating")
    return Beside(x, dimensions, kind, required=True)


def _lengths(flat: Mapping[str, Array]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for name, x in flat.items():
        for length, axis in zip(x.shape[1:], _DIMENSIONS[name][0], strict=True):
            if isinstance(axis, str):
                lengths.setdefault(axis, int(length))
    return lengths


def _build_match(
    backend: ArrayBackend,
    lead: tuple[int, ...],
    flat: dict[str, Array],
    axes: Mapping[str, int],
    sides: tuple[float, float] | None,
) -> MatchScene:
    xp, images = backend.xp, prod(lead)
    some = next(flat[name] for name in PREDICTIONS if name in flat)
    device = backend.device_of(some)
    if sides is not None:
        # Made on the device: copying a table to it would wait for it.
        each = [xp.full((1, 1), float(side), dtype=some.dtype, device=device) for side in sides]
        flat["image_shape"] = xp.concat(each, axis=-1)
    elif "image_shape" in flat:
        flat["image_shape"] = xp.astype(flat["image_shape"], some.dtype)

    def mask(name: str, length: int) -> Array:
        given = flat.pop(name, None)
        return xp.ones((1, length), dtype=xp.bool, device=device) if given is None else given

    prior_valid, gt_valid = mask("prior_valid", axes["N"]), mask("gt_valid", axes["G"])
    gt_valid = xp.broadcast_to(gt_valid, (images, axes["G"]))
    return MatchScene(backend, lead, (images, axes["N"], axes["G"]), some.dtype, flat, prior_valid, gt_valid)
