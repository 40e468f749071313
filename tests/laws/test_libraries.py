"""The libraries under the laws, by name: what cannot run here is skipped once, with its reason."""

import jax
import numpy as np
import pytest
import torch

from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.conformance import TARGETS, get_target
from assigncore.conformance.laws.bench import Bench, stacked
from assigncore.conformance.scenes.kinds import draw_scene

from .subjects import AVAILABLE, LEADERS, SUBJECTS, bench_of

WHY_NOT = {"cupy": "CuPy needs a CUDA device", "torch:cuda": "PyTorch on CUDA needs a CUDA device"}

SCENE = draw_scene("fpn-0-0")


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.has_values])
def test_a_library_that_can_run_is_under_the_laws(name):
    target = TARGETS[name]
    reason = target.unavailable()
    if reason:
        pytest.skip(WHY_NOT.get(name, reason))
    assert target in AVAILABLE or name == "array_api_strict:device1"
    bench = bench_of(SUBJECTS[0], target)
    got = bench.run(SCENE)
    bench.identical(got, bench.refer(SCENE), name)
    assert (got["gt_inds"] > 0).any()


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_pytorch_gets_of_numpy_what_it_would_compute(subject):
    tensors = {name: torch.tensor(x) for name, x in subject.arguments(SCENE).items()}
    assign = subject.recipe.call(subject.recipe.statics(SCENE))
    got = assign(**tensors)
    with without_numpy_fast_path():
        own = assign(**tensors)
    assert {name: x.dtype for name, x in got.items()} == {name: x.dtype for name, x in own.items()}
    got, own = ({name: x.numpy() for name, x in outputs.items()} for outputs in (got, own))
    bench_of(subject, get_target("torch")).same(got, own, "by NumPy")


@pytest.mark.parametrize("subject", LEADERS[:3], ids=str)
def test_jax_maps_over_images(subject):
    scenes = [draw_scene(f"fpn-0-{number}") for number in range(3)]
    assign = subject.recipe.call(subject.recipe.statics(SCENE))
    images = stacked([subject.arguments(scene) for scene in scenes], (3,))
    mapped = jax.jit(jax.vmap(lambda arrays: assign(**arrays)))(images)
    bench = bench_of(subject, get_target("jax"))
    for row, scene in enumerate(scenes):
        own = {name: np.asarray(x[row]) for name, x in mapped.items()}
        bench.same(own, bench.run(scene), f"image {row} of a map")


@pytest.mark.parametrize("subject", LEADERS, ids=str)
def test_jax_decides_alike_where_it_optimises_as_for_users(subject, optimising_jax):
    bench = Bench(subject.recipe, subject.recipe, optimising_jax)
    for number in range(3):
        scene = draw_scene(f"fpn-0-{number}")
        bench.same(bench.run(scene), bench.refer(scene), scene.name)
    assert len(bench.traces) == 1


def test_pytorch_compiles_to_the_same_bits():
    [subject] = (one for one in SUBJECTS if one.name == "max_iou-half")
    bench = bench_of(subject, get_target("torch"))
    compiled = bench.target.compile(subject.recipe.call(subject.recipe.statics(SCENE)))
    for number in range(3):
        scene = draw_scene(f"ties-0-{number}")
        with bench.running():
            outputs = compiled(**bench.native(subject.recipe.arrays(scene)))
        bench.identical({name: x.numpy() for name, x in outputs.items()}, bench.refer(scene), scene.name)
