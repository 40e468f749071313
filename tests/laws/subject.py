"""What an assigner under test is to the laws: how to call it, what its outputs hold, how its rule reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from assigncore import build_assigner, load_backend

from . import readings

BOXES = ("priors", "gt_bboxes", "gt_labels", "gt_valid", "prior_valid")
REGIONS = ("ignore_bboxes", "ignore_valid")
OPTIONAL = frozenset(("gt_labels", "gt_valid", "prior_valid", *REGIONS))

CODE, INDEX, BY_INDEX = "index of a ground truth + 1", "index of one", "looked up by such an index"
PAIRS, OTHER = "a column for each ground truth", "other"
"""What an output holds, so that a law that moves ground truths knows what must move with them."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One assigner with its knobs.

    Parameters
    ----------
    name : str
        Name of the test's parameter.
    config : mapping
        What `build_assigner` builds it from.
    rule : callable
        Its reading; see `readings`.
    takes : tuple of str
        Its array arguments.
    extras : mapping of str to str
        What its further outputs hold: `CODE`, `INDEX`, `BY_INDEX`, `PAIRS` or `OTHER`.
    reading_knobs : mapping
        Knobs the reading takes beside, or in place of, the config's.
    others : callable
        Gives its arguments that are no arrays, such as ``num_level_priors``, from those that are.
    as_points : bool
        Whether its priors are points with strides, which stand at the centres of a scene's boxes.
    no_label : int
        The label of a prior that is not positive, in an image with ground truths.
    ignores_without_gts : bool
        Whether its ignore regions count in an image without ground truths too.
    """

    name: str
    config: Mapping[str, Any]
    rule: Callable[..., Any]
    takes: tuple[str, ...] = BOXES
    extras: Mapping[str, str] = field(default_factory=dict)
    reading_knobs: Mapping[str, Any] = field(default_factory=dict)
    others: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _arrays: {}
    as_points: bool = False
    no_label: int = -1
    ignores_without_gts: bool = False

    def __str__(self):
        """Name the parameter."""
        return self.name

    @cached_property
    def assigner(self):
        """The assigner."""
        return build_assigner(self.config)

    @property
    def type(self):
        """The assigner's name."""
        return self.config["type"]

    @property
    def kinds(self):
        """Kinds of rows among the arguments: priors, ground truths, perhaps ignore regions."""
        return ("N", "G", "I") if self.takes_regions else ("N", "G")

    @property
    def takes_regions(self):
        """Whether the method has ignore regions."""
        return "ignore_bboxes" in self.takes

    @property
    def holds(self):
        """What each output holds."""
        return {"gt_inds": CODE, "max_overlaps": OTHER, "labels": OTHER, **self.extras}

    @property
    def required(self):
        """The arguments that cannot be left out."""
        return tuple(name for name in self.takes if name not in OPTIONAL)

    def arguments(self, scene):
        """Pick the arguments from a scene."""
        arguments = {name: scene[name] for name in self.takes}
        return {**arguments, "priors": _points(scene["priors"])} if self.as_points else arguments

    def assign(self, **arrays):
        """Call the assigner; a function of arrays alone, which can be compiled."""
        result = self.assigner.assign(**arrays, **self.others(arrays))
        outputs = {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}
        return {name: x for name, x in {**outputs, **result.extras}.items() if x is not None}

    @cached_property
    def traces(self):
        """The shapes JAX has traced the assigner for, a list that grows."""
        return []

    @cached_property
    def jitted(self):
        """The assigner's call, compiled by JAX."""

        def assign(**arrays):
            self.traces.append({name: x.shape for name, x in arrays.items()})
            return self.assign(**arrays)

        return load_backend("jax").compile(assign)

    def run(self, target, arguments, *, eagerly=False):
        """Assign NumPy arguments with the target's arrays, and bring the outputs back.

        JAX runs it compiled unless told otherwise: eagerly it would compile each operation for each shape,
        and that takes several times as long.
        """
        function = self.jitted if target.library == "jax" and not eagerly else self.assign
        with target.running(x64=any(array.dtype == np.float64 for array in arguments.values())):
            arrays = {name: target.from_numpy(array) for name, array in arguments.items()}
            outputs = function(**arrays)
            return {name: target.to_numpy(x) for name, x in outputs.items()}

    def read(self, arguments):
        """Give the outputs as the rule reads; leading dimensions are read image by image."""
        knobs = {name: value for name, value in self.config.items() if name not in ("type", "iou_calculator")}
        return readings.read_image(self.rule, arguments, **{**knobs, **self.reading_knobs})


def _points(boxes):
    """Give boxes' centres with a stride of 8, broken where the boxes are."""
    with np.errstate(over="ignore", invalid="ignore"):
        centers = (boxes[:, :2] + boxes[:, 2:]) * boxes.dtype.type(0.5)
    return np.concatenate([centers, np.full_like(boxes[:, :1], 8)], axis=-1)
