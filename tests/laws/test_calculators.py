"""Every overlap calculator in every assigner that asks one, held to the laws that any numbers obey."""

import pytest

from assigncore import OVERLAP_CALCULATORS
from assigncore.conformance import TARGETS
from assigncore.conformance.capabilities import Rounding

from .scenes import any_scenes
from .subjects import OfOrientedBoxes, Recipe, subject
from .test_laws import hold

KNOBS = {
    "ATSSAssigner": {"topk": 4},
    "DynamicSoftLabelAssigner": {},
    "MaxIoUAssigner": {"pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "min_pos_iou": 0.1},
    "SimOTAAssigner": {"center_radius": 0.5},
    "SinkhornAssigner": {"num_iters": 5},
    "TaskAlignedAssigner": {"topk": 4},
}
"""Assigners that take boxes of as many columns as their calculator says."""

FORMS = {4: Recipe, 5: OfOrientedBoxes}
FLAT = [name for name in OVERLAP_CALCULATORS.names() if OVERLAP_CALCULATORS.get(name).columns in FORMS]
"""Calculators of boxes in the plane: of others no assigner knows what is inside."""


def subject_of(assigner, calculator):
    kind = OVERLAP_CALCULATORS.get(calculator)
    knobs = {**KNOBS[assigner], "iou_calculator": {"type": calculator}}
    config = {"type": assigner, **knobs}
    return subject(
        f"{assigner}-{calculator}", config, like=FORMS[kind.columns], rule=None, rounding=Rounding.NUMBERS
    )


def test_more_than_one_calculator_is_of_oriented_boxes():
    columns = [OVERLAP_CALCULATORS.get(name).columns for name in FLAT]
    assert columns.count(5) >= 4
    assert len(FLAT) == len(OVERLAP_CALCULATORS.names()) - 3


@pytest.mark.parametrize("law", ["padding", "broken_numbers"])
@pytest.mark.parametrize("calculator", FLAT)
@pytest.mark.parametrize("assigner", KNOBS)
def test_the_law_is_obeyed(assigner, calculator, law):
    subject = subject_of(assigner, calculator)
    hold(law, subject, TARGETS["numpy:kernels"], any_scenes(subject), 0.2, count=2)
