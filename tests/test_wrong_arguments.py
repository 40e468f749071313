"""What is around the assigners refuses a wrong argument by its name, and computes nothing of it."""

import numpy as np
import pytest

import assigncore
from assigncore.adapters.kernels.compiled import without_kernels
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.costs import BBoxL1Cost, IoUCost
from assigncore.matching import linear_sum_assignment
from assigncore.matching.mixture import two_gaussians
from assigncore.priors import (
    AnchorGenerator,
    PointGenerator,
    best_placed_overlaps,
    fit_anchors,
    fit_shapes,
    inside_image,
    level_index,
    retinanet_anchors,
)

GTS = np.array([[0, 0, 8, 8], [10, 4, 18, 20], [30, 30, 44, 40]], dtype=np.float32)
PRIORS = np.concatenate([GTS, GTS + 2, GTS + 40])
LABELS = np.array([1, 0, 2])
VALID = np.array([True, True, False])
POINTS = PointGenerator(strides=(8, 16))
ANCHORS = AnchorGenerator(strides=(8, 16), ratios=(1.0,), scales=(2.0,))
ASSIGNER = assigncore.MaxIoUAssigner(0.5, 0.4)
VALUES = np.linspace(0, 1, len(PRIORS), dtype=np.float32)

NO_ARRAY = ("text", {"a": 1}, len)
NO_NUMBERS = (None, "text", 2, 2.5, ("a", "b"), ((1, 2), (3,)), (1.5, 0.5), (-1, 10))
NO_SIZE = (None, "ab", 3, (), (1,), (1, 2, 3), ("a", "b"), (-1, 4), (float("nan"), 4))


def arrays_like(x, *kinds):
    """Give arrays of other shapes and kinds than an array has."""
    wrong = [
        x[:-1],
        np.concatenate([x, x]),
        np.stack([x, x]),
        x.astype(complex),
        x.astype(object),
        x.astype(str),
    ]
    return [*NO_ARRAY, *wrong, *(x.astype(kind) for kind in kinds)]


def monitored(**arguments):
    knobs = {name: arguments.pop(name) for name in ("class_names", "num_classes") if name in arguments}
    assigncore.Monitor(**knobs).update(
        RESULT if "result" not in arguments else arguments.pop("result"), **arguments
    )


def explained(**asked):
    return assigncore.explain(ASSIGNER, PRIORS, GTS, **asked)


def matched(**asked):
    costs = (BBoxL1Cost(box_format="xyxy"), IoUCost())
    matcher = assigncore.GreedyMatcher(match_costs=costs)
    return assigncore.explain(matcher, pred_bboxes=PRIORS, gt_bboxes=GTS, image_shape=(64, 64), **asked)


# No loop is compiled while tests are collected, in each process.
with without_kernels():
    RESULT = ASSIGNER.assign(PRIORS, GTS, gt_labels=LABELS)
    REGIONS = assigncore.CenterRegionAssigner(0.5, 0.8).assign(PRIORS, GTS)
    PAIRS, MATCHING = explained(), matched()

