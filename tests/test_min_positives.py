"""The option `min_positives`: what it adds, to whom, and that it takes nothing from anybody."""

import numpy as np
import pytest

from assigncore import TaskAlignedAssigner, YOLOv7Assigner, build_assigner, explain
from assigncore.backend.lookup import load_backend
from assigncore.conformance import get_target
from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import Recipe
from assigncore.conformance.scenes.scene import round_to
from assigncore.steps.candidates import Candidates
from assigncore.steps.min_positives import REACH, add_positives

from .dynamic_k import scenes as dynamic_k
from .task_aligned import scenes as task_aligned

DENSE = [
    name
    for name in CAPABILITIES
    if "min_positives" in build_assigner({"type": name, **CAPABILITIES[name].knobs}).to_config()
]
READ = [name for name in DENSE if CAPABILITIES[name].rule is not None]
KINDS = ("fpn", "ties", "crowd", "real")


def recipe(name, **knobs):
    return Recipe(
        name, build_assigner({"type": name, **CAPABILITIES[name].knobs, **knobs}), CAPABILITIES[name]
    )


def arguments(recipe, scene):
    return {name: round_to(x, "float32") for name, x in recipe.arrays(scene).items()} | recipe.statics(scene)


pytestmark = pytest.mark.compiled_by_jax


def test_every_dense_assigner_has_it():
    others = {
        "GreedyMatcher",
        "HungarianAssigner",
        "MaskHungarianAssigner",
        "MultiInstanceAssigner",
        "TopkHungarianAssigner",
    }
    assert set(CAPABILITIES) - set(DENSE) == others


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("name", READ)
def test_it_adds_what_the_reference_adds(name, least):
    subject = recipe(name, min_positives=least)
    for seed, kind in enumerate(KINDS):
        scene = draw_scene(f"{kind}-{seed}-{seed}")
        given = arguments(subject, scene)
        result = subject.assigner.assign(**given)
        told = {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, "labels": result.labels}
        arrays = {name: round_to(x, "float32") for name, x in subject.arrays(scene).items()}
        expected = subject.promised(subject.read(scene, arrays))
        got = subject.promised({name: x for name, x in {**told, **result.extras}.items() if x is not None})
        for output, x in expected.items():
            np.testing.assert_array_equal(got[output], x, err_msg=f"{kind}: {output}")


@pytest.mark.parametrize("rule", task_aligned.RULES)
@pytest.mark.parametrize("tied", [False, True])
def test_task_aligned_adds_what_its_reference_adds(rule, tied):
    knobs, overlap_of = task_aligned.RULES[rule]
    knobs = {**knobs, "min_positives": 3}
    for seed in range(3):
        inputs = task_aligned.draw(seed, tied=tied)
        centers = (inputs["priors"][:, :2] + inputs["priors"][:, 2:]) / 2
        others = (inputs[name] for name in ("gt_bboxes", "pred_bboxes", "pred_scores", "gt_labels"))
        expected = task_aligned.task_aligned(centers, *others, knobs, overlap_of)
        result = TaskAlignedAssigner(**knobs).assign(**inputs)
        task_aligned.check(
            {"gt_inds": result.gt_inds, "max_overlaps": result.max_overlaps, **result.extras}, expected
        )
        assert (result.positives_per_gt >= 3).all()


@pytest.mark.parametrize("subject", [dynamic_k.SIM_OTA, dynamic_k.SOFT_LABEL], ids=["sim_ota", "soft_label"])
@pytest.mark.parametrize("tied", [False, True])
def test_dynamic_k_adds_what_its_reference_adds(subject, tied):
    for seed in range(4):
        inputs = subject.draw(seed, tied=tied)
        # Some are so small that no point is in them.
        inputs["gt_bboxes"][:2, 2:] = inputs["gt_bboxes"][:2, :2] + 1
        knobs = {"min_positives": 2}
        result = subject.build(**knobs).assign(**inputs)
        dynamic_k.same(dynamic_k.outputs(result), subject.reading(inputs, knobs))
        assert (result.positives_per_gt >= 2).all()


