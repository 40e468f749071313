"""What is benchmarked: one entry an assigner and layout of priors.

A new assigner needs a dense version in ``dense_torch.py``, a builder of its inputs, and an entry in `ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from scenes import IMAGE, draw_boxes, retinanet_anchors

__all__ = ["ROWS", "SEED", "Case", "Inputs", "Row"]

SEED = 20261122

Dense = Callable[..., tuple[Any, ...]]


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
        Name of the function in ``dense_torch.py`` that does the same for one image, with the same argument
        names; its first output is `gt_inds`, which must be equal. A name, so that measuring another library
        does not import PyTorch.
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


def anchors_and_boxes(case: Case) -> Inputs:
    """Lay RetinaNet's anchors, shared by all images, and draw boxes with classes on each."""
    gt_bboxes, gt_labels = draw_boxes(case.rng(), case.image, case.images, case.boxes)
    return Inputs({"priors": retinanet_anchors(case.image)}, {"gt_bboxes": gt_bboxes, "gt_labels": gt_labels})


ROWS = {
    row.name: row
    for row in (
        Row(
            name="max_iou",
            title="MaxIoUAssigner, RPN's training settings",
            assigner={
                "type": "MaxIoUAssigner",
                "pos_iou_thr": 0.7,
                "neg_iou_thr": 0.3,
                "min_pos_iou": 0.3,
            },
            inputs=anchors_and_boxes,
            dense="max_iou",
            boxes=(5, 20, 100, 500),
            images=(1, 8),
            memory_boxes=2000,
        ),
    )
}
