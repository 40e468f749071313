"""Generated scenes are the same everywhere, of all kinds, and the regression scenes get their stated answers."""

import hashlib

import numpy as np
import pytest

from assigncore.conformance.capabilities import CAPABILITIES, Capabilities
from assigncore.conformance.report.results import Agreement
from assigncore.conformance.scenes.kinds import KINDS, draw_scene, draw_scenes
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.regressions import load_regressions, run_regressions
from assigncore.conformance.scenes.scene import round_to
from assigncore.conformance.targets.libraries import get_target

GUARDED = {
    "padding_blocks_prior_0", "zero_overlap_takes_everything", "k_larger_than_n", "float16_overflow_in_cost",
    "conflict_won_without_choosing", "solver_never_ends", "device_mismatch", "one_box", "one_prior",
    "biased_standard_deviation",
}  # fmt: skip


def digest(scene):
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(x).tobytes() for x in scene.arrays.values())
    ).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_is_its_name(kind):
    scene = draw_scene(f"{kind}-5-2")
    assert digest(scene) == digest(draw_scene(f"{kind}-5-2"))
    assert digest(scene) != digest(draw_scene(f"{kind}-5-3"))


def test_kinds_take_turns():
    scenes = list(draw_scenes(2 * len(KINDS), seed=1))
    assert [scene.name.split("-")[0] for scene in scenes] == 2 * list(KINDS)


@pytest.mark.parametrize("name", ["nothing-0-0", "ties", "ties-x-0"])
def test_a_wrong_name_is_told(name):
    with pytest.raises(ValueError, match="KIND-SEED-NUMBER"):
        draw_scene(name)


def test_kinds_are_what_they_are_called():
    boxes = draw_scene("ties-0-0").arrays["gt_bboxes"]
    assert np.array_equal(boxes, np.round(boxes / 4) * 4)
    assert len(np.unique(boxes, axis=0)) < len(boxes)
    assert draw_scene("empty-0-0").n_gts == 0
    assert not np.all(np.isfinite(draw_scene("non_finite-0-0").arrays["pred_logits"]))
    some = [draw_scene(f"all_padded-0-{number}").arrays for number in range(12)]
    assert any(not scene["gt_valid"].any() for scene in some)
    assert any(not scene["prior_valid"].any() for scene in some)
    sizes = [np.abs(draw_scene(f"subnormal-0-{n}").arrays["gt_bboxes"]).max() for n in range(12)]
    assert min(sizes) < np.finfo(np.float32).tiny


def test_numbers_are_rounded_as_the_libraries_round():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    numbers = np.concatenate([draw_scene("huge-0-1").arrays["priors"].ravel(), [np.nan, np.inf, 1e-41, 3e38]])
    single = numbers.astype(np.float32)
    np.testing.assert_array_equal(
        round_to(numbers, "bfloat16"), single.astype(ml_dtypes.bfloat16).astype(np.float32)
    )
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(
            round_to(numbers, "float16"), numbers.astype(np.float16).astype(np.float32)
        )


@pytest.mark.parametrize("name", CAPABILITIES)
def test_every_assigner_finds_something_in_the_scenes(name):
    recipe = recipe_of(name)
    codes = []
    for scene in draw_scenes(2 * len(KINDS)):
        arrays = {key: round_to(x, "float32") for key, x in recipe.arrays(scene).items()}
        with np.errstate(all="ignore"):
            codes.append(recipe.call(recipe.statics(scene))(**arrays)["gt_inds"].ravel())
    assert {-1, 0} <= set(np.concatenate(codes).tolist())
    assert np.sum(np.concatenate(codes) > 0) > 5


def test_an_argument_that_the_suite_does_not_know_is_named():
    class Novel:
        def assign(self, priors, gt_bboxes, *, horoscope):
            raise AssertionError

    with pytest.raises(TypeError, match=r"Novel\.assign needs 'horoscope'"):
        _ = recipe_of(Novel(), Capabilities()).parameters


def test_the_folder_guards_against_what_was_seen():
    assert {regression.scene.name for regression in load_regressions()} == GUARDED
    for regression in load_regressions():
        assert regression.guards
        assert regression.dues
        assert set(regression.dues) <= set(CAPABILITIES)


@pytest.mark.parametrize("target", ["numpy", "torch", "array_api_strict"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_regression_scenes_get_the_stated_answers(target, dtype):
    if dtype not in get_target(target).dtypes:
        assert "no float16" in run_regressions("ATSSAssigner", get_target(target), dtype).not_run
        return
    for name in CAPABILITIES:
        cell = run_regressions(name, get_target(target), dtype)
        assert cell.failures == ()
        for result in cell.results:
            moved = result.case == "device_mismatch" and target == "numpy"
            assert (result.agreement is Agreement.NOT_RUN) == moved
