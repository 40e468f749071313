"""How many graphs PyTorch's compiler needs where the number of ground truths or of priors varies (law 9)."""

import numpy as np
import pytest
import torch

from assigncore.backend.fast_path import without_numpy_fast_path
from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.laws.bench import stacked
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.scene import ROWS, Level, scene_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:Dynamo detected a call:UserWarning", "ignore:.*torch.jit.script_method:DeprecationWarning"
)


class Counted:
    """A compiled function, and how many graphs it took."""

    def __init__(self, function, dynamic=None):
        self.graphs = 0
        torch.compiler.reset()
        self.function = torch.compile(function, fullgraph=True, backend=self._run, dynamic=dynamic)

    def _run(self, graph, _):
        self.graphs += 1
        return graph.forward

    def __call__(self, *arguments, **arrays):
        return self.function(*arguments, **arrays)


def tensors(arrays, dtype=torch.float32):
    return {name: torch.from_numpy(x).to(dtype) if x.dtype.kind == "f" else torch.from_numpy(x)
            for name, x in arrays.items()}  # fmt: skip


def check(got, due):
    assert got.keys() == due.keys()
    for name, x in due.items():
        torch.testing.assert_close(got[name], x, rtol=0, atol=0, equal_nan=True)


def counts(name, numbers, dynamic=None, told=(), halves=False):
    """Assign with the first ground truths of a scene, and count the graphs that each number of them took.

    Of the numbers `told`, the compiler is told that they vary. With `halves`, the scene is a batch of two images
    in half precision.
    """
    recipe, scene = recipe_of(name), draw_scene("fpn-0-0")
    assign, given = recipe.call(recipe.statics(scene)), recipe.arrays(scene)
    axis = 0
    if halves:
        given, axis = stacked([given, recipe.arrays(draw_scene("fpn-0-1"))], (2,)), 1
    arrays = tensors(given, torch.float16 if halves else torch.float32)
    compiled, graphs = Counted(assign, dynamic), {}
    for number in numbers:
        of_gts = {key: x.narrow(axis, 0, number).clone() for key, x in arrays.items() if ROWS.get(key) == "G"}
        some = {**arrays, **of_gts}
        before = compiled.graphs
        with without_numpy_fast_path():
            due = assign(**some)
        for x in of_gts.values() if number in told else ():
            torch._dynamo.mark_dynamic(x, axis)
        check(compiled(**some), due)
        graphs[number] = compiled.graphs - before
        if number == max(numbers):
            assert (due["gt_inds"] > 0).any()
    return graphs


@pytest.mark.parametrize("name", CAPABILITIES)
def test_one_graph_serves_all_numbers_of_ground_truths_and_one_more_each_none_and_one(name):
    """Told that the number varies, which else a compiler finds out by a graph that serves the first number alone.

    In half precision, since trainers compile for it; what is computed is promoted, so that of float32 the graph is
    the same but for that. Whether the eager answers are right, the conformance suite tells.
    """
    graphs = counts(name, (3, 5, 7, 1, 0, 2), told=(3,), halves=True)
    assert graphs[3] == 1
    assert graphs[5] + graphs[7] + graphs[2] == 0
    assert graphs[0] <= 1
    assert graphs[1] <= 1


@pytest.mark.parametrize("name", ["TaskAlignedAssigner", "HungarianAssigner"])
def test_a_compiler_that_is_not_told_takes_two(name):
    graphs = counts(name, (3, 5, 7, 2))
    assert sum(graphs.values()) <= 2


@pytest.mark.parametrize(
    "name", ["MaxIoUAssigner", "TaskAlignedAssigner", "HungarianAssigner", "RegionAssigner"]
)
def test_a_compiler_that_is_told_that_lengths_vary(name):
    graphs = counts(name, (3, 5, 2), dynamic=True)
    assert sum(graphs.values()) <= 2


def test_more_numbers_than_a_compiler_would_compile_for_one_by_one():
    assert sum(counts("MaxIoUAssigner", (3, 5, 7, 4, 2, 6, 8)).values()) <= 2


@pytest.mark.parametrize("name", ["MaxIoUAssigner", "TaskAlignedAssigner", "SimOTAAssigner"])
def test_images_of_several_sizes(name):
    recipe, boxes = recipe_of(name), np.array([[8.0, 8, 30, 40], [20, 10, 60, 50], [5, 5, 12, 14]])
    compiled, per_size = None, []
    for side in (8, 10, 12, 14):
        levels = (Level(side, side, 8), Level(side // 2, side // 2, 16), Level(side // 4, side // 4, 32))
        scene = scene_of("sizes", "fpn", boxes, np.random.default_rng(0), levels=levels)
        arrays, assign = tensors(recipe.arrays(scene)), recipe.call(recipe.statics(scene))
        compiled = compiled or Counted(assign)
        with without_numpy_fast_path():
            due = assign(**arrays)
        check(compiled(**arrays), due)
        per_size.append(compiled.graphs)
    assert per_size[-1] <= 2
