"""What an explanation says of every pair is what was decided, and it says why in words that can be checked."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

import assigncore
from assigncore import AssignResult, MaxIoUAssigner, explain
from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.scenes.kinds import KINDS, draw_scene
from assigncore.conformance.scenes.recipes import Recipe, recipe_of
from assigncore.conformance.scenes.scene import round_to
from assigncore.inspect.explain import UnnamedStepsError
from assigncore.inspect.trace import is_recording, recorded

MATCHERS = ("HungarianAssigner", "MaskHungarianAssigner", "TopkHungarianAssigner", "GreedyMatcher")

KNOBS = [
    ("ATSSAssigner", {"topk": 3, "conflicts": "all"}),
    ("ATSSAssigner", {"topk": 3, "min_positives": 2}),
    ("ATSSAssigner", {"topk": 3, "strictly_above": True, "ignore_iof_thr": 0.3}),
    ("CenterRegionAssigner", {"pos_scale": 0.8, "neg_scale": 1.0, "foreground_dominate": True}),
    ("DynamicSoftLabelAssigner", {"topk": 4, "select_outside": True}),
    ("FCOSAssigner", {"regress_ranges": ((-1, 24), (24, 48), (48, None)), "center_sampling": True}),
    ("GreedyMatcher", {"match_costs": ({"type": "IoUCost"},), "repeat": 2, "groups": 2}),
    ("GridAssigner", {"pos_iou_thr": 0.3, "neg_iou_thr": (0.1, 0.2), "gt_max_assign_all": False}),
    ("HungarianAssigner", {"match_costs": ({"type": "IoUCost"},), "repeat": 3, "nonfinite": "forbid"}),
    ("HungarianAssigner", {"match_costs": ({"type": "IoUCost"},), "groups": 2, "nonfinite": "forbid"}),
    ("Matcher", {"thresholds": (0.2, 0.5), "labels": (0, -1, 1), "allow_low_quality_matches": True}),
    ("Matcher", {"thresholds": (0.3,), "labels": (1, 0)}),
    ("MaxIoUAssigner", {"pos_iou_thr": 0.3, "neg_iou_thr": (0.1, 0.2), "gt_max_assign_all": False}),
    ("MaxIoUAssigner", {"pos_iou_thr": 0.3, "neg_iou_thr": 0.2, "match_low_quality": False}),
    ("MaxIoUAssigner", {"pos_iou_thr": 0.5, "neg_iou_thr": 0.5, "ignore_iof_thr": 0.5}),
    ("MultiInstanceAssigner", {"num_instance": 3, "pos_iou_thr": 0.3, "neg_iou_thr": 0.3}),
    ("RegionAssigner", {"min_positives": 1}),
    ("SimOTAAssigner", {"candidate_topk": 4, "center_radius": 1.0}),
    ("TaskAlignedAssigner", {"topk": 5, "topk_inside": True, "conflicts": "inside"}),
    ("TaskAlignedAssigner", {"topk": 5, "topk_inside": True, "conflicts": "all", "topk2": 2}),
    ("TaskAlignedAssigner", {"topk": 5, "conflicts": "claimants", "normalized": True}),
    ("TaskAlignedAssigner", {"topk": 2, "min_positives": 3}),
    ("UniformAssigner", {"pos_ignore_thr": 0.4, "neg_ignore_thr": 0.3, "match_times": 2}),
]


def recipes():
    for name in CAPABILITIES:
        yield recipe_of(name)
    for name, knobs in KNOBS:
        assigner = assigncore.build_assigner({"type": name, **knobs})
        yield Recipe(name, assigner, CAPABILITIES[name])


def to_jax(x):
    return pytest.importorskip("jax").numpy.asarray(x)


def inputs_of(recipe, scene, convert=np.asarray):
    arrays = {name: convert(round_to(x, "float32")) for name, x in recipe.arrays(scene).items()}
    return {**arrays, **recipe.statics(scene)}


@pytest.mark.parametrize("recipe", list(recipes()), ids=lambda recipe: repr(recipe.assigner)[:80])
@pytest.mark.parametrize("kind", KINDS)
def test_the_reasons_of_all_pairs_imply_the_result(recipe, kind):
    for seed in range(4):
        inputs = inputs_of(recipe, draw_scene(f"{kind}-{seed}-{seed}"))
        with np.errstate(all="ignore"):
            expected = recipe.assigner.assign(**inputs)
        explanation = explain(recipe.assigner, **inputs)
        np.testing.assert_array_equal(explanation.result.gt_inds, expected.gt_inds)
        if 0 not in explanation.trace.shape:
            np.testing.assert_array_equal(explanation.implied_codes, explanation.codes)


@pytest.mark.parametrize("recipe", list(recipes()), ids=lambda recipe: repr(recipe.assigner)[:80])
def test_a_pair_is_called_positive_just_where_it_is(recipe):
    inputs = inputs_of(recipe, draw_scene("real-1-1"))
    explanation = explain(recipe.assigner, **inputs)
    codes = explanation.codes
    for gt in range(explanation.trace.shape[0]):
        for prior, code in enumerate(codes):
            reason = explanation.pair(gt, prior)
            assert (reason.outcome == "positive") == (code == gt + 1), (gt, prior, str(reason))
            if reason.outcome in ("lost", "overruled"):
                assert reason.winner not in (None, gt)
            assert str(reason)
        assert explanation.funnel(gt)[-1] == ("positive", int((codes == gt + 1).sum()))
        shown = explanation.of_gt(gt)
        assert 3 <= len(shown) <= 12 or shown[0].outcome != "failed" or shown[0].passed
        assert [each.outcome for each in shown].count("positive") == min(12, (codes == gt + 1).sum())
    assert (codes > 0).any()


@pytest.mark.parametrize("recipe", list(recipes()), ids=lambda recipe: repr(recipe.assigner)[:80])
def test_a_copy_and_a_pickle_say_the_same(recipe):
    explanation = explain(recipe.assigner, **inputs_of(recipe, draw_scene("fpn-1-1")))
    solves = explanation.trace.matching is not None or explanation.trace.force is not None
    others = [copy.deepcopy(explanation)] + ([] if solves else [pickle.loads(pickle.dumps(explanation))])
    n_gts, n_priors = explanation.trace.shape
    for other in others:
        assert str(other) == str(explanation)
        for gt in range(n_gts):
            for prior in range(0, n_priors, 7):
                assert str(other.pair(gt, prior)) == str(explanation.pair(gt, prior))


def test_the_words_of_a_small_scene_checked_by_hand():
    # Overlaps of the object with the priors: 100 / 200, 120 / 200, 40 / 260, and nothing.
    gt_bboxes = np.array([[0, 0, 10, 20]], dtype=np.float32)
    priors = np.array([[0, 0, 10, 10], [0, 0, 10, 12], [0, 16, 10, 26], [50, 50, 60, 60]], dtype=np.float32)
    assigner = MaxIoUAssigner(0.55, 0.3, min_pos_iou=0.7)
    explanation = explain(assigner, priors, gt_bboxes, gt=0, prior=[0, 3])
    assert explanation.result.gt_inds.tolist() == [-1, 1, 0, 0]
    reasons = [explanation.pair(0, prior) for prior in range(4)]
    assert [reason.outcome for reason in reasons] == ["failed", "positive", "failed", "failed"]
    assert (reasons[0].value, reasons[0].limit) == (0.5, pytest.approx(0.55))
    assert str(reasons[0]) == "fails: overlap at least pos_iou_thr (0.5 against 0.55)"
    assert str(reasons[1]) == "positive: overlap at least pos_iou_thr (0.6 against 0.55)"
    assert explanation.why_code(0) == "ignored: best overlap not among those of background (0.5)"
    assert explanation.why_code(3) == "background: no ground truth has it"
    text = str(explanation)
    assert text.startswith("ground truth 0 of MaxIoUAssigner: 1 positive of 4\n")
    assert "prior 0 of MaxIoUAssigner: ignored: best overlap not" in text
    assert explanation._repr_html_().count("<table") == 4


def test_a_prior_says_to_whom_it_was_lost():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 14]], dtype=np.float32)
    explanation = explain(MaxIoUAssigner(0.5, 0.4), boxes[:1], boxes, prior=0)
    lost = explanation.pair(1, 0)
    # The first object has the prior by its best overlap, and the second one's best is the same prior.
    assert explanation.result.gt_inds.tolist() == [2]
    assert explanation.pair(0, 0).outcome == "overruled"
    assert explanation.pair(0, 0).winner == 1
    assert lost.outcome == "positive"
    quiet = MaxIoUAssigner(0.5, 0.4, match_low_quality=False)
    lost = explain(quiet, boxes[:1], boxes).pair(1, 0)
    assert (lost.outcome, lost.winner, lost.step) == ("lost", 0, "the largest overlap")
    assert (lost.value, lost.limit) == (1.0, pytest.approx(100 / 140))


@pytest.mark.parametrize("name", MATCHERS)
def test_a_matching_tells_costs_by_term_and_what_another_pair_would_cost(name):
    recipe = recipe_of(name)
    explanation = explain(recipe.assigner, **inputs_of(recipe, draw_scene("real-2-2")))
    codes, costs = explanation.implied_codes, explanation.trace.matching.costs
    for prior in np.flatnonzero(codes > 0)[:5]:
        gt = int(codes[prior]) - 1
        assert explanation.forced(gt, prior) == pytest.approx(0, abs=1e-4)
        terms = explanation.cost_terms(gt, prior)
        assert sum(terms.values()) == pytest.approx(costs[gt, prior], rel=1e-4, abs=1e-4)
        assert len(terms) == len(recipe.assigner.to_config().get("match_costs", (0, 0, 0)))
    others = [(gt, n) for gt in range(len(costs)) for n in range(0, 84, 7) if codes[n] != gt + 1]
    raised = np.array([explanation.forced(gt, n) for gt, n in others])
    allowed = np.array([np.isfinite(costs[gt, n]) for gt, n in others])
    assert np.isinf(raised[~allowed]).all()
    if name != "GreedyMatcher":
        assert (raised[allowed] > -1e-3).all()
    assert raised[allowed].max() > 0.1


def test_a_transport_tells_costs_by_term_and_what_another_pair_would_cost():
    recipe = recipe_of("SinkhornAssigner")
    explanation = explain(recipe.assigner, **inputs_of(recipe, draw_scene("real-2-2")), gt=0)
    away = explanation.trace.terms["away from the centre"]
    pairs = [(int(code) - 1, n) for n, code in enumerate(explanation.codes) if code > 0]
    gt, prior = next((gt, n) for gt, n in pairs if away[gt].max() > 0)
    assert set(explanation.cost_terms(gt, prior)) == {"class", "overlap", "away from the centre"}
    assert abs(explanation.forced(gt, prior)) < 5
    # A unit must come from far away, and the rest of the plan makes room for it.
    raised = [explanation.forced(gt, int(n)) for n in np.flatnonzero(away[gt])[:20]]
    assert 1e5 < min(raised) < np.inf
    assert "cost" in explanation._repr_html_()


def test_what_a_forced_pair_costs_is_what_trying_all_matchings_gives():
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 20, (4, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 20, (4, 2))], axis=-1).astype(np.float32)
    assigner = assigncore.HungarianAssigner({"type": "IoUCost"})
    explanation = explain(assigner, boxes[:3], pred_bboxes=boxes + 2)
    costs = explanation.trace.matching.costs.astype(np.float64)
    ways = [(a, b, c) for a in range(4) for b in range(4) for c in range(4) if len({a, b, c}) == 3]
    totals = {way: sum(costs[gt, prior] for gt, prior in enumerate(way)) for way in ways}
    for gt in range(3):
        for prior in range(4):
            best = min(total for way, total in totals.items() if way[gt] == prior)
            assert explanation.forced(gt, prior) == pytest.approx(best - min(totals.values()), abs=1e-6)
    with pytest.raises(ValueError, match="decides pair by pair"):
        explain(MaxIoUAssigner(0.5, 0.4), boxes, boxes).forced(0, 0)


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor, to_jax], ids=["numpy", "torch", "jax"])
def test_one_image_of_a_batch_is_explained(convert):
    recipe = recipe_of("SimOTAAssigner")
    scenes = [inputs_of(recipe, draw_scene(f"fpn-{seed}-{seed}")) for seed in range(3)]
    batch = {name: convert(np.stack([scene[name] for scene in scenes])) for name in scenes[0]}
    batch["priors"] = convert(scenes[0]["priors"])
    for image, scene in enumerate(scenes):
        alone = explain(recipe.assigner, **{**scene, "priors": scenes[0]["priors"]}, gt=2)
        assert str(explain(recipe.assigner, **batch, gt=2, image=image)) == str(alone)
    with pytest.raises(ValueError, match=r"image: expected which image of the batch \(3,\)"):
        explain(recipe.assigner, **batch)
    for image in (3, (0, 0), -1):
        with pytest.raises(IndexError, match=r"image: expected an index into the batch \(3,\)"):
            explain(recipe.assigner, **batch, image=image)


def test_who_is_asked_about_must_be_there():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 14]], dtype=np.float32)
    for wrong, words in (
        ({"gt": 1}, "gt: expected 0 to 0, got 1"),
        ({"prior": [0, -1]}, "prior: expected 0 to 1"),
    ):
        with pytest.raises(IndexError, match=words):
            explain(MaxIoUAssigner(0.5, 0.4), boxes, boxes[:1], **wrong)
    with pytest.raises(TypeError, match="gt_bboxes"):
        explain(MaxIoUAssigner(0.5, 0.4), boxes)
    with pytest.raises(ValueError, match="gt_bboxes: expected shape"):
        explain(MaxIoUAssigner(0.5, 0.4), boxes, boxes[:, :3])


def test_an_assigner_that_names_no_steps_is_not_explained():
    class Mine:
        def assign(self, priors, gt_bboxes):
            return AssignResult(np.ones(len(priors), dtype=np.int64), None, None, len(gt_bboxes))

    class Half(MaxIoUAssigner):
        def assign(self, priors, gt_bboxes):
            found = super().assign(priors, gt_bboxes)
            return AssignResult(1 - found.gt_inds, None, None, 1)

    boxes = np.array([[0, 0, 10, 10]], dtype=np.float32)
    with pytest.raises(UnnamedStepsError, match="Mine does not name its steps"):
        explain(Mine(), boxes, boxes)
    with pytest.raises(UnnamedStepsError, match=r"Half does not name all of its steps: .* for 1 priors"):
        explain(Half(0.5, 0.4), boxes, boxes)


def test_a_drop_in_is_explained_by_the_names_of_its_framework():
    from assigncore.adapters import mmdet, ultralytics

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 12], [40, 40, 50, 50]])
    pred, gt = InstanceData(priors=boxes), InstanceData(bboxes=boxes[:1] + 1, labels=torch.tensor([3]))
    explanation = explain(mmdet.MaxIoUAssigner(0.7, 0.3, 0.3), pred, gt, gt=0)
    assert explanation.implied_codes.tolist() == explanation.result.gt_inds.tolist() == [-1, 1, 0]
    points = torch.tensor([[4.0, 4.0], [12.0, 4.0], [44.0, 44.0]])
    arguments = (torch.full((1, 3, 2), 0.5), boxes[None], points, torch.tensor([[[1]]]), boxes[None, :1])
    explanation = explain(
        ultralytics.TaskAlignedAssigner(10, 2), *arguments, torch.ones(1, 1, 1), prior=[0, 2]
    )
    assert (
        (explanation.implied_codes > 0).tolist() == explanation.result[3][0].tolist() == [True, True, False]
    )
    assert explanation.pair(0, 2).step == "of the topk largest metrics"
    batch = [torch.cat([x, x]) if x.ndim == 3 else x for x in arguments]
    with pytest.raises(ValueError, match="one image is explained at a time, got a batch of 2"):
        explain(ultralytics.TaskAlignedAssigner(10, 2), *batch, torch.ones(2, 1, 1))
    with pytest.raises(ValueError, match="image: expected None, since pd_scores is of no known shape"):
        explain(ultralytics.TaskAlignedAssigner(10, 2), *batch, torch.ones(2, 1, 1), image=1)


def test_padding_says_that_it_is():
    boxes = np.array([[0, 0, 10, 10], [np.nan, 0, 10, 14]], dtype=np.float32)
    explanation = explain(MaxIoUAssigner(0.5, 0.4), boxes[:1], boxes, gt_valid=np.array([True, True]), gt=1)
    assert "neither padding nor non-finite" in str(explanation.pair(1, 0))
    assert "padding, or a box with a non-finite number" in str(explanation)


def test_nothing_is_recorded_of_other_threads_or_afterwards():
    boxes = np.array([[0, 0, 10, 10]], dtype=np.float32)
    with recorded() as trace:
        thread = threading.Thread(target=lambda: MaxIoUAssigner(0.5, 0.4).assign(boxes, boxes))
        thread.start()
        thread.join()
        assert not trace.rounds
        assert is_recording()
        with pytest.raises(RuntimeError, match="one after the other"):
            explain(MaxIoUAssigner(0.5, 0.4), boxes, boxes)
    assert not is_recording()
    assert isinstance(MaxIoUAssigner(0.5, 0.4).assign(boxes, boxes), AssignResult)
    assert not trace.rounds


def test_an_empty_image_is_explained_as_all_background():
    boxes = np.zeros((3, 4), dtype=np.float32)
    explanation = explain(MaxIoUAssigner(0.5, 0.4), boxes, boxes[:0], prior=1)
    assert str(explanation) == "prior 1 of MaxIoUAssigner: background: no ground truth has it"
