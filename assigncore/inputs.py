"""The inputs of assigners and of matchers, checked once and brought to one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, NamedTuple

from assigncore.backend import Array, ArrayBackend, get_backend
from assigncore.boxes.formulas import drop_nonfinite
from assigncore.checks import (
    check_class_masks,
    check_dtype,
    check_image_shape,
    check_labels,
    common_backend,
    common_lead,
    raise_precision,
)
from assigncore.inspect.trace import begin, is_recording, mark
from assigncore.result import AssignResult

__all__ = [
    "COST_INPUTS",
    "InputSpec",
    "MatchScene",
    "Scene",
    "label_spec",
    "read_inputs",
    "read_match_scene",
    "read_scene",
    "required_by",
]


class InputSpec(NamedTuple):
    """A further input of an assigner: its array, what its trailing dimensions are, and its kind of dtype.

    ``"N"`` and ``"G"`` among the dimensions are the scene's numbers of priors and ground truths, another
    string is a length of its own, and a number is itself. An input that is not required may be None.
    """

    array: Array
    dimensions: tuple[str | int, ...]
    kind: str = "real floating"
    required: bool = False


@dataclass(frozen=True, eq=False)
class Scene:
    """Priors and ground truths with one batch dimension, in the computing dtype, without non-finite numbers.

    Attributes
    ----------
    backend : ArrayBackend
        The library all arrays belong to.
    lead : tuple of int
        The leading dimensions of the inputs, which `result` restores. Their product is B.
    priors : array (B or 1, N, 3 or 4)
        Zeros where a row was not finite. One image where all share the priors.
    gt_bboxes : array (B, G, 4)
        Zeros where a row was not finite.
    prior_valid : array (B or 1, N) of bool
        Priors that take part, non-finite ones among them: those match nothing, but are not padding.
    prior_eligible : array (B or 1, N) of bool
        Priors that take part and are finite.
    gt_valid : array (B, G) of bool
        Ground truths that are neither padding nor non-finite.
    gt_labels : array (B, G) of integers or None
        Their classes, in the default integer dtype.
    ignore_bboxes : array (B, I, 4) or None
        Ignore regions, zeros where one is padding or non-finite.
    ignore_valid : array (B, I) of bool or None
        Ignore regions that are neither padding nor non-finite.
    further : mapping of str to array
        The further inputs, each with the batch dimension in front of its own: B, or 1 where all images share
        it and its rows are no ground truths.
    gt_classes : array (B, G, C) of bool or None
        The classes of the ground truths, where labels were given as masks: `gt_labels` is then None.
    """

    backend: ArrayBackend
    lead: tuple[int, ...]
    priors: Array
    gt_bboxes: Array
    prior_valid: Array
    prior_eligible: Array
    gt_valid: Array
    gt_labels: Array | None
    ignore_bboxes: Array | None
    ignore_valid: Array | None
    further: Mapping[str, Array] = field(default_factory=dict)
    gt_classes: Array | None = None

    @property
    def xp(self) -> Any:
        """The array API namespace."""
        return self.backend.xp

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of images, priors and ground truths: B, N, G."""
        return int(self.gt_bboxes.shape[0]), int(self.priors.shape[-2]), int(self.gt_bboxes.shape[-2])

    @property
    def is_empty(self) -> bool:
        """Whether there is no pair of a prior and a ground truth at all, padding included."""
        return 0 in self.shape

    def full(self, value: float, *, integers: bool = False) -> Array:
        """Return an array (B, N) of one value, in the computing dtype or the default integer one."""
        dtype = self.backend.integer_dtype(self.priors) if integers else self.priors.dtype
        return self.xp.full(self.shape[:2], value, dtype=dtype, device=self.backend.device_of(self.priors))

    def numbers(self, values: Sequence[float], counts: Sequence[int] | None = None) -> Array:
        """Return numbers, each once or as often as its count says, as an array in the computing dtype."""
        return self.backend.numbers(values, self.priors, counts)

    def codes(self, background: Array) -> Array:
        """Return 0 where `background` (B or 1, N) is true, else -1, (B, N), in the default integer dtype."""
        # Computed in bytes, and widened once: a selection between two numbers takes several times as long.
        short = self.xp.astype(background, self.xp.int8) - 1
        codes = self.xp.broadcast_to(short, self.shape[:2])
        return self.xp.astype(codes, self.backend.integer_dtype(self.priors))

    def result(
        self,
        gt_inds: Array,
        max_overlaps: Array | None,
        extras: Mapping[str, Array] | None = None,
        *,
        ignored: Array | None = None,
    ) -> AssignResult:
        """Return the result of `gt_inds` (B, N), with labels looked up and the leading dimensions restored.

        An image without a valid ground truth is all background with overlaps 0, but for the priors that are
        `ignored` (B or 1, N) in any image; a prior that takes no part is ignored, and keeps the overlap
        given; all whatever `gt_inds` says of them.
        """
        xp = self.xp
        any_gt = xp.any(self.gt_valid, axis=-1)[:, None]
        takes_part = self.prior_valid if ignored is None else self.prior_valid & ~ignored
        if is_recording():
            if ignored is not None:
                mark("in an ignore region", ignored, -1, holds="always")
            mark("takes no part", ~self.prior_valid, -1, holds="always")
        keep = self.backend.keep
        gt_inds = keep(takes_part, keep(any_gt, gt_inds, 0), -1)
        if max_overlaps is not None:
            max_overlaps = self.restore(keep(any_gt | ~self.prior_valid, max_overlaps, 0.0))
        labels = None if self.gt_labels is None else self.restore(self.labels_of(gt_inds))
        restored = {name: self.restore(x) for name, x in (extras or {}).items()}
        if self.gt_classes is not None:
            restored["classes"] = self.restore(self._classes_of(gt_inds))
        return AssignResult(self.restore(gt_inds), max_overlaps, labels, self.shape[2], restored)

    def _classes_of(self, gt_inds: Array) -> Array:
        """Return the classes of the ground truth each of `gt_inds` (B, N) points to, (B, N, C)."""
        xp, masks = self.xp, self.gt_classes
        assert masks is not None
        # Each image's table begins with the classes of what is not assigned: none.
        images, n_classes = int(masks.shape[0]), int(masks.shape[-1])
        none = xp.zeros((images, 1, n_classes), dtype=xp.bool, device=self.backend.device_of(masks))
        table = xp.concat([none, masks], axis=1)
        return self.backend.gather_rows(table, xp.where(gt_inds > 0, gt_inds, 0))

    def empty_result(
        self,
        extras: Mapping[str, Array] | None = None,
        *,
        excluded_overlap: float,
        ignored: Array | None = None,
    ) -> AssignResult:
        """Return the result where there is no pair at all: background, overlaps 0, no labels.

        Priors that take no part have the overlap `excluded_overlap`; some (B, N) may be `ignored`.
        """
        max_overlaps = self.xp.where(self.prior_valid, self.full(0.0), excluded_overlap)
        return self.result(self.full(0, integers=True), max_overlaps, extras, ignored=ignored)

    def labels_of(self, gt_inds: Array) -> Array:
        """Return the class of the ground truth each of `gt_inds` (B, N) points to, -1 where to none."""
        xp = self.xp
        if self.gt_labels is None or self.shape[2] == 0:
            return xp.full_like(gt_inds, -1)
        # Each image's table begins with the label of what is not assigned.
        table = xp.concat([xp.full_like(self.gt_labels[:, :1], -1), self.gt_labels], axis=-1)
        return self.backend.look_up(table, gt_inds)

    def restore(self, x: Array) -> Array:
        """Give `x` (B, ...) the leading dimensions of the inputs."""
        return self.xp.reshape(x, (*self.lead, *x.shape[1:]))


