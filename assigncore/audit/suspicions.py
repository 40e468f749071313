"""Whether a detector's results mean what they should: boxes in pixels, and the data set's category ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assigncore.boxes import pairwise_iou
from assigncore.datasets import Dataset, Image

MOST_COMPARED = 2000
"""Boxes that are compared with the objects, the best scored."""

FITTING = 0.5
"""IoU from which on a box fits an object."""

CLEAR = 0.3
"""Mean IoU, or share of right classes, without which no reading is taken for what is meant."""

FEWEST = 5
"""Boxes that fit, without which classes say nothing."""

DUE = "x y width height in pixels"
RIGHT = "they are"


def suspect(
    entries: Sequence[tuple[int, tuple[float, ...], float, Any]], dataset: Dataset, *, with_classes: bool
) -> list[str]:
    """Say where boxes or classes would fit the objects much better if they meant something else.

    The best scored boxes are compared with the objects of their images, read as they should be and as people
    write them by mistake. Any detector that finds objects at all tells which is meant.

    Parameters
    ----------
    entries : sequence of (index of the image, box of four numbers as written, score, category id)
    dataset : Dataset
    with_classes : bool
        Whether the categories say anything.

    Returns
    -------
    list of str
        A sentence about the boxes, or one about the classes, or none.
    """
    by_image: dict[int, list[tuple[tuple[float, ...], Any]]] = {}
    for index, box, _, category in sorted(entries, key=lambda entry: -entry[2])[:MOST_COMPARED]:
        by_image.setdefault(index, []).append((box, category))
    overlaps: dict[str, list[Any]] = {}
    fitting: list[tuple[Any, int]] = []
    for index, found in by_image.items():
        image = dataset.images[index]
        objects = dataset.objects(image)
        if not len(objects):
            continue
        for name, boxes in _as_boxes(np.asarray([box for box, _ in found], dtype=np.float64), image).items():
            ious = pairwise_iou(boxes, objects.bboxes)
            best = np.max(ious, axis=1)
            overlaps.setdefault(name, []).append(best)
            if name == DUE:
                labels = objects.labels[np.argmax(ious, axis=1)]
                fitting += [(found[i][1], int(labels[i])) for i in np.nonzero(best >= FITTING)[0]]
    if not overlaps:
        return []
    means = {name: float(np.mean(np.concatenate(values))) for name, values in overlaps.items()}
    likely = max(means, key=lambda name: means[name])
    due, instead = means[DUE], means[likely]
    if instead > CLEAR and instead > 2 * due:
        return [f"are the boxes {likely}? As they stand their mean best IoU is {due:.2f}, so {instead:.2f}"]
    return _suspect_classes(fitting, dataset) if with_classes else []


def _as_boxes(written: Any, image: Image) -> Mapping[str, Any]:
    """Read four numbers in every way that is met, as boxes x1 y1 x2 y2 in pixels."""
    first, second = written[:, :2], written[:, 2:]
    shapes = {
        "x y width height": np.concatenate([first, first + second], axis=1),
        "corners x1 y1 x2 y2": written,
        "centre x y, width and height": np.concatenate([first - second / 2, first + second / 2], axis=1),
    }
    extent = np.asarray([image.width, image.height] * 2, dtype=np.float64)
    units = {"pixels": 1.0, "fractions of the image": extent, "percent of the image": extent / 100}
    return {
        f"{shape} in {unit}": boxes * factor
        for shape, boxes in shapes.items()
        for unit, factor in units.items()
    }


def _suspect_classes(fitting: Sequence[tuple[Any, int]], dataset: Dataset) -> list[str]:
    """Say whether the categories of boxes that fit objects are the objects' by a shift."""
    if len(fitting) < FEWEST:
        return []
    ids = tuple(dataset.categories)
    readings: dict[str, dict[int | str, int]] = {
        RIGHT: {category: label for label, category in enumerate(ids)},
        "they are one too small": {_plus(category, -1): label for label, category in enumerate(ids)},
        "they are one too large": {_plus(category, 1): label for label, category in enumerate(ids)},
        "they are places in 'categories', counted from 0": {label: label for label in range(len(ids))},
        "they are places in 'categories', counted from 1": {label + 1: label for label in range(len(ids))},
    }
    shares = {
        name: sum(label_of.get(category) == label for category, label in fitting) / len(fitting)
        for name, label_of in readings.items()
    }
    likely = max(shares, key=lambda name: shares[name])
    right, instead = shares[RIGHT], shares[likely]
    if instead > CLEAR and instead > 2 * right:
        return [
            "are the category ids shifted? Of the boxes that fit an object "
            f"{right:.0%} are of its class; if {likely}, {instead:.0%}"
        ]
    return []


def _plus(category: int | str, step: int) -> int | str:
    return category if isinstance(category, str) else category + step
