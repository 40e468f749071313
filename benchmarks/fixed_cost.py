"""What a call costs whatever its size: every assigner over 8 priors and 2 objects, and over 84 and 8.

Times are of one thread, each the least of many calls, which a busy machine disturbs least; the numbers of
Python's calls do not depend on the machine at all.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from assigncore import load_backend
from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.recipes import Recipe, recipe_of
from assigncore.conformance.scenes.scene import Level, Scene, round_to, scene_of

CALLS = 2000

FEW_CELLS = (Level(2, 2, 8), Level(1, 2, 16), Level(1, 2, 32))
FEW_OBJECTS = np.array([[2.0, 3.0, 15.0, 14.0], [4.0, 1.0, 20.0, 28.0]])


def scenes() -> list[Scene]:
    """Return the scenes of 8 and of 84 priors."""
    few = scene_of("few", "fpn", FEW_OBJECTS, np.random.default_rng(2026), levels=FEW_CELLS)
    return [few, draw_scene("fpn-2026-0")]


def call_of(recipe: Recipe, scene: Scene, backend: Any, *, every_argument: bool) -> Callable[[], Any]:
    """Return the call with what the assigner needs, and labels; or with masks and ignore regions too."""
    given = recipe.arrays(scene)
    names = given if every_argument else (*recipe.needed, "gt_labels")
    arrays = {name: backend.from_numpy(round_to(x, "float32")) for name, x in given.items() if name in names}
    return partial(recipe.assigner.assign, **arrays, **recipe.statics(scene))


def least(run: Callable[[], Any]) -> float:
    """Return the microseconds of the fastest of many calls."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) * 1e6


def python_calls(run: Callable[[], Any]) -> int:
    """Count the function calls of one call."""
    profile = cProfile.Profile()
    profile.runcall(run)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def main() -> None:
    """Print a row of a table for each assigner."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assigners", nargs="*", help="default: all")
    parser.add_argument("--backend", choices=("numpy", "torch"), default="numpy")
    parser.add_argument("--every-argument", action="store_true", help="masks and ignore regions too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    backend, sizes = load_backend(options.backend), scenes()
    heads = [f"{scene.n_priors} x {scene.n_gts}" for scene in sizes]
    print(f"| microseconds, {options.backend} | {' | '.join(heads)} | Python's calls |")
    print(f"| --- | {'---: | ' * len(sizes)}---: |")
    for name in options.assigners or CAPABILITIES:
        runs = [
            call_of(recipe_of(name), scene, backend, every_argument=options.every_argument) for scene in sizes
        ]
        for run in runs:
            run()
        cells = [f"{least(run):,.0f}" for run in runs]
        print(f"| {name} | {' | '.join(cells)} | {python_calls(runs[-1]):,} |", flush=True)


if __name__ == "__main__":
    main()
