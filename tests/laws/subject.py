"""What an assigner under test is to the laws: how to call it, what its outputs hold, how its rule reads."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from assigncore import build_assigner, load_backend
from assigncore.conformance.capabilities import Priors
from assigncore.conformance.reference.image import Image
from assigncore.conformance.scenes.recipes import recipe_of

from .scenes import FLOATS, PREDICTIONS, ROWS

BOXES = ("priors", "gt_bboxes", "gt_labels", "gt_valid", "prior_valid")
REGIONS = ("ignore_bboxes", "ignore_valid")

CODE, INDEX, BY_INDEX = "index of a ground truth + 1", "index of one", "looked up by such an index"
PAIRS, OTHER = "a column for each ground truth", "other"
BOX = "index of a ground truth, or that of an ignore region + G"
OF_GTS, IN_TURN, OF_IMAGE = "a row for each ground truth", "rows for all of them in turn", "one for an image"
"""What an output holds, so that a law that moves ground truths knows what must move with them."""

NO_ROWS = (OF_GTS, IN_TURN, OF_IMAGE)
"""Outputs without a row for each prior."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One assigner with its knobs.

    Parameters
    ----------
    name : str
        Name of the test's parameter.
    config : mapping
        What `build_assigner` builds it from.
    rule : callable, optional
        Its reference implementation. Not given: where numbers are rounded by no rule that can be read, the
        assigner is held against itself, in the same library, on one image.
    also : tuple of str
        Optional array arguments that it is given beyond those that its declaration names.
    needs : tuple of str
        What it cannot do without, of what its signature calls optional.
    extras : mapping of str to str
        What its further outputs hold: `CODE`, `INDEX`, `BY_INDEX`, `PAIRS` or `OTHER`.
    reading_knobs : mapping
        Knobs the reading takes beside, or in place of, the config's.
    others : callable
        Gives its arguments that are no arrays, such as ``num_level_priors``, from those that are.
    ignores_without_gts : bool
        Whether its ignore regions count in an image without ground truths too.
    rtol : float
        How far apart numbers may be where only their order in memory differs: where exponentials or sums
        of many have a part in them. Of what is decided nothing may differ.
    tied : bool
        Whether it keeps to the laws where values tie; else sums of many decide, and it keeps to them where
        they are clearly apart.
    fixed : tuple of str
        Kinds of rows that mean something else elsewhere, such as the cells of a grid.
    all_or_none : bool
        Whether a prior is out of play only where all its boxes are broken.
    counts_broken : tuple of str
        Kinds of rows that count, where it is asked how many there are, even if they are broken.
    outputs : callable, optional
        Gives the outputs by name from a result and the arguments. By default all of them.
    """

    name: str
    config: Mapping[str, Any]
    rule: Callable[..., Any] | None
    also: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    extras: Mapping[str, str] = field(default_factory=dict)
    reading_knobs: Mapping[str, Any] = field(default_factory=dict)
    others: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _arrays: {}
    ignores_without_gts: bool = False
    rtol: float = 0.0
    tied: bool = True
    fixed: tuple[str, ...] = ()
    all_or_none: bool = False
    counts_broken: tuple[str, ...] = ()
    outputs: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]] | None = None

    def __str__(self):
        """Name the parameter."""
        return self.name

    def __post_init__(self):
        """Build the assigner at once: a compiler that meets it first could not."""
        object.__setattr__(self, "assigner", build_assigner(self.config))
        object.__setattr__(self, "recipe", recipe_of(self.assigner))

    @property
    def capabilities(self):
        """What is declared for it."""
        return self.recipe.capabilities

    @property
    def takes(self):
        """Its array arguments: those that its signature and its declaration name, and `also`."""
        return (*(name for name in self.recipe.parameters if name in ROWS), *self.also)

    @property
    def no_label(self):
        """The label of a prior that is not positive, in an image with ground truths."""
        return self.capabilities.no_label

    @property
    def on_host(self):
        """Whether it needs values on the host, which is allowed to matchings alone."""
        return self.capabilities.host

    @property
    def type(self):
        """The assigner's name."""
        return self.config["type"]

    @property
    def kinds(self):
        """Kinds of rows among the arguments: priors, ground truths, perhaps ignore regions."""
        return tuple(kind for kind in ("N", "G", "I") if kind not in self.fixed and self._counts[kind])

    @property
    def first(self):
        """The argument that errors about two of them name first."""
        return next(name for name in ("priors", *PREDICTIONS) if name in self.takes)

    @property
    def _counts(self):
        """An argument that has the rows of each kind."""
        floats = [name for name in self.takes if name in FLOATS or name == "gt_masks"]
        return {kind: next((n for n in floats if ROWS[n] == kind), None) for kind in ("N", "G", "I")}

    def count(self, kind, arguments):
        """Count the rows of a kind."""
        return len(arguments[self._counts[kind]])

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
        signature = inspect.signature(self.assigner.assign).parameters
        needed = {name for name in self.takes if signature[name].default is inspect.Parameter.empty}
        return tuple(name for name in self.takes if name in {*needed, *self.needs})

    def arguments(self, scene):
        """Pick the arguments from a scene."""
        arguments = {name: scene[name] for name in self.takes}
        strides = {Priors.POINTS: 1, Priors.STRIDED: 2}.get(self.capabilities.priors)
        if strides is not None:
            arguments["priors"] = _points(scene["priors"], strides)
        return arguments

    def call(self, **arrays):
        """Call the assigner."""
        return self.assigner.assign(**arrays, **self.others(arrays))

    def assign(self, **arrays):
        """Give the outputs by name; a function of arrays alone, which can be compiled."""
        return self.outputs_of(self.call(**arrays), arrays)

    def outputs_of(self, result, arrays):
        """Give the outputs that there are by name."""
        return all_outputs(result) if self.outputs is None else self.outputs(result, arrays)

    def expected(self, target, arguments):
        """Give what the outputs for one image must be: what its rule reads as, or what it gives alone."""
        return self.run(target, arguments) if self.rule is None else self.read(arguments)

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
        return self.rule(Image(arguments), **{**knobs, **self.reading_knobs})


def all_outputs(result):
    """Give all outputs of a result that there are by name."""
    outputs = {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}
    return {name: x for name, x in {**outputs, **result.extras}.items() if x is not None}


def _points(boxes, strides):
    """Give boxes' centres with strides of 8, broken where the boxes are."""
    with np.errstate(over="ignore", invalid="ignore"):
        centers = (boxes[:, :2] + boxes[:, 2:]) * boxes.dtype.type(0.5)
    return np.concatenate([centers, np.full_like(boxes[:, :strides], 8)], axis=-1)