@pytest.mark.parametrize("name", DENSE)
def test_nobody_loses_a_prior_and_who_has_enough_gets_none(name):
    plain, subject = recipe(name), recipe(name, min_positives=2)
    added = 0
    for seed, kind in enumerate(KINDS):
        scene = draw_scene(f"{kind}-{seed}-{seed}")
        before = np.asarray(plain.assigner.assign(**arguments(plain, scene)).gt_inds)
        after = np.asarray(subject.assigner.assign(**arguments(subject, scene)).gt_inds)
        counts = [np.bincount(codes[codes > 0], minlength=scene.n_gts + 1) for codes in (before, after)]
        # YOLOv7's anchors of other shapes become candidates too, and compete.
        if name != "YOLOv7Assigner":
            np.testing.assert_array_equal(after[before > 0], before[before > 0])
            assert (counts[1][counts[0] >= 2] == counts[0][counts[0] >= 2]).all()
        added += counts[1][counts[0] < 2].sum() - counts[0][counts[0] < 2].sum()
    assert added > 0


SIDE = 8
POINTS = np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).reshape(-1, 2) * SIDE + SIDE / 2
SMALL = np.array([[9, 9, 10, 10]] * 5 + [[33, 33, 34, 34]], dtype=np.float32)
"""Five equal objects and one elsewhere, in which no point of the grid lies."""


def on_grid(name, **knobs):
    """Build an assigner and the arguments for the small objects on a grid, priors as the assigner takes them."""
    subject = recipe(name, **knobs)
    boxes = np.concatenate([POINTS - SIDE / 2, POINTS + SIDE / 2], axis=-1).astype(np.float32)
    strides = np.full((len(POINTS), 2), SIDE)
    points = np.concatenate([POINTS, strides], axis=-1).astype(np.float32)
    kind = CAPABILITIES[name].priors.name
    every = {
        "priors": {"BOXES": boxes, "POINTS": points[:, :3], "STRIDED": points}[kind],
        "approxs": boxes[:, None],
        "pred_bboxes": boxes - 1,
        "pred_scores": np.full((len(points), 3), 0.5, dtype=np.float32),
        "pred_logits": np.zeros((len(points), 3), dtype=np.float32),
        "pred_objectness": np.zeros(len(points), dtype=np.float32),
        "responsible_flags": np.ones(len(points), dtype=bool),
        "base_sizes": np.array([[[SIDE, SIDE]]], dtype=np.float32),
        "gt_bboxes": SMALL,
        "gt_labels": np.array([0, 1, 2, 0, 1, 2]),
        "num_level_priors": (len(points),),
        "featmap_sizes": ((8, 8),),
        "featmap_strides": (SIDE,),
        "anchor_strides": (SIDE,),
        "anchor_scale": 1,
        "allowed_border": -1,
        "image_shape": (64, 64),
    }
    return subject.assigner, {name: every[name] for name in subject.parameters if name in every}


NEAREST = ("ATSSAssigner", "CenterRegionAssigner", "DynamicSoftLabelAssigner", "PointAssigner",
           "RegionAssigner", "SinkhornAssigner", "TaskAlignedAssigner", "UniformAssigner")  # fmt: skip


@pytest.mark.parametrize("name", [*NEAREST, "FCOSAssigner"])
def test_equal_objects_that_are_small_all_get_their_number(name):
    knobs = {"regress_ranges": ((-1, 99),)} if name == "FCOSAssigner" else {}
    assigner, given = on_grid(name, min_positives=3, **knobs)
    result = assigner.assign(**given)
    assert (result.positives_per_gt >= 3).all()
    # The one that has no rival has the points about it, of which its own cell's is the nearest.
    assert np.asarray(result.gt_inds).reshape(8, 8)[4, 4] == 6


def test_an_overlap_of_nothing_is_no_prior_that_an_object_can_have():
    assigner, given = on_grid("MaxIoUAssigner", min_positives=2, match_low_quality=False)
    result = assigner.assign(**given)
    # Each box of the grid overlaps one of the two places: two objects get a positive, the first of equals.
    assert result.positives_per_gt.tolist() == [1, 0, 0, 0, 0, 1]


