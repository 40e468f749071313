"""What is particular to each: costs that are not finite, repeats, groups, masks, several a ground truth."""

import numpy as np
import pytest

from assigncore import HungarianAssigner, MaskHungarianAssigner, TopkHungarianAssigner
from assigncore.boxes import aligned_iou
from assigncore.conformance import Mode, get_target, load_packed, replay_case
from assigncore.conformance.goldens import replay_matching as replay_module
from assigncore.conformance.goldens.compare import matching_cost
from assigncore.conformance.goldens.replay import REPLAYS

from .scenes import COSTS, DETR, MASKS, SIZE, TOPK, detr, draw, masks, of_masks, of_scores, topk


@pytest.mark.parametrize(
    ("name", "place", "term"),
    [
        (
            "pred_bboxes",
            (1, 3, 0),
            "BBoxL1Cost of image 1, prior 3 and ground truth 0: expected a finite cost, got nan",
        ),
        ("gt_bboxes", (1, 2, 0), "BBoxL1Cost of image 1, prior 0 and ground truth 2"),
        ("pred_logits", (0, 5, slice(None)), "FocalLossCost of image 0, prior 5 and ground truth 0"),
    ],
)
def test_a_cost_that_is_not_finite_names_its_term(name, place, term):
    arrays = draw(lead=(2,))
    arrays[name][place] = np.nan
    with pytest.raises(ValueError, match=term):
        detr(arrays)
    with pytest.raises(ValueError, match=term):
        HungarianAssigner(COSTS, repeat=2, groups=2).assign(**arrays, image_shape=SIZE)


def test_a_label_that_is_no_class_is_named():
    arrays = draw()
    arrays["gt_labels"][2] = 6
    with pytest.raises(ValueError, match="6 classes, got 6 for ground truth 2; are labels counted from 1"):
        detr(arrays)


def test_terms_that_overflow_together_are_the_sum():
    huge = HungarianAssigner([{"type": "BBoxL1Cost", "weight": 1e38}] * 4)
    arrays = {"gt_bboxes": np.zeros((1, 4), np.float32), "pred_bboxes": np.ones((1, 4), np.float32)}
    with (
        np.errstate(over="ignore"),
        pytest.raises(
            ValueError,
            match="the weighted sum of prior 0 and ground truth 0: expected a finite cost, got inf",
        ),
    ):
        huge.assign(**arrays, image_shape=(3, 3))


def test_what_takes_no_part_may_cost_anything():
    arrays = draw()
    arrays["pred_bboxes"][3] = np.nan
    result = detr(arrays, prior_valid=np.arange(20) != 3)
    rest = {name: np.delete(x, 3, axis=0) if name.startswith("pred") else x for name, x in arrays.items()}
    np.testing.assert_array_equal(np.delete(result.gt_inds, 3), detr(rest).gt_inds)
    assert result.gt_inds[3] == -1


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_forbidden_broken_predictions_and_ground_truths_match_nothing(broken):
    arrays = draw()
    arrays["pred_bboxes"][3, 1] = broken
    arrays["gt_bboxes"][2, 0] = broken
    result = HungarianAssigner(COSTS, nonfinite="forbid").assign(**arrays, image_shape=SIZE)
    assert result.gt_inds[3] == 0
    assert result.positives_per_gt.tolist() == [1, 1, 0, 1]
    whole = {name: np.delete(x, 2 if name.startswith("gt") else 3, axis=0) for name, x in arrays.items()}
    kept = detr(whole).matched_gt
    np.testing.assert_array_equal(np.delete(result.matched_gt, 3), np.where(kept == 2, 3, kept))


