"""Batch: with any leading dimensions, a batch gives row by row what its images give alone."""

import pytest
from hypothesis import strategies as st

from .checking import assert_same, for_all, on_every_target, scenes_for, stacked
from .scenes import ROWS, stack
from .subjects import COMPILED_OFTEN, LEADERS


def _six(subject):
    return st.lists(scenes_for(subject), min_size=6, max_size=6)


def _rows(arguments, kinds):
    return {name: x for name, x in arguments.items() if ROWS[name] in kinds}


@on_every_target(jax=COMPILED_OFTEN)
def test_a_batch_is_its_images(subject, target):
    @for_all(target, _six(subject), share=0.08)
    def check(scenes):
        images = [subject.arguments(scene) for scene in scenes]
        expected = stacked([subject.run(target, image) for image in images], (2, 3))
        assert_same(subject.run(target, stack(images, (2, 3))), expected, subject.rtol)


@on_every_target(LEADERS, jax=LEADERS[:1])
@pytest.mark.parametrize("lead", [(6,), (1, 6, 1)], ids=str)
def test_any_leading_dimensions_will_do(subject, target, lead):
    @for_all(target, _six(subject), share=0.04)
    def check(scenes):
        images = [subject.arguments(scene) for scene in scenes]
        expected = stacked([subject.expected(target, image) for image in images], lead)
        assert_same(subject.run(target, stack(images, lead)), expected, subject.rtol)


@on_every_target(LEADERS, jax=LEADERS[:1])
def test_what_all_images_share_need_not_be_repeated(subject, target):
    @for_all(target, _six(subject), share=0.04)
    def check(scenes):
        images = [subject.arguments(scene) for scene in scenes]
        for kinds in ("N", "GI"):
            shared = _rows(images[0], kinds)
            each = [subject.expected(target, {**image, **shared}) for image in images]
            expected = stacked(each, (2, 3))
            batch = stack([{**image, **shared} for image in images], (2, 3))
            assert_same(subject.run(target, {**batch, **shared}), expected, subject.rtol)
            rows_of_one = {name: x[None] for name, x in shared.items()}
            assert_same(subject.run(target, {**batch, **rows_of_one}), expected, subject.rtol)
        some = next(name for name in ("gt_bboxes", "gt_masks") if name in batch)
        some_alone = {**batch, some: images[0][some]}
        assert_same(subject.run(target, some_alone), expected, subject.rtol)


@on_every_target(LEADERS, jax=LEADERS[:1])
def test_leading_dimensions_broadcast_against_each_other(subject, target):
    @for_all(target, _six(subject), share=0.04)
    def check(scenes):
        images = [subject.arguments(scene) for scene in scenes]
        of_priors = stack([_rows(image, "N") for image in images[:2]], (2, 1))
        of_gts = stack([_rows(image, "GI") for image in images[2:5]], (3,))
        pairs = [{**images[2 + j], **_rows(images[i], "N")} for i in range(2) for j in range(3)]
        expected = stacked([subject.expected(target, pair) for pair in pairs], (2, 3))
        assert_same(subject.run(target, {**of_priors, **of_gts}), expected, subject.rtol)