def read_scene(
    priors: Array,
    gt_bboxes: Array,
    *,
    gt_labels: Array | None = None,
    gt_valid: Array | None = None,
    prior_valid: Array | None = None,
    ignore_bboxes: Array | None = None,
    ignore_valid: Array | None = None,
    columns: tuple[int | str, int | str] = (4, 4),
    priors_name: str = "priors",
    further: Mapping[str, InputSpec] | None = None,
) -> Scene:
    """Check the inputs of an assigner and bring them to one form.

    Nothing here reads a value but labels where there are classes and the host can read them, so it costs
    nothing and works while compiling. Errors name the priors by `priors_name`. `columns` are those of
    priors and of ground truths; any number where it is a name.

    Raises
    ------
    TypeError
        If an input is no array, of another library than the first, or of the wrong kind of dtype.
    ValueError
        If a shape does not fit, two inputs are on different devices, or a label is none of the classes.
    """
    inputs = {
        priors_name: InputSpec(priors, ("N", columns[0]), required=True),
        "gt_bboxes": InputSpec(gt_bboxes, ("G", columns[1]), required=True),
        "gt_labels": InputSpec(gt_labels, ("G",), "integral"),
        "gt_valid": InputSpec(gt_valid, ("G",), "bool"),
        "prior_valid": InputSpec(prior_valid, ("N",), "bool"),
        "ignore_bboxes": InputSpec(ignore_bboxes, ("I", columns[1])),
        "ignore_valid": InputSpec(ignore_valid, ("I",), "bool"),
        **(further or {}),
    }
    if ignore_valid is not None and ignore_bboxes is None:
        raise ValueError("ignore_valid: expected ignore_bboxes with it, got None")
    backend, lead, flat = read_inputs(inputs)
    flat["priors"] = flat.pop(priors_name)
    of_classes = [
        name for name, value in (further or {}).items() if value.dimensions[-1] == "C" and name in flat
    ]
    # That there is no class at all is the assigner's to refuse.
    n_classes = int(flat[of_classes[0]].shape[-1]) or None if of_classes else None
    for name, value in (further or {}).items():
        if value.dimensions[0] == "G" and name in flat:
            flat[name] = _of_each_image(backend.xp, flat[name], prod(lead))
    return _build(flat, backend, lead, tuple(further or ()), n_classes)


