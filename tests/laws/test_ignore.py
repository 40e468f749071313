"""Ignore: a method that defines ignore regions takes them; any other refuses the argument. None drops it."""

import numpy as np
import pytest

from .scenes import FULL
from .subjects import LEADERS, SUBJECTS
from .test_empties import some_scene


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if not s.takes_regions], ids=str)
@pytest.mark.parametrize("name", ["ignore_bboxes", "ignore_valid"])
def test_a_method_without_ignore_regions_refuses_them(subject, name):
    scene = some_scene(FULL)
    arguments = subject.arguments(scene)
    with pytest.raises(TypeError, match=name):
        subject.assigner.assign(**arguments, **subject.others(arguments), **{name: scene[name]})


@pytest.mark.parametrize("leader", [s for s in LEADERS if s.takes_regions], ids=str)
def test_a_method_with_ignore_regions_heeds_them(leader):
    scene = some_scene(FULL)
    scene["ignore_bboxes"] = np.tile(np.array([[-1, -1, 9, 9]], dtype=np.float32), (FULL.regions, 1))
    heeding = []
    for subject in SUBJECTS:
        if subject.config["type"] == leader.config["type"]:
            arguments = subject.arguments(scene)
            heeded = subject.assign(**arguments)["gt_inds"]
            arguments["ignore_valid"] = np.zeros_like(arguments["ignore_valid"])
            heeding.append((heeded != subject.assign(**arguments)["gt_inds"]).any())
    assert any(heeding)
