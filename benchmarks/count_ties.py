"""Count how often a tie decides an assignment: the rule "first of equals" against "last of equals".

Usage: ``python benchmarks/count_ties.py ANNOTATIONS.json [ANNOTATIONS.json ...]``

The priors of each level are handed over in reverse order for the second rule. Where the two assignments of an
object differ, a tie decided: between priors equally near to its centre, or of equal overlap.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import assigncore
from assigncore.audit.frames import ImageScale
from assigncore.datasets import read_coco
from assigncore.priors import AnchorGenerator, PointGenerator

Array = np.ndarray[Any, Any]

SCALES = {"as annotated": "original", "rounded to pixels": "original", "1333x800": "1333x800"}


def level_order(num_level_priors: tuple[int, ...]) -> Array:
    """Return the order that reverses the priors of each level, and undoes itself."""
    ends = np.cumsum(num_level_priors)
    return np.concatenate(
        [np.arange(n)[::-1] + end - n for n, end in zip(num_level_priors, ends, strict=True)]
    )


def assigners() -> dict[str, tuple[Any, Any, bool]]:
    """Return each assigner with its priors, and whether it takes the numbers of priors of the levels."""
    strides = (8, 16, 32, 64, 128)
    squares = AnchorGenerator(strides=strides, ratios=(1.0,), scales=(8.0,))
    retina = AnchorGenerator(
        strides=strides, ratios=(0.5, 1.0, 2.0), octave_base_scale=4.0, scales_per_octave=3
    )
    build = assigncore.build_assigner
    return {
        "ATSSAssigner": (build({"type": "ATSSAssigner", "topk": 9}), squares, True),
        "PointAssigner": (build({"type": "PointAssigner", "pos_num": 1}), PointGenerator(strides), False),
        "MaxIoUAssigner": (
            build(
                {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "gt_max_assign_all": False}
            ),
            retina,
            False,
        ),
    }


def scenes(path: Path, scale: str) -> Iterator[tuple[tuple[int, int], Array]]:
    """Yield the padded size and the boxes of each image that has any."""
    dataset = read_coco(path)
    resize = ImageScale.parse(SCALES[scale], 32)
    for image in dataset.images:
        objects = dataset.objects(image)
        if objects:
            frame = resize.frame(image)
            boxes = frame.boxes(objects)
            yield frame.padded, np.round(boxes) if scale == "rounded to pixels" else boxes


def main(paths: list[str]) -> None:
    """Print the counts for each file, scale and assigner."""
    for path in paths:
        for scale in SCALES:
            for name, (assigner, generator, by_level) in assigners().items():
                objects = decided = 0
                for size, boxes in scenes(Path(path), scale):
                    grid = generator.grid(generator.featmap_sizes(size))
                    order = level_order(grid.num_level_priors)
                    knobs = {"num_level_priors": grid.num_level_priors} if by_level else {}
                    first = assigner.assign(grid.priors, boxes, **knobs).gt_inds
                    last = assigner.assign(grid.priors[order], boxes, **knobs).gt_inds[order]
                    differs = first != last
                    touched = np.union1d(first[differs], last[differs])
                    objects += len(boxes)
                    decided += int((touched > 0).sum())
                count = f"{decided:5} of {objects} objects ({decided / max(1, objects):.1%})"
                print(f"{Path(path).parent.name}/{Path(path).name}  {scale:18} {name:15} {count}")


if __name__ == "__main__":
    main(sys.argv[1:])