def read_inputs(inputs: Mapping[str, InputSpec]) -> tuple[ArrayBackend, tuple[int, ...], dict[str, Array]]:
    """Check the inputs that are given and bring each to one batch dimension.

    Returns
    -------
    backend : ArrayBackend
        The library all arrays belong to.
    lead : tuple of int
        The leading dimensions they broadcast to, of product B.
    arrays : dict of str to array (B or 1, ...)
        The inputs that were given; real numbers in one dtype, at least float32, cut off from gradients.
    """
    given = {name: value for name, value in inputs.items() if value.array is not None or value.required}
    backend = common_backend({name: value.array for name, value in given.items()})
    leads = _checked_leads(given, backend)
    lead = common_lead(leads)
    return backend, lead, _flattened(given, backend, leads, lead)


def required_by(
    knob: str, dimensions: Mapping[str, tuple[str | int, ...]], given: Mapping[str, Array | None]
) -> dict[str, InputSpec]:
    """Return the specifications of inputs that are required since a knob is set.

    Raises
    ------
    ValueError
        If one is not given: it says by which knob it is required.
    """
    for name in dimensions:
        if given[name] is None:
            raise ValueError(f"{name}: expected an array, since {knob} is set, got None")
    return {name: InputSpec(given[name], own, required=True) for name, own in dimensions.items()}


def label_spec(gt_labels: Array) -> InputSpec:
    """Return the specification of labels that may be masks of classes (..., G, C) of bool."""
    is_mask = get_backend(gt_labels, "gt_labels").is_dtype(gt_labels.dtype, "bool")
    dimensions = ("G", "C") if is_mask else ("G",)
    return InputSpec(gt_labels, dimensions, "bool" if is_mask else "integral", required=True)


def _checked_leads(given: Mapping[str, InputSpec], backend: ArrayBackend) -> dict[str, tuple[int, ...]]:
    """Check shapes and dtypes, and return the leading dimensions of each input."""
    lengths: dict[str, int] = {}
    leads: dict[str, tuple[int, ...]] = {}
    for name, (array, dimensions, kind, _) in given.items():
        shape = tuple(array.shape)
        rank = len(shape) - len(dimensions)
        own, fits = list(zip(dimensions, shape[max(rank, 0) :], strict=False)), rank >= 0
        for dimension, length in own:
            wanted = lengths.get(dimension) if isinstance(dimension, str) else dimension
            fits = fits and (wanted is None or wanted == length)
        if not fits:
            expected = ", ".join(str(lengths.get(str(d), d)) for d in dimensions)
            raise ValueError(f"{name}: expected shape (..., {expected}), got {shape}")
        check_dtype(name, array, backend, kind)
        lengths |= {dimension: int(length) for dimension, length in own if isinstance(dimension, str)}
        leads[name] = shape[:rank]
    return leads


def _flattened(
    given: Mapping[str, InputSpec],
    backend: ArrayBackend,
    leads: Mapping[str, tuple[int, ...]],
    lead: tuple[int, ...],
) -> dict[str, Array]:
    """Give every input one batch dimension: B, or 1 where all images share it; cut off their gradients."""
    xp = backend.xp
    floats = {name: value.array for name, value in given.items() if value.kind == "real floating"}
    raised = map(backend.stop_gradient, raise_precision(backend, *floats.values()))
    arrays = {name: value.array for name, value in given.items()} | dict(zip(floats, raised, strict=True))
    flat: dict[str, Array] = {}
    for name, x in arrays.items():
        tail = tuple(x.shape)[len(leads[name]) :]
        if prod(leads[name]) == 1:
            flat[name] = xp.reshape(x, (1, *tail))
        else:
            flat[name] = xp.reshape(xp.broadcast_to(x, (*lead, *tail)), (prod(lead), *tail))
    return flat


