"""Law 6: a batch gives, row by row, what its images give alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.laws.bench import Bench, NotApplicable, stacked
from assigncore.conformance.scenes.scene import ROWS, Scene

__all__ = ["batch"]

Arrays = Mapping[str, NDArray[Any]]


def batch(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Give in a batch, row by row, what its images give alone; any leading dimensions are a batch.

    Takes six scenes of one shape.
    """
    if not bench.takes_batches:
        raise NotApplicable("takes no batches")
    statics = bench.recipe.statics(scenes[0])
    images = [bench.recipe.arrays(scene) for scene in scenes]
    alone = [bench.call(image, statics) for image in images]
    for lead in ((6,), (2, 3), (1, 6, 1)) if bench.thorough else ((6,), (2, 3)):
        _rows_are(bench, bench.call(stacked(images, lead), statics), lead, alone, f"in a batch {lead}")
    if not bench.thorough:
        return
    everything = stacked(images, (2, 3))
    for kinds in ("N", "GI"):
        shared = _of_kinds(images[0], kinds)
        alone = [bench.call({**image, **shared}, statics) for image in images]
        for rows in (shared, {name: x[None] for name, x in shared.items()}):
            outputs = bench.call({**everything, **rows}, statics)
            _rows_are(bench, outputs, (2, 3), alone, "in a batch that shares rows")
    one: Arrays = {name: x for name, x in images[0].items() if name in ("gt_bboxes", "gt_masks")}
    alone = [bench.call({**image, **one}, statics) for image in images]
    outputs = bench.call({**everything, **one}, statics)
    _rows_are(bench, outputs, (2, 3), alone, f"in a batch that shares {', '.join(one)}")
    of_priors = stacked([_of_kinds(image, "N") for image in images[:2]], (2, 1))
    of_others = stacked([_of_kinds(image, "GI") for image in images[2:5]], (3,))
    pairs = [{**images[2 + j], **_of_kinds(images[i], "N")} for i in range(2) for j in range(3)]
    alone = [bench.call(pair, statics) for pair in pairs]
    outputs = bench.call({**images[0], **of_priors, **of_others}, statics)
    _rows_are(bench, outputs, (2, 3), alone, "in a batch that broadcasts")


def _of_kinds(arrays: Arrays, kinds: str) -> dict[str, NDArray[Any]]:
    return {name: x for name, x in arrays.items() if ROWS.get(name, "-") in kinds}


def _rows_are(
    bench: Bench, outputs: Arrays, lead: tuple[int, ...], images: Sequence[Arrays], what: str
) -> None:
    """Demand that a batch gives what its images give alone."""
    for number, alone in enumerate(images):
        own = {name: x[np.unravel_index(number, lead)] for name, x in outputs.items()}
        bench.same(own, alone, f"image {number} {what}")
