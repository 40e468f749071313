"""Law 5: rows that are padding change nothing for the others, whatever they hold; an invalid prior is -1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assigncore.conformance.laws.bench import Bench, NotApplicable, demand, whole
from assigncore.conformance.scenes.padded import pad_scenes
from assigncore.conformance.scenes.scene import MASKS, Scene

__all__ = ["padding"]


def padding(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Let padding change nothing for the other rows, whatever it holds; a prior that is padding is -1.

    Scenes are two and two the images of a padded batch.
    """
    for scene in scenes:
        outputs = bench.run(scene)
        gt_inds = outputs["gt_inds"]
        out = gt_inds[..., ~scene.arrays["prior_valid"]]
        demand(bool(np.all(out == -1)), f"{scene.name}: a prior that takes no part is not -1")
        padded = np.flatnonzero(~scene.arrays["gt_valid"]) + 1
        demand(not np.any(np.isin(gt_inds, padded)), f"{scene.name}: a padded ground truth got a prior")
    if not bench.takes_batches:
        raise NotApplicable("takes no batches")
    for number in range(0, len(scenes), 2):
        pair = scenes[number : number + 2]
        alone = [bench.run(scene) for scene in pair]
        for rng in (None, np.random.default_rng(number)):
            joined = pad_scenes(bench.recipe, pair, like=scenes, rng=rng)
            outputs = bench.call(joined.arrays, joined.statics)
            for image, scene in enumerate(pair):
                own = joined.outputs_of(outputs, image)
                bench.same(own, alone[image], f"{scene.name} with padding")
    if bench.thorough:
        valid = whole(scenes[0])
        bare = bench.run(valid, without=tuple(MASKS.values()))
        bench.same(bare, bench.run(valid), f"{valid.name} without masks, of which all are true")