def _build(
    flat: dict[str, Array],
    backend: ArrayBackend,
    lead: tuple[int, ...],
    further: tuple[str, ...],
    n_classes: int | None,
) -> Scene:
    xp, images = backend.xp, prod(lead)

    priors, prior_eligible = drop_nonfinite(flat["priors"])
    if "prior_valid" in flat:
        prior_valid = flat["prior_valid"]
        prior_eligible = prior_valid & prior_eligible
    else:
        prior_valid = xp.ones_like(prior_eligible)
    gt_bboxes, gt_valid = drop_nonfinite(flat["gt_bboxes"])
    if "gt_valid" in flat:
        gt_valid = gt_valid & flat["gt_valid"]
    ignore_bboxes, ignore_valid = _regions(xp, flat, images)
    gt_labels = gt_classes = None
    if "gt_labels" in flat and flat["gt_labels"].ndim == 3:
        gt_valid = gt_valid & check_class_masks(backend, flat["gt_labels"], gt_valid)
        gt_classes = _of_each_image(xp, flat["gt_labels"], images)
    elif "gt_labels" in flat:
        gt_labels = xp.astype(flat["gt_labels"], backend.integer_dtype(priors))
        if n_classes is not None:
            gt_valid = check_labels(backend, gt_labels, gt_valid, n_classes)
        gt_labels = _of_each_image(xp, gt_labels, images)
    gt_valid = _of_each_image(xp, gt_valid, images)
    begin((int(gt_bboxes.shape[1]), int(priors.shape[-2])), gt_valid)
    return Scene(
        backend=backend,
        lead=lead,
        priors=priors,
        gt_bboxes=_of_each_image(xp, gt_bboxes, images),
        prior_valid=prior_valid,
        prior_eligible=prior_eligible,
        gt_valid=gt_valid,
        gt_labels=gt_labels,
        ignore_bboxes=ignore_bboxes,
        ignore_valid=ignore_valid,
        further={name: flat[name] for name in further if name in flat},
        gt_classes=gt_classes,
    )


_DIMENSIONS: Mapping[str, tuple[tuple[str | int, ...], str]] = {
    "pred_bboxes": (("N", 4), "real floating"),
    "pred_logits": (("N", "C"), "real floating"),
    "pred_scores": (("N", "C"), "real floating"),
    "pred_masks": (("N", "H", "W"), "real floating"),
    "pred_keypoints": (("N", "K", 2), "real floating"),
    "pred_keypoint_logits": (("N", "K", 2), "real floating"),
    "pred_keypoint_precision": (("N", "K", 3), "real floating"),
    "prior_valid": (("N",), "bool"),
    "gt_bboxes": (("G", 4), "real floating"),
    "gt_masks": (("G", "H", "W"), ""),
    "gt_keypoints": (("G", "K", 3), "real floating"),
    "gt_labels": (("G",), "integral"),
    "positive_maps": (("G", "C"), ""),
    "gt_valid": (("G",), "bool"),
    "ignore_bboxes": (("I", 4), "real floating"),
    "ignore_valid": (("I",), "bool"),
    "text_token_mask": (("C",), "bool"),
    "mask_points": (("P", 2), "real floating"),
    "image_shape": ((2,), ""),
}
"""The dimensions and the kind of dtype of each input of a matching.

A plain dict, since a compiler of PyTorch reads no mapping proxy once the traced function has changed a dict.
"""

_OF_REGIONS = ("ignore_bboxes", "ignore_valid")

COST_INPUTS = tuple(name for name in _DIMENSIONS if not name.endswith("_valid") and name not in _OF_REGIONS)
"""What a match cost may read, by the name it has in every signature."""

