"""A bounded slice of the whole suite, and what its verdicts are made of."""

import numpy as np
import pytest

from assigncore.conformance import CAPABILITIES, LAWS, Agreement, Mode, available_targets, get_target
from assigncore.conformance.laws import run_laws
from assigncore.conformance.laws.promises import run_backend_promises, run_promises
from assigncore.conformance.scenes.kinds import KINDS, draw_scene, draw_scenes
from assigncore.conformance.scenes.matrix import Matrix
from assigncore.conformance.scenes.padded import pad_scenes
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.regressions import load_regressions
from assigncore.conformance.scenes.verdict import judge
from assigncore.conformance.targets.deadline import Hang, within

QUICK = ["numpy", "torch", "array_api_strict"]
"""JAX compiles for each shape: the whole suite runs it, and here it runs compiled on a few assigners."""

SCENES = (*draw_scenes(len(KINDS), seed=7), *(regression.scene for regression in load_regressions()))


@pytest.mark.parametrize("name", CAPABILITIES)
@pytest.mark.parametrize("target", QUICK)
def test_the_matrix_agrees(name, target):
    matrix = Matrix(recipe_of(name))
    target = get_target(target)
    for dtype in target.dtypes:
        for mode in (Mode.EAGER, Mode.BATCHED):
            cell = matrix.run_cell(target, mode, dtype, SCENES)
            assert cell.not_run == ""
            assert len(cell.results) >= len(KINDS)
            assert cell.failures == ()


@pytest.mark.parametrize("name", ["MaxIoUAssigner", "SimOTAAssigner", "HungarianAssigner"])
def test_the_matrix_agrees_compiled_by_jax(name):
    scenes = [draw_scene(f"{kind}-8-0") for kind in ("fpn", "ties", "crowd", "real", "degenerate")]
    cell = Matrix(recipe_of(name)).run_cell(get_target("jax"), Mode.JIT, "float32", scenes)
    assert len(cell.results) == len(scenes)
    assert cell.failures == ()


@pytest.mark.parametrize(
    "name", ["MaxIoUAssigner", "ATSSAssigner", "TaskAlignedAssigner", "HungarianAssigner"]
)
def test_half_precision_is_traced_by_pytorch(name, tracing_torch):
    """A padded batch, by one assigner of each family; all of them are traced in float16 by `tests/test_graphs.py`."""
    scenes = [draw_scene(f"{kind}-8-0") for kind in ("fpn", "ties", "half")]
    cell = Matrix(recipe_of(name)).run_cell(
        tracing_torch, Mode.BATCHED, "bfloat16", scenes, under=tracing_torch.compile
    )
    assert len(cell.results) == len(scenes)
    assert cell.failures == ()


@pytest.mark.parametrize("name", CAPABILITIES)
def test_laws_are_obeyed(name):
    """On the suite's scenes; tests/laws draws others, for every library."""
    cell = run_laws(recipe_of(name), get_target("numpy"))
    assert [result.case for result in cell.results] == list(LAWS)
    assert cell.failures == ()
    not_shown = [result.case for result in cell.results if result.agreement is Agreement.NOT_RUN]
    assert not_shown in ([], ["static"])


@pytest.mark.parametrize("name", CAPABILITIES)
@pytest.mark.parametrize("target", ["numpy", "torch"])
def test_assigners_keep_their_promises(name, target):
    assert run_promises(recipe_of(name), get_target(target)).failures == ()


@pytest.mark.parametrize("target", available_targets(), ids=lambda target: target.name)
def test_backends_keep_their_promises(target):
    cell = run_backend_promises(target)
    assert len(cell.results) == 3
    assert cell.failures == ()


def test_what_cannot_run_says_why():
    cell = Matrix(recipe_of("PointAssigner")).run_cell(
        get_target("torch:cuda"), Mode.EAGER, "float32", SCENES
    )
    if get_target("torch:cuda").unavailable():
        assert (cell.not_run, cell.results) == ("no CUDA device", ())
    else:
        assert cell.failures == ()


def add(arrays):
    return {"gt_inds": (arrays["x"] >= np.float32(0.5)).astype(int)}


def verdict(got, x):
    arrays = {"x": np.array(x, dtype=np.float32)}
    return judge({"gt_inds": np.array(got)}, add(arrays), add, arrays, equal_cost=lambda: False)


def test_a_near_tie_has_a_margin_and_a_difference_has_none():
    close = verdict([0, 1], [np.float32(0.5) * (1 + 6e-7), 0.75])
    assert close.agreement is Agreement.NEAR_TIE
    assert 2 <= close.margin <= 16
    assert f"{close.margin:g} units" in close.message
    assert verdict([0, 1], [0.51, 0.75]).agreement is Agreement.DIFFERENT
    assert verdict([1, 1], [0.5, 0.75]).agreement is Agreement.IDENTICAL
    # One entry that rounding decides does not excuse another.
    assert verdict([0, 0], [0.5, 0.75]).agreement is Agreement.DIFFERENT


def test_a_tie_of_total_cost_is_told():
    arrays = {"x": np.ones(2, dtype=np.float32)}
    due = {"gt_inds": np.array([1, 0])}
    outcome = judge({"gt_inds": np.array([0, 1])}, due, lambda _: due, arrays, equal_cost=lambda: True)
    assert outcome.agreement is Agreement.EQUIVALENT


def test_equal_cost_is_computed_from_the_terms():
    scene = draw_scene("ties-0-1")
    matrix = Matrix(recipe_of("HungarianAssigner"))
    due = matrix.due(scene, "float32")["gt_inds"]
    assert matrix._equal_cost(scene, "float32", due, due)
    moved = np.roll(due, 1)
    assert not matrix._equal_cost(scene, "float32", moved, due)
    twice = np.where(due > 1, 1, due)
    assert not matrix._equal_cost(scene, "float32", twice, due)


def test_padding_is_harmful_and_told():
    recipe = recipe_of("SimOTAAssigner")
    scenes = [draw_scene("fpn-0-0"), draw_scene("empty-0-11")]
    batch = pad_scenes(recipe, scenes)
    shape = batch.arrays["gt_bboxes"].shape
    assert shape == (2, 11, 4)
    assert np.isnan(batch.arrays["gt_bboxes"][1]).all()
    np.testing.assert_array_equal(
        batch.arrays["gt_valid"][0], [*scenes[0].arrays["gt_valid"], False, False, False]
    )
    assert batch.arrays["prior_valid"].shape == (2, 90)
    outputs = {"gt_inds": np.zeros((2, 90), dtype=int)}
    outputs["gt_inds"][1, :] = 5
    # A ground truth that is padding is none of the scene's.
    assert (batch.outputs_of(outputs, 1)["gt_inds"] > scenes[1].n_gts).all()
    outputs["gt_inds"][0, :] = 5
    assert set(batch.outputs_of(outputs, 0)["gt_inds"].tolist()) == {5}
    with pytest.raises(ValueError, match="same levels"):
        pad_scenes(recipe, [scenes[0], load_regressions()[0].scene])


def test_a_time_limit_passes_on_what_is_raised():
    with pytest.raises(KeyError, match="inside"):
        within(10, lambda: {}["inside"])
    with pytest.raises(Hang):
        within(0.01, lambda: __import__("time").sleep(1))
