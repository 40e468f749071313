"""Codes: -1 ignored, 0 background, i + 1 for ground truth i, in the default integer dtype; labels follow."""

import numpy as np
import pytest

from .checking import for_all, on_every_target, on_targets, scenes_for
from .scenes import FULL
from .subject import BOX
from .subjects import FEW, LEADERS, SUBJECTS
from .test_empties import some_scene


def _raw(subject, target, arguments):
    """Give the result, and its outputs."""
    arrays = {name: target.from_numpy(array) for name, array in arguments.items()}
    result = subject.call(**arrays)
    return result, subject.outputs_of(result, arrays)


def _default_integer(target):
    return target.backend.xp.__array_namespace_info__().default_dtypes()["integral"]


@on_every_target(LEADERS, jax=FEW)
def test_codes_and_labels(subject, target):
    @for_all(target, scenes_for(subject), share=0.2)
    def check(scene):
        arguments = subject.arguments(scene)
        with target.running(x64=False):
            result, outputs = _raw(subject, target, arguments)
            assert result.gt_inds.dtype == result.labels.dtype == _default_integer(target)
            codes, labels = target.to_numpy(outputs["gt_inds"]), target.to_numpy(outputs["labels"])
        competitors = "ignore_bboxes" if BOX in subject.holds.values() else None
        assert result.num_gts == len(scene["gt_bboxes"]) + len(scene.get(competitors, ()))
        assert codes.min() >= -1
        assert codes.max() <= result.num_gts
        positive = codes > 0
        np.testing.assert_array_equal(labels[positive], scene["gt_labels"][codes[positive] - 1])
        assert np.isin(labels[~positive], [-1, subject.no_label]).all()
        assert (codes[~scene["prior_valid"]] == -1).all()
        assert scene["gt_valid"][codes[positive] - 1].all()


@on_targets
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_labels_of_any_integer_dtype_come_back_in_the_default_one(target, dtype):
    subject = SUBJECTS[0]
    arguments = subject.arguments(some_scene(FULL))
    arguments["gt_labels"] = (arguments["gt_labels"] * 20).astype(dtype)
    expected = subject.read(arguments)["labels"]
    assert (expected > 0).any()
    with target.running(x64=False):
        result, _ = _raw(subject, target, arguments)
        assert result.labels.dtype == _default_integer(target)
        np.testing.assert_array_equal(target.to_numpy(result.labels), expected)


@on_every_target([s for s in LEADERS if "gt_labels" not in s.required], jax=FEW)
def test_without_labels_there_are_none(subject, target):
    @for_all(target, scenes_for(subject), share=0.1)
    def check(scene):
        arguments = subject.arguments(scene)
        unlabelled = {name: array for name, array in arguments.items() if name != "gt_labels"}
        with target.running(x64=False):
            result, outputs = _raw(subject, target, unlabelled)
            assert result.labels is None
            assert not [name for name in result.extras if "label" in name]
            codes = target.to_numpy(outputs["gt_inds"])
        np.testing.assert_array_equal(codes, subject.run(target, arguments)["gt_inds"])
