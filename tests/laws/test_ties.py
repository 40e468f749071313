"""Ties go to the lowest index, unless the assigner's rule says otherwise, as its plain reading does."""

from .checking import assert_same, for_all, on_every_target
from .scenes import any_scenes, grids
from .subjects import LEADERS, READ


@on_every_target(READ)
def test_outputs_are_what_the_rule_reads_as(subject, target):
    @for_all(target, any_scenes())
    def check(scene):
        arguments = subject.arguments(scene)
        assert_same(subject.run(target, arguments), subject.read(arguments))


@on_every_target([subject for subject in LEADERS if subject in READ])
def test_ties_operation_by_operation(subject, target):
    @for_all(target, grids(), share=0.3)
    def check(scene):
        arguments = subject.arguments(scene)
        assert_same(subject.run(target, arguments, eagerly=True), subject.read(arguments))
