"""Costs that are products of matrices obey the laws of padding, batch and purity to rounding, at real sizes.

Small products are summed in one order everywhere; libraries begin to choose others where there are 12,544 points.
"""

import numpy as np
import pytest

import assigncore as ac

from .subjects import AVAILABLE

QUERIES, OBJECTS, POINTS, CLASSES = 100, 20, (112, 112), 80

ROUNDING = {"rtol": 2e-5, "atol": 2e-5}
"""Of sums of 12,544 terms in float32."""

MASK_COSTS = (
    {"type": "CrossEntropyLossCost", "weight": 5.0},
    {"type": "DiceCost", "pred_act": True, "eps": 1.0, "weight": 5.0},
)
ASSIGNERS = {
    "Mask2Former": ac.HungarianAssigner([{"type": "ClassificationCost", "weight": 2.0}, *MASK_COSTS]),
    "MaskFormer": ac.HungarianAssigner(
        [{"type": "FocalLossCost", "binary_input": True, "weight": 20.0}, {**MASK_COSTS[1], "weight": 1.0}]
    ),
}

TARGETS = [target for target in AVAILABLE if target.name != "numpy:kernels" and target.has_values]

each = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
of_each_kind = pytest.mark.parametrize("assigner", ASSIGNERS.values(), ids=ASSIGNERS)


def draw_image(seed):
    """Draw predictions near some of the objects' masks, others anywhere: the best matching is far from the next."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: POINTS[0], : POINTS[1]]
    centers, radii = rng.uniform(0, 112, (2, OBJECTS)), rng.uniform(6, 40, OBJECTS)
    distance = np.hypot(y - centers[0][:, None, None], x - centers[1][:, None, None])
    masks = distance < radii[:, None, None]
    logits = rng.normal(0, 3, (QUERIES, *POINTS))
    found = rng.permutation(QUERIES)[:OBJECTS]
    logits[found] += np.where(masks, 2.0, -2.0)
    arrays = {
        "pred_masks": logits,
        "gt_masks": masks.astype(np.float64),
        "pred_logits": rng.normal(0, 1, (QUERIES, CLASSES)),
        "gt_labels": rng.integers(0, CLASSES, OBJECTS),
    }
    return {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}


def pad(image, seed):
    """Put rows of nonsense between the others; give the image and the places of its own rows."""
    rng = np.random.default_rng(seed)
    n, g = QUERIES + 7, OBJECTS + 5
    rows, columns = (np.sort(rng.permutation(a)[:b]) for a, b in ((n, QUERIES), (g, OBJECTS)))
    padded = {"prior_valid": np.isin(np.arange(n), rows), "gt_valid": np.isin(np.arange(g), columns)}
    for name, x in image.items():
        length, own = (n, rows) if name.startswith("pred") else (g, columns)
        padded[name] = np.full((length, *x.shape[1:]), np.nan if x.dtype.kind == "f" else -7, x.dtype)
        padded[name][own] = x
    return padded, rows, columns


def answer(assigner, target, arrays):
    """Give the matching, and the sum of the cost terms, as NumPy's arrays."""
    with target.running(x64=False):
        native = {name: target.from_numpy(x) for name, x in arrays.items()}
        codes = target.to_numpy(assigner.assign(**native).gt_inds)
        terms = assigner.cost_terms(**native)
        return codes, sum(target.to_numpy(term) for term in terms.values())


@of_each_kind
@each
def test_padding_changes_nothing(assigner, target):
    image = draw_image(0)
    padded, rows, columns = pad(image, 1)
    codes, cost = answer(assigner, target, image)
    of_padded, cost_of_padded = answer(assigner, target, padded)
    assert (codes > 0).sum() == OBJECTS
    np.testing.assert_allclose(cost_of_padded[np.ix_(rows, columns)], cost, **ROUNDING)
    own = of_padded[rows]
    np.testing.assert_array_equal(np.where(own > 0, np.searchsorted(columns, own - 1) + 1, 0), codes)
    assert (np.delete(of_padded, rows) == -1).all()


@of_each_kind
@each
def test_a_batch_gives_what_its_images_give_alone(assigner, target):
    images = [draw_image(seed) for seed in range(3)]
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    codes, cost = answer(assigner, target, batch)
    for i, image in enumerate(images):
        alone, cost_alone = answer(assigner, target, image)
        np.testing.assert_allclose(cost[i], cost_alone, **ROUNDING)
        np.testing.assert_array_equal(codes[i], alone)


@of_each_kind
@each
def test_the_same_numbers_give_the_same_bits_twice_and_the_same_matching_however_they_lie(assigner, target):
    image = draw_image(0)
    first, second = (answer(assigner, target, image) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()
    elsewhere = {name: np.asfortranarray(x) for name, x in image.items()}
    codes, cost = answer(assigner, target, elsewhere)
    np.testing.assert_allclose(cost, first[1], **ROUNDING)
    np.testing.assert_array_equal(codes, first[0])


@of_each_kind
def test_all_libraries_agree(assigner):
    image = draw_image(4)
    codes, cost = answer(assigner, TARGETS[0], image)
    for target in TARGETS[1:]:
        others, other_cost = answer(assigner, target, image)
        np.testing.assert_array_equal(others, codes)
        np.testing.assert_allclose(other_cost, cost, **ROUNDING)
