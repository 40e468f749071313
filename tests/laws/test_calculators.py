"""Every overlap calculator in every assigner that asks one, held to the laws that any numbers obey."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings

from assigncore import ASSIGNERS, OVERLAP_CALCULATORS, RotatedIoU, build_assigner
from assigncore.boxes import xyxy_to_xywhr
from assigncore.conformance import CAPABILITIES, TARGETS
from assigncore.conformance.capabilities import Priors, Rounding
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.scene import BOXES

from .scenes import any_scenes, floats
from .subjects import OfOrientedBoxes, Recipe, subject
from .test_laws import hold

ASKING = [
    name
    for name in ASSIGNERS.names()
    if any(knob.name == "iou_calculator" for knob in fields(ASSIGNERS.get(name)))
]
"""The assigners that ask a calculator."""

FORMS = {4: Recipe, 5: OfOrientedBoxes}
FLAT = [name for name in OVERLAP_CALCULATORS.names() if OVERLAP_CALCULATORS.get(name).columns in FORMS]
"""Calculators of boxes in the plane: of others no assigner knows what is inside."""

OF_FRACTIONS = ("CenterRegionAssigner", "MultiInstanceAssigner")
"""Assigners that ask what share of a box is covered, too: the mode "iof"."""

COSTS_OF_ORIENTED = {
    "reg_cost": {"type": "BBoxL1Cost", "box_format": "xywhr"},
    "iou_cost": {"type": "OverlapCost", "iou_calculator": {"type": "RotatedIoU"}},
}
"""What `TopkHungarianAssigner` matches oriented boxes by."""


def knows_fractions(calculator):
    return "iof" in getattr(OVERLAP_CALCULATORS.get(calculator), "modes", ("iof",))


def config_of(assigner, calculator):
    # Whether a region covers a prior is asked in the mode "iof", which not all calculators know.
    knobs = {name: x for name, x in CAPABILITIES[assigner].knobs.items() if name != "ignore_iof_thr"}
    if assigner == "TopkHungarianAssigner" and OVERLAP_CALCULATORS.get(calculator).columns == 5:
        knobs |= COSTS_OF_ORIENTED
    return {"type": assigner, **knobs, "iou_calculator": {"type": calculator}}


def subject_of(assigner, calculator):
    like = FORMS[OVERLAP_CALCULATORS.get(calculator).columns]
    config = config_of(assigner, calculator)
    return subject(f"{assigner}-{calculator}", config, like=like, rule=None, rounding=Rounding.NUMBERS)


PAIRS = [
    (assigner, calculator)
    for assigner in ASKING
    for calculator in FLAT
    if assigner not in OF_FRACTIONS or knows_fractions(calculator)
]


def test_more_than_one_calculator_is_of_oriented_boxes():
    columns = [OVERLAP_CALCULATORS.get(name).columns for name in FLAT]
    assert columns.count(5) >= 4
    assert len(FLAT) == len(OVERLAP_CALCULATORS.names()) - 3
    assert len(ASKING) >= 16


@pytest.mark.parametrize("law", ["padding", "broken_numbers"])
@pytest.mark.parametrize(("assigner", "calculator"), PAIRS)
def test_the_law_is_obeyed(assigner, calculator, law):
    subject = subject_of(assigner, calculator)
    hold(law, subject, TARGETS["numpy:kernels"], any_scenes(subject), 0.12, count=2)


def turned_arrays(recipe, scene):
    """Give the arguments of a scene with upright boxes, those boxes as oriented ones, and these otherwise described."""
    arrays = recipe.arrays(scene)
    of_points = recipe.capabilities.priors is not Priors.BOXES
    boxes = [name for name in arrays if name in BOXES and not (of_points and name == "priors")]
    oriented = {name: xyxy_to_xywhr(arrays[name]) for name in boxes}
    quarter = np.array([0, 0, 0, 0, np.pi / 2])
    otherwise = {name: x[..., [0, 1, 3, 2, 4]] + quarter for name, x in oriented.items()}
    return [{**arrays, **other} for other in ({}, oriented, otherwise)]


@pytest.mark.parametrize("assigner", [name for name in ASKING if name != "TopkHungarianAssigner"])
def test_how_a_box_is_described_decides_nothing(assigner):
    upright, turned = (
        recipe_of(build_assigner(config_of(assigner, name)), CAPABILITIES[assigner])
        for name in ("BboxOverlaps2D", "RotatedIoU")
    )

    @settings(max_examples=8)
    @given(floats())
    def check(scene):
        statics = upright.statics(scene)
        of_upright, *others = turned_arrays(upright, scene)
        codes = [turned.assigner.assign(**arrays, **statics).gt_inds for arrays in others]
        np.testing.assert_array_equal(*codes)
        # An upright box is wide or high, which an oriented one is by its angle alone.
        if assigner != "UniformAssigner":
            expected = upright.assigner.assign(**of_upright, **statics).gt_inds
            np.testing.assert_array_equal(codes[0], expected)

    check()


@pytest.mark.parametrize("calculator", [name for name in FLAT if not knows_fractions(name)])
def test_a_calculator_without_fractions_is_refused_by_name_where_they_are_asked(calculator):
    with pytest.raises(ValueError, match=f"iou_calculator: .*'iof', got {calculator}, which knows 'iou'"):
        build_assigner(config_of("CenterRegionAssigner", calculator))
    boxes = np.zeros((2, OVERLAP_CALCULATORS.get(calculator).columns))
    assigner = build_assigner(config_of("MultiInstanceAssigner", calculator))
    assigner.assign(boxes, boxes)
    with pytest.raises(ValueError, match=f"iou_calculator: .*'iof', got {calculator}"):
        assigner.assign(boxes, boxes, ignore_bboxes=boxes)


@pytest.mark.parametrize("calculator", ["AxisAlignedIoU3D", "BEVIoU", "NearestBEVIoU"])
@pytest.mark.parametrize("assigner", ["ATSSAssigner", "SimOTAAssigner", "UniformAssigner", "YOLOv7Assigner"])
def test_boxes_in_space_are_refused_by_name_where_centers_are_read(assigner, calculator):
    recipe = recipe_of(build_assigner(config_of(assigner, calculator)), CAPABILITIES[assigner])
    scene = draw_scene("fpn-0-0")
    with pytest.raises(ValueError, match=f"iou_calculator: expected one of boxes in the plane.*{calculator}"):
        recipe.assigner.assign(**recipe.arrays(scene), **recipe.statics(scene))


def test_costs_of_upright_boxes_do_not_match_oriented_ones():
    with pytest.raises(ValueError, match=r"iou_calculator: expected one of boxes of 4 columns.*RotatedIoU"):
        build_assigner({"type": "TopkHungarianAssigner", "topk": 2, "iou_calculator": RotatedIoU()})
    with pytest.raises(ValueError, match=r"reg_cost, iou_cost: .*4 .IoUCost. and 5 .BBoxL1Cost."):
        build_assigner(
            {"type": "TopkHungarianAssigner", "topk": 2, "reg_cost": COSTS_OF_ORIENTED["reg_cost"]}
        )