RESULTS = (None, 3, "text", {}, VALUES)
CALLS = {
    "keep_best": (assigncore.keep_best, {"result": RESULT, "values": VALUES, "k": 1}, {
        "result": RESULTS, "values": arrays_like(VALUES, int, bool), "k": (0, 1.5, None, "1"),
    }),
    "reassign_by_losses": (
        assigncore.reassign_by_losses, {"result": RESULT, "losses": VALUES, "num_level_priors": (5, 4)}, {
            "result": RESULTS, "losses": arrays_like(VALUES, int), "num_level_priors": NO_NUMBERS,
        },
    ),
    "to_torchvision": (assigncore.to_torchvision, {"result": RESULT}, {"result": RESULTS}),
    "to_detectron2": (assigncore.to_detectron2, {"result": RESULT}, {"result": RESULTS}),
    "shadowed_labels": (assigncore.shadowed_labels, {"result": REGIONS, "gt_labels": LABELS}, {
        "result": RESULTS, "gt_labels": arrays_like(LABELS, float, bool),
    }),
    "with_gts_prepended": (RESULT.with_gts_prepended, {"labels": LABELS, "gt_valid": VALID}, {
        "labels": arrays_like(LABELS, float, bool), "gt_valid": arrays_like(VALID, float, int),
    }),
    "summary": (
        RESULT.summary,
        {"gt_valid": VALID, "gt_labels": LABELS, "num_level_priors": (5, 4), "class_names": ("a", "b", "c")}, {
            "gt_valid": arrays_like(VALID, float, int), "gt_labels": arrays_like(LABELS, float, bool),
            "num_level_priors": NO_NUMBERS[1:], "class_names": ("abc", 3, (1, 2), {"a"}),
        },
    ),
    "Monitor": (
        monitored,
        {"result": RESULT, "gt_bboxes": GTS, "gt_labels": LABELS, "gt_valid": VALID,
         "gt_areas": GTS[:, 0], "image_ids": ["a"], "num_level_priors": (5, 4), "class_names": ("a", "b", "c")}, {
            "result": RESULTS, "gt_bboxes": [None, GTS[0], *arrays_like(GTS, int, bool)],
            "gt_labels": arrays_like(LABELS, float, bool), "gt_valid": arrays_like(VALID, float, int),
            "gt_areas": arrays_like(GTS[:, 0], bool), "image_ids": (3, "a", [["a"]], ["a", "b"]),
            "num_level_priors": NO_NUMBERS[1:], "class_names": ("abc", 3, (1, 2), {"a"}),
        },
    ),
    "two_gaussians": (two_gaussians, {"values": np.stack([VALUES] * 2), "valid": np.stack([VALUES > 0] * 2)}, {
        "valid": [np.ones((3, len(VALUES)), bool), np.ones((2, 4), bool), np.ones((2, len(VALUES)))],
    }),
    "inside_image": (inside_image, {"anchors": GTS, "image_shape": (32, 32), "allowed_border": 0.0}, {
        "anchors": [*NO_ARRAY, GTS[:, :3], GTS.astype(int), GTS.astype(complex), np.ma.masked_array(GTS)],
        "image_shape": (*NO_SIZE, np.ones(3, np.float32)), "allowed_border": ("1", None, float("nan")),
    }),
    "level_index": (level_index, {"num_level_priors": (3, 1)}, {"num_level_priors": NO_NUMBERS}),
    "fit_shapes": (fit_shapes, {"sizes": GTS[:, 2:], "count": 1}, {
        "sizes": [None, 3, ((1, 2), (3,)), *arrays_like(GTS[:, 2:])[:3], GTS, GTS[:, 2:].astype(complex), -GTS[:, 2:]],
        "count": (0, 1.5, True, 10**400),
    }),
    "fit_anchors": (fit_anchors, {"generator": ANCHORS, "gt_bboxes": GTS, "ratios": False}, {
        "generator": (None, POINTS), "gt_bboxes": [None, 3, GTS[:, :3], GTS.astype(str), GTS * np.nan],
        "ratios": ("no", 1, None),
    }),
    "best_placed_overlaps": (best_placed_overlaps, {"generator": ANCHORS, "gt_bboxes": GTS}, {
        "generator": (None, POINTS), "gt_bboxes": [None, 3, GTS[:, :3], GTS.astype(str), GTS * np.nan],
    }),
    "AnchorGenerator": (
        AnchorGenerator, {"strides": (8,), "ratios": (1.0,), "octave_base_scale": 4.0, "scales_per_octave": 3},
        {"strides": (8, (8.5,), ("8",)), "ratios": (1.0, ("1",), (0.0,)), "scales_per_octave": (0, 1.5, 10**400)},
    ),
    "PointGenerator": (PointGenerator, {"strides": (8,), "stride_xy": True}, {"stride_xy": ("no", 1, None)}),
    "grid": (POINTS.grid, {"featmap_sizes": [(2, 3), (1, 2)]}, {
        "featmap_sizes": (None, 3, "ab", (1, 2), [(2, 3)], [(2, 3), (1,)], [(2, 3), (1, -2)], [(2, 3), (1, 1.5)]),
    }),
    "featmap_sizes": (POINTS.featmap_sizes, {"image_shape": (20, 30)}, {"image_shape": NO_SIZE}),
    "valid_flags": (POINTS.valid_flags, {"featmap_sizes": [(2, 3), (1, 2)], "image_shape": (20, 30)}, {
        "featmap_sizes": (None, 3, [(2, 3)]), "image_shape": NO_SIZE,
    }),
    "retinanet_anchors": (retinanet_anchors, {"image_shape": (64, 64), "size_divisor": 32}, {
        "image_shape": NO_SIZE, "size_divisor": (0, 1.5, None, "32", float("nan")),
    }),
    "load_backend": (assigncore.load_backend, {"name": "numpy"}, {"name": (None, 3, np)}),
    "explain": (explained, {"gt": 0, "prior": (0, 1), "image": None}, {
        "gt": (1.5, "a", (0, 1.5), 3, -1), "prior": (1.5, "a", (0, "a"), 9, -1), "image": (0, "a", 1.5),
    }),
    **{
        f"{name} of {kind}": (getattr(of, name), dict.fromkeys(arguments, 0), {
            each: (None, "a", 1.5, (0,), True, -1, 10**400, *((3,) if each == "gt" else (9,))) for each in arguments
        })
        for kind, of in (("pairs", PAIRS), ("a matching", MATCHING))
        for name, arguments in (
            ("pair", ("gt", "prior")), ("cost_terms", ("gt", "prior")), ("of_gt", ("gt",)), ("why_none", ("gt",)),
            ("of_prior", ("prior",)), ("why_code", ("prior",)), ("funnel", ("gt",)),
        )
    },
    "forced": (MATCHING.forced, {"gt": 0, "prior": 0}, {"gt": (None, -1, 3, "a"), "prior": (None, -1, 9, "a")}),
}  # fmt: skip
"""Functions, a call each that they take, and of its arguments what they refuse."""