PREDICTIONS = tuple(name for name in COST_INPUTS if name.startswith("pred_"))
GROUND_TRUTHS = ("gt_bboxes", "gt_labels", "gt_masks", "gt_keypoints", "positive_maps")


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
    ignore_bboxes : array (B, I, 4) or None
        Ignore regions, zeros where one is padding or non-finite.
    ignore_valid : array (B, I) of bool or None
        Ignore regions that are neither padding nor non-finite.
    """

    backend: ArrayBackend
    lead: tuple[int, ...]
    shape: tuple[int, int, int]
    dtype: Any
    arrays: Mapping[str, Array]
    prior_valid: Array
    gt_valid: Array
    ignore_bboxes: Array | None = None
    ignore_valid: Array | None = None

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
        self,
        matched: Array,
        max_overlaps: Array | None = None,
        extras: Mapping[str, Array] | None = None,
        *,
        ignored: Array | None = None,
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
        ignored : array (B, N) of bool, optional
            Predictions that are ignored all the same.
        """
        xp = self.xp
        takes_part = self.prior_valid if ignored is None else self.prior_valid & ~ignored
        if is_recording():
            if ignored is not None:
                mark("in an ignore region", ignored, -1, holds="always")
            mark("takes no part", ~self.prior_valid, -1, holds="always")
        gt_inds = xp.where(takes_part, matched + 1, -1)
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


def read_match_scene(inputs: Mapping[str, Any], needed: Mapping[str, str], *, columns: int = 4) -> MatchScene:
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
    columns : int, default 4
        Of boxes.

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
    if "ignore_bboxes" in arrays and "pred_bboxes" not in arrays:
        raise ValueError("pred_bboxes: expected an array, since ignore_bboxes are compared with it, got None")
    if "ignore_valid" in arrays and "ignore_bboxes" not in arrays:
        raise ValueError("ignore_valid: expected ignore_bboxes with it, got None")
    for some in (PREDICTIONS, GROUND_TRUTHS):
        if not any(name in arrays for name in some):
            raise ValueError(f"{', '.join(some)}: expected at least one of them, got None of all")
    sides = arrays.pop("image_shape") if isinstance(arrays.get("image_shape"), tuple | list) else None
    if sides is not None:
        check_image_shape(sides, above=0)
    ordered = {name: arrays[name] for name in _DIMENSIONS if name in arrays}
    backend, lead, flat = read_inputs(
        {name: _specification(name, x, arrays, columns) for name, x in ordered.items()}
    )
    if "C" in (axes := _lengths(flat)) and axes["C"] == 0:
        of_classes = next(name for name in flat if "C" in _DIMENSIONS[name][0])
        raise ValueError(f"{of_classes}: expected at least one class, got none")
    if 0 in (axes.get("H", 1), axes.get("W", 1)):
        raise ValueError("pred_masks: expected at least one pixel, got none")
    scene = _build_match(backend, lead, flat, axes, sides)
    if "gt_labels" not in needed or "C" not in axes:
        return scene
    valid = check_labels(backend, flat["gt_labels"], scene.gt_valid, axes["C"])
    return replace(scene, gt_valid=valid)


def _specification(name: str, x: Array, arrays: Mapping[str, Array], columns: int) -> InputSpec:
    dimensions, kind = _DIMENSIONS[name]
    if name.endswith("_bboxes"):
        dimensions = (dimensions[0], columns)
    if name == "gt_masks" and "mask_points" in arrays:
        # Sampled at points, predictions and ground truth need not have one resolution.
        dimensions = ("G", "height", "width")
    if not kind:
        kinds = {"bool": "bool", "int": "integral", "uint": "integral"}
        kind = next((kinds[k] for k in kinds if k in str(getattr(x, "dtype", ""))), "real floating")
    return InputSpec(x, dimensions, kind, required=True)


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
    regions, region_valid = _regions(xp, flat, images)
    begin((axes["G"], axes["N"]), gt_valid)
    shape = (images, axes["N"], axes["G"])
    return MatchScene(backend, lead, shape, some.dtype, flat, prior_valid, gt_valid, regions, region_valid)


def _regions(xp: Any, flat: dict[str, Array], images: int) -> tuple[Array | None, Array | None]:
    """Take the ignore regions out of the inputs: their boxes and which count, (B, I, D) and (B, I)."""
    if "ignore_bboxes" not in flat:
        return None, None
    boxes, valid = drop_nonfinite(flat.pop("ignore_bboxes"))
    if "ignore_valid" in flat:
        valid = valid & flat.pop("ignore_valid")
        boxes = xp.where(valid[..., None], boxes, 0.0)
    return tuple(_of_each_image(xp, x, images) for x in (boxes, valid))


def _of_each_image(xp: Any, x: Array, images: int) -> Array:
    """Give each image its own, where all share one."""
    # Compared with 1 alone: two lengths a compiler would hold to be equal, or not, from then on.
    is_shared = int(x.shape[0]) == 1 and images != 1
    return xp.broadcast_to(x, (images, *x.shape[1:])) if is_shared else x
