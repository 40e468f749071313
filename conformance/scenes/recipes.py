"""How a scene becomes the arguments of an assigner, read from the assigner's own signature.

A parameter that the suite knows is filled from the scene; one it does not know is an error that names it, if
the assigner cannot do without. So a new assigner is covered as soon as it is declared.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.capabilities import CAPABILITIES, Capabilities, Priors, capabilities_of
from assigncore.conformance.reference.image import Image, Outputs
from assigncore.conformance.scenes.scene import SCORES, Scene
from assigncore.registry import ASSIGNERS, build_assigner

__all__ = ["Recipe", "recipe_of"]

AnyArray = NDArray[Any]
Array = Any

_ALWAYS = ("gt_labels", "gt_valid", "prior_valid", "ignore_bboxes", "ignore_valid")
"""Optional arguments that are always given to an assigner that takes them."""

_STATIC: Mapping[str, Callable[[Scene], Any]] = MappingProxyType(
    {
        "num_level_priors": lambda scene: tuple(level.cells for level in scene.levels),
        "featmap_sizes": lambda scene: tuple((level.height, level.width) for level in scene.levels),
        "featmap_strides": lambda scene: tuple(level.stride for level in scene.levels),
        "anchor_strides": lambda scene: tuple(level.stride for level in scene.levels),
        "anchor_scale": lambda _scene: 2.0,
        "allowed_border": lambda _scene: 12,
        "image_shape": lambda scene: scene.image_shape,
    }
)
"""Arguments that are no arrays."""


def _base_sizes(scene: Scene) -> AnyArray:
    """Give one anchor a level, two strides wide and high, ``(L, 1, 2)``."""
    return np.array([[[2.0 * level.stride] * 2] for level in scene.levels])


@dataclass(frozen=True, eq=False)
class Recipe:
    """An assigner, ready to be given scenes.

    Parameters
    ----------
    name : str
        What reports call it.
    assigner : object
        With a method ``assign``.
    capabilities : Capabilities
        What it promises.
    """

    name: str
    assigner: Any
    capabilities: Capabilities

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The arguments that the suite gives it.

        Raises
        ------
        TypeError
            If it needs one that the suite does not know.
        """
        given = []
        for name, parameter in inspect.signature(self.assigner.assign).parameters.items():
            needed = parameter.default is inspect.Parameter.empty
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            if not needed and name not in (
                *_ALWAYS,
                *self.capabilities.reads,
                *self.capabilities.needs,
                "allowed_border",
            ):
                continue
            if needed and name not in _KNOWN:
                raise TypeError(f"{self.name}.assign needs {name!r}, which the suite does not know")
            given.append(name)
        return tuple(given)

    @property
    def is_registered(self) -> bool:
        """Whether its class is one of the registry's, not one of the same name."""
        return self.name in ASSIGNERS.names() and ASSIGNERS.get(self.name) is type(self.assigner)

    @property
    def by_level(self) -> bool:
        """Whether it must be told how many priors each level has."""
        return "num_level_priors" in self.parameters

    @property
    def by_map(self) -> bool:
        """Whether its priors are the cells of feature maps, so that no further row can be among them."""
        return "featmap_sizes" in self.parameters

    @property
    def by_row(self) -> bool:
        """Whether the rows of its priors may change places and be fewer: they are not the cells of a grid."""
        return "priors" in self.parameters or not self.by_map

    @property
    def needed(self) -> tuple[str, ...]:
        """The array arguments that cannot be left out: those without a default, and what it `needs`."""
        signature = inspect.signature(self.assigner.assign).parameters
        return tuple(
            name
            for name in self.parameters
            if name not in _STATIC
            and (signature[name].default is inspect.Parameter.empty or name in self.capabilities.needs)
        )

    @property
    def first(self) -> str:
        """The argument that errors about two of them name first."""
        return next(name for name in ("priors", "pred_bboxes", *SCORES) if name in self.parameters)

    @property
    def takes_regions(self) -> bool:
        """Whether it takes ignore regions."""
        return "ignore_bboxes" in self.parameters

    def statics(self, scene: Scene) -> dict[str, Any]:
        """Give the arguments that are no arrays."""
        return {name: _STATIC[name](scene) for name in self.parameters if name in _STATIC}

    def arrays(self, scene: Scene) -> dict[str, AnyArray]:
        """Give the array arguments."""
        return {name: self._array(scene, name) for name in self.parameters if name not in _STATIC}

    def read(self, scene: Scene, arrays: Mapping[str, AnyArray]) -> Outputs | None:
        """Give the outputs as the reference implementation has them; None where there is none."""
        rule = self.capabilities.rule
        if rule is None:
            return None
        knobs = {knob.name: getattr(self.assigner, knob.name) for knob in fields(self.assigner)}
        defaults = {knob.name: knob.default for knob in fields(self.assigner)}
        own = {name: x for name, x in knobs.items() if name != "iou_calculator" and x != defaults[name]}
        return rule(Image(arrays), **own, **self.statics(scene))

    def promised(self, outputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Blank of the outputs what nothing is promised of."""
        promised = {name: np.asarray(x) for name, x in outputs.items()}
        for name, mask in self.capabilities.where.items():
            if not {name, mask} <= promised.keys():
                continue
            rows = promised[mask].reshape(
                *promised[mask].shape, *[1] * (promised[name].ndim - promised[mask].ndim)
            )
            promised[name] = np.where(rows, promised[name], np.zeros_like(promised[name]))
        return promised

    def _array(self, scene: Scene, name: str) -> AnyArray:
        if name == "base_sizes":
            return _base_sizes(scene)
        if name == "priors" and self.capabilities.priors is not Priors.BOXES:
            return _points(scene, 1 if self.capabilities.priors is Priors.POINTS else 2)
        return scene.arrays[name]

    def call(self, statics: Mapping[str, Any]) -> Callable[..., dict[str, Array]]:
        """Give a function of arrays alone, which can be compiled, that returns the outputs by name."""

        def assign(**arrays: Array) -> dict[str, Array]:
            result = self.assigner.assign(**arrays, **statics)
            outputs = {
                "gt_inds": result.gt_inds,
                "max_overlaps": result.max_overlaps,
                "labels": result.labels,
            }
            told = {**outputs, **result.extras}
            return {
                name: x
                for name, x in told.items()
                if x is not None and name not in self.capabilities.progress
            }

        return assign


_KNOWN = frozenset(
    (
        *_STATIC, "base_sizes", "priors", "prior_valid", "approxs", "responsible_flags", "pred_bboxes",
        "pred_scores", "pred_logits", "pred_objectness", "pred_masks", "gt_bboxes", "gt_labels", "gt_valid",
        "gt_masks", "ignore_bboxes", "ignore_valid", "ignore_labels",
    )
)  # fmt: skip


def _points(scene: Scene, strides: int) -> AnyArray:
    """Give the priors' centres with their strides once or twice, broken where the boxes are.

    Priors are as a rule two strides wide; a scene of others has an array of its strides.
    """
    boxes, given = scene.arrays["priors"], scene.arrays.get("strides")
    with np.errstate(invalid="ignore"):
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        side = (boxes[:, 2:3] - boxes[:, :1]) / 2 if given is None else given[:, None]
    return np.concatenate([centers, *[side] * strides], axis=-1)


def recipe_of(assigner: Any, capabilities: Capabilities | None = None) -> Recipe:
    """Make the recipe of an assigner.

    Parameters
    ----------
    assigner : str or object
        The name of a registered assigner, which is built with the knobs declared for it, or an assigner.
    capabilities : Capabilities, optional
        What it promises; what is declared for its class by default.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If no assigner has the name.

    Examples
    --------
    >>> recipe_of("PointAssigner").parameters
    ('priors', 'gt_bboxes', 'gt_labels', 'gt_valid', 'prior_valid')
    """
    if isinstance(assigner, str):
        knobs = CAPABILITIES[assigner].knobs if assigner in CAPABILITIES else {}
        assigner = build_assigner({"type": assigner, **knobs})
    promise = capabilities or capabilities_of(assigner)
    return Recipe(type(assigner).__name__, assigner, promise)