@pytest.mark.parametrize(("n", "repeat"), [(20, 3), (10, 3), (3, 2)])
def test_repeated_ground_truths_are_matched_as_their_copies_are(n, repeat):
    arrays = draw(n=n)
    result = HungarianAssigner(COSTS, repeat=repeat).assign(**arrays, image_shape=SIZE)
    copied = {
        name: np.repeat(x, repeat, axis=0) if name.startswith("gt") else x for name, x in arrays.items()
    }
    copies = detr(copied).matched_gt
    np.testing.assert_array_equal(result.matched_gt, np.where(copies >= 0, copies // repeat, -1))


def test_groups_are_matched_each_on_its_own():
    arrays = draw()
    result = HungarianAssigner(COSTS, groups=4).assign(**arrays, image_shape=SIZE)
    for group in range(4):
        rows = slice(5 * group, 5 * group + 5)
        own = {name: x[rows] if name.startswith("pred") else x for name, x in arrays.items()}
        np.testing.assert_array_equal(result.gt_inds[rows], detr(own).gt_inds)


def test_terms_explain_a_matching():
    arrays = draw(lead=(2,))
    terms = DETR.cost_terms(**arrays, image_shape=SIZE)
    assert list(terms) == ["FocalLossCost", "BBoxL1Cost", "IoUCost"]
    total, result = sum(terms.values()), detr(arrays)
    for image in range(2):
        shuffled = np.roll(result.gt_inds[image], 1)
        assert matching_cost(result.gt_inds[image], total[image]) < matching_cost(shuffled, total[image])


def test_masks_at_points_of_any_size():
    arrays, rng = of_masks(draw()), np.random.default_rng(0)
    gt_masks = np.kron(arrays["gt_masks"], np.ones((1, 4, 4))) > 0
    points = rng.uniform(size=(400, 2)).astype(np.float32)
    result = MASKS.assign(**{**arrays, "gt_masks": gt_masks}, mask_points=points)
    by_hungarian = HungarianAssigner([MASKS.cls_cost, MASKS.mask_cost, MASKS.dice_cost])
    same = by_hungarian.assign(**{**arrays, "gt_masks": gt_masks}, mask_points=points)
    np.testing.assert_array_equal(result.gt_inds, same.gt_inds)
    assert result.positives_per_gt.tolist() == [1, 1, 1, 1]


def test_masks_without_classes_or_labels():
    arrays = of_masks(draw())
    del arrays["pred_logits"], arrays["gt_labels"]
    result = MASKS.assign(**arrays)
    assert result.labels is None
    assert result.positives_per_gt.tolist() == [1, 1, 1, 1]


def test_overlaps_and_metrics_of_matched_predictions_are_those_of_the_pairs():
    arrays = of_scores(draw())
    result = TopkHungarianAssigner(topk=3, alpha=0.5, beta=2).assign(**arrays, image_shape=SIZE)
    rows = np.flatnonzero(result.pos_mask)
    gts = result.matched_gt[rows]
    overlaps = aligned_iou(arrays["pred_bboxes"][rows], arrays["gt_bboxes"][gts])
    scores = arrays["pred_scores"][rows, arrays["gt_labels"][gts]]
    np.testing.assert_allclose(result.max_overlaps[rows], overlaps, rtol=1e-6)
    np.testing.assert_allclose(result.extras["assign_metrics"][rows], scores**0.5 * overlaps**2, rtol=1e-5)
    assert not result.max_overlaps[result.gt_inds == 0].any()


def test_how_many_each_ground_truth_gets_is_the_images_own():
    arrays = of_scores(draw(n=10, lead=(3,)))
    valid = np.arange(4) < np.array([[1], [4], [3]])
    result = TopkHungarianAssigner(topk=7).assign(**arrays, image_shape=SIZE, gt_valid=valid)
    assert result.positives_per_gt.tolist() == [[7, 0, 0, 0], [2, 2, 2, 2], [3, 3, 3, 0]]
    few = TOPK.assign(**arrays, image_shape=SIZE, prior_valid=np.arange(10) < 3)
    assert (few.gt_inds[:, :3] == 0).all()


@pytest.mark.parametrize(
    ("variant", "name", "change"),
    [
        ("HungarianAssigner", "detr_float32", {"match_costs": COSTS}),
        ("HungarianAssigner2x", "defaults_float32", {"match_costs": [{"type": "IoUCost"}]}),
        ("MaskHungarianAssigner", "more_gt_float32", {"mask_cost": {"type": "DiceCost"}}),
        ("TopkHungarianAssigner", "ddq_base_float32", {"topk": 3}),
        ("TopkHungarianAssigner", "alpha_beta_float32", {"beta": 6}),
    ],
)
def test_a_wrong_assigner_is_caught(monkeypatch, variant, name, change):
    case = {case.name: case for case in load_packed(variant)}[name]
    target = get_target("numpy")
    assert replay_case(REPLAYS[variant], case, target, Mode.EAGER).agreement.agrees
    build = replay_module.build_assigner
    monkeypatch.setattr(replay_module, "build_assigner", lambda config: build({**config, **change}))
    assert not replay_case(REPLAYS[variant], case, target, Mode.EAGER).agreement.agrees


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HungarianAssigner([]), "match_costs: expected at least one cost"),
        (lambda: HungarianAssigner(COSTS, nonfinite="skip"), "nonfinite: expected one of raise, forbid"),
        (lambda: HungarianAssigner(COSTS, repeat=0), "repeat: expected at least 1, got 0"),
        (lambda: HungarianAssigner(COSTS, groups=1.5), "groups: expected an integer, got 1.5"),
        (lambda: MaskHungarianAssigner(dice_cost="DiceCost"), "DiceCost|config mapping"),
        (lambda: TopkHungarianAssigner(topk=0), "topk: expected at least 1, got 0"),
        (lambda: TopkHungarianAssigner(topk=1, alpha=-1), "alpha: expected at least 0"),
    ],
)
def test_wrong_knobs(build, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build()


@pytest.mark.parametrize(
    ("assign", "change", "message"),
    [
        (
            detr,
            {"image_shape": None},
            r"image_shape: expected a pair \(height, width\) or an array, since BBoxL1Cost reads it, got None",
        ),
        (detr, {"gt_labels": None}, "gt_labels: expected an array, since FocalLossCost reads it"),
        (detr, {"pred_bboxes": np.zeros((19, 4))}, r"pred_logits: expected shape \(..., 19, C\)"),
        (detr, {"gt_valid": np.ones(5, dtype=bool)}, r"gt_valid: expected shape \(..., 4\)"),
        (topk, {"pred_scores": None}, "pred_scores: expected an array, since the assigner reads it"),
        (topk, {"image_shape": (1, 2, 3)}, "image_shape: expected two finite numbers above 0"),
        (masks, {"mask_points": np.zeros((3, 3))}, r"mask_points: expected shape \(..., P, 2\)"),
    ],
)
def test_wrong_calls(assign, change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        assign(draw(), **change)


def test_unequal_groups():
    with pytest.raises(
        ValueError, match="groups: expected 3 equal groups of predictions, got 20 predictions"
    ):
        HungarianAssigner(COSTS, groups=3).assign(**draw(), image_shape=SIZE)