def refused(function, call, wrong):
    """Call with each wrong argument, and return what went wrong."""
    function(**call)
    found = []
    for name, values in wrong.items():
        for value in values:
            try:
                function(**{**call, name: value})
            except (TypeError, ValueError, IndexError) as error:
                if name not in str(error):
                    found.append((name, value, str(error)))
            except Exception as error:
                found.append((name, value, repr(error)))
            else:
                found.append((name, value, "accepted"))
    return found


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_are_refused_by_name(name):
    assert refused(*CALLS[name]) == []


@pytest.mark.parametrize("name", ["ATSSAssigner", "FCOSAssigner", "RegionAssigner"])
def test_numbers_of_priors(name):
    recipe, scene = recipe_of(name), draw_scene("fpn-0-0")
    call = {**recipe.arrays(scene), **recipe.statics(scene)}
    assert refused(recipe.assigner.assign, call, {"num_level_priors": (*NO_NUMBERS, (float("nan"),))}) == []


def test_feature_maps_of_yolov7():
    recipe, scene = recipe_of("YOLOv7Assigner"), draw_scene("fpn-0-0")
    call = {**recipe.arrays(scene), **recipe.statics(scene)}
    wrong = {"featmap_sizes": (None, 3, "abc", (1, 2, 3)), "featmap_strides": (None, 3, "abc", (0, 8, 16))}
    assert refused(recipe.assigner.assign, call, wrong) == []


def test_no_class_is_refused_by_the_name_of_the_scores():
    recipe, scene = recipe_of("TopkHungarianAssigner"), draw_scene("fpn-0-0")
    call = {**recipe.arrays(scene), **recipe.statics(scene)}
    assert refused(recipe.assigner.assign, call, {"pred_scores": [call["pred_scores"][:, :0]]}) == []


def test_costs_of_more_precision_than_scipy_solves_in():
    cost = np.array([[3.0, 1.0], [1.0, 3.0]], dtype=np.longdouble)
    assert linear_sum_assignment(cost).tolist() == [1, 0]


def test_anchors_in_half_precision_are_compared_as_they_are():
    """The image's width was rounded to the anchors' dtype: 1,339 pixels to 1,336, on which an anchor ends."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    anchors = np.array([[0, 0, 1336, 8], [0, 0, 1344, 8]], dtype=ml_dtypes.bfloat16)
    for image_shape in ((16, 1339), np.array([16, 1339], dtype=np.float32), np.array([16, 1339])):
        assert inside_image(anchors, image_shape).tolist() == [True, False]


def test_areas_of_boxes_in_half_precision():
    """The area of a box of 300 by 200 pixels is beyond float16, and that of 32 by 33 between its numbers."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    boxes = np.array([[0, 0, 31, 33], [0, 0, 300, 300]], dtype=ml_dtypes.bfloat16)
    monitor = assigncore.Monitor()
    monitor.update(ASSIGNER.assign(PRIORS, boxes.astype(np.float32)), gt_bboxes=boxes)
    assert monitor.end_epoch()["objects/small"] == 1


def test_knobs_of_priors_are_plain():
    """Lists made a generator that neither hashes nor equals the same one of tuples; NumPy's numbers none."""
    lists = AnchorGenerator(strides=[8, np.int64(16)], ratios=[np.float64(1.0)], scales=[2])
    tuples = AnchorGenerator(strides=(8, 16), ratios=(1.0,), scales=(2,))
    assert lists == tuples
    assert hash(lists) == hash(tuples)