def test_an_anchor_of_another_shape_becomes_a_candidate_of_yolov7():
    _, given = on_grid("YOLOv7Assigner")
    assert not YOLOv7Assigner().assign(**given).pos_mask.any()
    result = YOLOv7Assigner(min_positives=1).assign(**given)
    codes = result.extras["candidate_gt_inds"]
    assert np.unique(codes[codes > 0]).tolist() == [1, 2, 3, 4, 5, 6]


def candidates_of(*rows):
    index = np.array([rows])
    return Candidates(index, np.zeros(index.shape) + np.arange(index.shape[-1], dtype=np.float32))


def test_rounds_go_on_until_everybody_has_enough():
    # By competing values the last object wins everything, and the first must go to its third prior.
    found = candidates_of([0, 1, 2, 3], [0, 1, 2, 3], [1, 0, 2, 3])
    worth = np.array([[[0.0] * 4, [1.0] * 4, [2.0] * 4]], dtype=np.float32)
    backend = load_backend("numpy")
    codes, valid = np.zeros((1, 5), dtype=np.int64), np.ones((1, 3), dtype=bool)
    added = add_positives(backend, codes, valid, 1, lambda _: found, by=lambda _: worth)
    assert added.gt_inds.tolist() == [[2, 3, 1, 0, 0]]
    assert added.won.sum(axis=-1).tolist() == [[1, 1, 1]]


def test_it_asks_for_eight_times_as_many_and_not_where_nobody_lacks_any():
    asked = []

    def nearest(k):
        asked.append(k)
        return candidates_of([0, 1])

    backend, valid = load_backend("numpy"), np.ones((1, 1), dtype=bool)
    for codes, least in (([[1, 1] + 30 * [0]], 2), ([[0] * 32], 0)):
        assert add_positives(backend, np.array(codes), valid, least, nearest) is None
    assert asked == []
    assert add_positives(backend, np.zeros((1, 32), dtype=np.int64), valid, 2, nearest) is not None
    add_positives(backend, np.zeros((1, 9), dtype=np.int64), valid, 2, nearest)
    assert asked == [2 * REACH, 9]


def test_an_explanation_says_that_it_was_added():
    assigner, given = on_grid("ATSSAssigner", min_positives=1)
    explanation = explain(assigner, **given, gt=5)
    assert explanation.implied_codes.tolist() == explanation.codes.tolist()
    assert "asked for by the object" in str(explanation)


@pytest.mark.parametrize("value", [-1, 1.5, True, "2", None])
def test_it_is_a_number_from_0(value):
    with pytest.raises((TypeError, ValueError), match="min_positives: expected"):
        build_assigner({"type": "PointAssigner", "min_positives": value})


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("torch", "ATSSAssigner"),
        ("torch", "TaskAlignedAssigner"),
        ("torch", "SimOTAAssigner"),
        ("torch", "MaxIoUAssigner"),
        ("jax", "ATSSAssigner"),
    ],
)
def test_one_graph_serves_whoever_lacks_positives(library, name):
    pytest.importorskip(library)
    assigner, given = on_grid(name, min_positives=2)
    statics = {name: given.pop(name) for name in ("num_level_priors",) if name in given}
    target = get_target(library)
    others = {**given, "gt_bboxes": SMALL + np.array([0, 0, 30, 24], dtype=np.float32)}
    with target.running(x64=False):
        captured = target.capture(lambda **arrays: assigner.assign(**arrays, **statics).gt_inds)
        natives = [{name: target.from_numpy(x) for name, x in each.items()} for each in (given, others)]
        captured(**natives[0])
        for native, arrays in zip(natives, (given, others), strict=True):
            with target.undisturbed():
                got = captured(**native)
            np.testing.assert_array_equal(target.to_numpy(got), assigner.assign(**arrays, **statics).gt_inds)
