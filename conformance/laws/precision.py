"""Law 3: computed in the inputs' dtype, but never below float32; mixed precision changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assigncore.conformance.laws.bench import Bench, demand, whole
from assigncore.conformance.scenes.scene import Scene, native_arrays, round_to

__all__ = ["precision"]


def precision(bench: Bench, scenes: Sequence[Scene]) -> None:
    """Compute in the inputs' dtype, never below float32, also amid a trainer's mixed precision.

    Thresholds are compared in the array's dtype.
    """
    for scene in scenes:
        if scene.kind == "fpn":
            shares = _shares(scene)
            bench.same(
                bench.run(shares),
                bench.refer(shares),
                "overlaps that meet a threshold, against the reference",
            )
        for dtype in bench.target.dtypes:
            if dtype in bench.recipe.capabilities.dtypes:
                _computing_dtype(bench, scene, dtype)
        if bench.thorough:
            _mixed_dtypes(bench, scene)
    for half, context in bench.target.mixed_precisions().items():
        for scene in (scenes[0], _detailed(scenes[0])):
            expected = bench.run(scene)
            with context:
                got = bench.run(scene)
            bench.identical(got, expected, f"{scene.name} where {half} is the mixed precision")


def _shares(scene: Scene) -> Scene:
    """Let each ground truth be a prior, and others 1 / 2 and 7 / 10 of it: overlaps that are thresholds."""
    rows = np.arange(scene.n_gts) * 6 + 18
    priors = scene.arrays["priors"].copy()
    for offset, share in ((1, 0.5), (2, 0.7), (3, 0.4)):
        priors[rows + offset] = priors[rows]
        priors[rows + offset, 3] -= (priors[rows, 3] - priors[rows, 1]) * (1 - share)
    return whole(scene).with_arrays(
        gt_bboxes=priors[rows], priors=priors, pred_bboxes=priors, approxs=priors[:, None]
    )


def _detailed(scene: Scene) -> Scene:
    """Let masks of many pixels decide: products of many numbers are what mixed precision is for."""
    rng, side = np.random.default_rng(0), 128
    return scene.with_arrays(
        pred_logits=np.zeros_like(scene.arrays["pred_logits"]),
        pred_masks=rng.normal(0, 2, (scene.n_priors, side, side)),
        gt_masks=rng.random((scene.n_gts, side, side)) < 0.5,
    )


def _computing_dtype(bench: Bench, scene: Scene, dtype: str) -> None:
    """Demand real outputs of the computing dtype, and of halves those of the same numbers in float32."""
    computing = "float64" if dtype == "float64" else "float32"
    outputs = bench.run(scene, dtype)
    for name, x in outputs.items():
        fits = x.dtype.kind != "f" or x.dtype.name == computing
        demand(fits, f"{name} of {dtype} inputs is {x.dtype}, expected {computing}")
    if dtype == "float64":
        bench.same(outputs, bench.refer(scene, dtype), f"{scene.name} in float64, against the reference")
    elif dtype != "float32":
        rounded = {name: round_to(x, dtype) for name, x in bench.recipe.arrays(scene).items()}
        raised = bench.call(rounded, bench.recipe.statics(scene))
        bench.same(outputs, raised, f"{dtype} inputs, against the same numbers in float32")


def _mixed_dtypes(bench: Bench, scene: Scene) -> None:
    """Demand that one input of a wider dtype raises all, and is not rounded to theirs."""
    arrays, statics = bench.recipe.arrays(scene), bench.recipe.statics(scene)
    wide = next(name for name in ("gt_bboxes", bench.recipe.first) if name in arrays)
    for narrow, dtype in (("float16", "float32"), ("float32", "float64")):
        if not {narrow, dtype} <= {*bench.target.dtypes} & {*bench.recipe.capabilities.dtypes}:
            continue
        with bench.running(dtype):
            mixed = bench.native(arrays, narrow)
            mixed[wide] = native_arrays(bench.target, {wide: arrays[wide]}, dtype)[wide]
        given = {
            name: round_to(x, dtype if name == wide else narrow).astype(
                dtype if x.dtype.kind == "f" else x.dtype
            )
            for name, x in arrays.items()
        }
        what = f"{scene.name} in {narrow}, but {wide} in {dtype}"
        bench.same(bench.call_native(mixed, statics, dtype), bench.call(given, statics, dtype), what)
