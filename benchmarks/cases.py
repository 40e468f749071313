"""What an entry of the benchmarks is: an assigner, its inputs, its baseline, and the sizes to time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from scenes import IMAGE

__all__ = ["SEED", "Case", "Inputs", "Row"]

SEED = 20261122


@dataclass(frozen=True)
class Inputs:
    """The arguments of an assigner's ``assign``, by name.

    Attributes
    ----------
    shared : mapping of str to numpy array
        Arrays that all images share, without a batch dimension.
    per_image : mapping of str to numpy array
        Arrays with the images as their first dimension.
    static : mapping of str to object
        Arguments that are no arrays.
    """

    shared: Mapping[str, np.ndarray[Any, Any]]
    per_image: Mapping[str, np.ndarray[Any, Any]]
    static: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Number of images."""
        return len(next(iter(self.per_image.values())))


@dataclass(frozen=True)
class Case:
    """One size: an image's height and width in pixels, ground truths an image, images."""

    image: tuple[int, int]
    boxes: int
    images: int

    def rng(self) -> np.random.Generator:
        """Return the case's own random numbers, the same in every run."""
        return np.random.default_rng((SEED, *self.image, self.boxes, self.images))


@dataclass(frozen=True)
class Row:
    """An assigner with a layout of priors, over some sizes.

    Attributes
    ----------
    name : str
        What ``--rows`` calls it.
    title : str
        What the report calls it.
    assigner : mapping
        Its config; the knobs are the keyword arguments of `dense`, too.
    inputs : callable
        Makes the arguments of ``assign`` for a case.
    dense : str
        Module and name of the function that does the same for one image, with the same argument names; its
        first output is `gt_inds`, which must be equal. A name, so that measuring another library does not
        import PyTorch.
    boxes, images : tuple of int
        Sizes to time, each with each.
    memory_boxes : int
        Ground truths of the one image over which memory is measured.
    image : (int, int)
        Height and width in pixels.
    """

    name: str
    title: str
    assigner: Mapping[str, Any]
    inputs: Callable[[Case], Inputs]
    dense: str
    boxes: tuple[int, ...]
    images: tuple[int, ...]
    memory_boxes: int
    image: tuple[int, int] = IMAGE

    @property
    def knobs(self) -> dict[str, Any]:
        """The config without the assigner's type."""
        return {name: value for name, value in self.assigner.items() if name != "type"}

    def cases(self, boxes: Sequence[int] | None = None) -> list[Case]:
        """Return the sizes to time; `boxes` in place of the row's own."""
        return [
            Case(self.image, boxes, images) for images, boxes in product(self.images, boxes or self.boxes)
        ]

    def memory_case(self) -> Case:
        """Return the size over which memory is measured."""
        return Case(self.image, self.memory_boxes, 1)

    def quick(self) -> Row:
        """Return the same row over sizes that take no time, to try that everything runs."""
        return replace(self, image=(100, 130), boxes=(5,), images=(1, 2), memory_boxes=8)
