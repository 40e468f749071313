"""Each input of a cost may be one that all images share, while the others are each image's own."""

from itertools import product

import numpy as np
import pytest

from assigncore.costs import needed_inputs, point_sample, resize_masks
from assigncore.registry import COSTS

N, G, K, SIDE = 4, 3, 5, 4
KNOBS = {"OKSCost": {"sigmas": (0.1,) * K}}
COSTS_OF_EACH_KIND = [
    *({"type": name, **KNOBS.get(name, {})} for name in COSTS.names()),
    {"type": "KeypointL1Cost", "relative_to": "object"},
]


def inputs(seed):
    """Draw one image's inputs of every cost."""
    rng = np.random.default_rng(seed)

    def boxes(count):
        low = rng.uniform(0, 30, (count, 2))
        return np.concatenate([low, low + rng.uniform(1, 20, (count, 2))], axis=-1)

    return {
        "pred_bboxes": boxes(N),
        "pred_logits": rng.normal(0, 1, (N, K)),
        "pred_scores": rng.uniform(0, 1, (N, K)),
        "pred_masks": rng.normal(0, 1, (N, SIDE, SIDE)),
        "pred_keypoints": rng.uniform(0, 30, (N, K, 2)),
        "pred_keypoint_logits": rng.normal(0, 1, (N, K, 2)),
        "pred_keypoint_precision": rng.uniform(0.1, 1, (N, K, 3)),
        "gt_bboxes": boxes(G),
        "gt_labels": rng.integers(0, K, G),
        "gt_masks": rng.random((G, SIDE, SIDE)) > 0.5,
        "gt_keypoints": rng.uniform(0, 30, (G, K, 3)),
        "positive_maps": rng.random((G, K)) > 0.4,
        "text_token_mask": np.arange(K) < K - seed,
        "image_shape": np.array([40.0, 50.0 + seed]),
    }


@pytest.mark.parametrize("config", COSTS_OF_EACH_KIND, ids=lambda config: "-".join(map(str, config.values())))
def test_inputs_that_images_share(config):
    cost = COSTS.build(config)
    first, second = inputs(0), inputs(1)
    names = needed_inputs([cost])
    for of_each in product((False, True), repeat=len(names)):
        own = dict(zip(names, of_each, strict=True))
        batch = {name: np.stack([first[name], second[name]]) if own[name] else first[name] for name in names}
        images = [{name: x[name] if own[name] else first[name] for name in names} for x in (first, second)]
        found = cost(**batch)
        for i, image in enumerate(images if any(of_each) else ()):
            np.testing.assert_allclose(found[i], cost(**image), rtol=1e-12)


@pytest.mark.parametrize("kind", [complex, object, str])
def test_masks_of_no_numbers(kind):
    masks = np.ones((2, 4, 4)).astype(kind)
    with pytest.raises(TypeError, match="masks: expected booleans or integers or real floating numbers"):
        point_sample(masks, np.full((3, 2), 0.5))
    with pytest.raises(TypeError, match="masks: expected booleans or integers or real floating numbers"):
        resize_masks(masks, (2, 2))
