"""The libraries under the laws, by name: what cannot run here is skipped once, with its reason."""

import numpy as np

from .checking import TARGETS, assert_same
from .scenes import FULL
from .subjects import SUBJECTS
from .test_empties import some_scene


def test_a_library_that_can_run_is_under_the_laws(target):
    if target.device != "device1":
        assert target in TARGETS
    arguments = SUBJECTS[0].arguments(some_scene(FULL))
    got = SUBJECTS[0].run(target, arguments, eagerly=True)
    assert_same(got, SUBJECTS[0].read(arguments))
    assert (got["gt_inds"] > 0).any()
    assert np.array_equal(arguments["priors"], some_scene(FULL)["priors"])
