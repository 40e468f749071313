"""The laws about answers: codes, ties, precision, empty inputs, padding, batches, broken numbers."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from assigncore.conformance.capabilities import Ties
from assigncore.conformance.laws.bench import Bench, Broken, NotApplicable, demand, whole
from assigncore.conformance.scenes.kinds import draw_scene
from assigncore.conformance.scenes.padded import pad_scenes
from assigncore.conformance.scenes.recipes import recipe_of
from assigncore.conformance.scenes.scene import ROWS, Level, Scene, scene_of
from assigncore.conformance.targets.libraries import Mode

__all__ = ["batch", "broken_numbers", "codes", "empty", "padding", "precision", "ties"]


def _scenes(*names: str) -> list[Scene]:
    return [draw_scene(name) for name in names]


def codes(bench: Bench) -> None:
    """Give -1 for ignored, 0 for background, i + 1 for ground truth i, and the labels that belong to them."""
    capabilities = bench.recipe.capabilities
    for scene in _scenes("fpn-0-0", "ties-0-1", "crowd-0-2", "non_finite-0-3"):
        outputs = bench.run(scene)
        gt_inds = outputs["gt_inds"]
        most = scene.n_gts + (len(scene.arrays["ignore_bboxes"]) if "box_inds" in outputs else 0)
        demand(bool(np.all((gt_inds >= -1) & (gt_inds <= most))), f"{scene.name}: codes beyond -1 to {most}")
        if "labels" in outputs:
            own = scene.arrays["gt_labels"]
            known = (gt_inds > 0) & (gt_inds <= scene.n_gts)
            got = outputs["labels"]
            demand(bool(np.all(got[known] == own[gt_inds[known] - 1])), f"{scene.name}: wrong labels")
            elsewhere = np.isin(got[gt_inds <= 0], (-1, capabilities.no_label))
            demand(bool(np.all(elsewhere)), f"{scene.name}: a prior that is not positive has a label")
        with bench.target.running(x64=False), np.errstate(all="ignore"):
            native = bench.recipe.call(bench.recipe.statics(scene))(
                **bench.native(bench.recipe.arrays(scene))
            )
            dtype, due = native["gt_inds"].dtype, bench.target.backend.integer_dtype(native["gt_inds"])
        demand(dtype == due, f"gt_inds has dtype {dtype}, expected the library's default integer {due}")


def _doubled(scene: Scene, kind: str) -> Scene:
    """Give every prior a copy next to it within its level, or the ground truths copies behind all of them."""
    doubled = {}
    for name, x in scene.arrays.items():
        if ROWS.get(name) != kind:
            continue
        doubled[name] = np.repeat(x[::2], 2, axis=0) if kind == "N" else np.concatenate([x, x])
    return scene.with_arrays(**doubled)


def ties(bench: Bench) -> None:
    """Let the lowest index win wherever equal values compete, but where the method itself says otherwise."""
    capabilities = bench.recipe.capabilities
    for number in range(3):
        scene = whole(draw_scene(f"ties-0-{number}"))
        bench.same(bench.run(scene), bench.refer(scene), f"{scene.name}, against the reference")
        if capabilities.ties is Ties.FIRST and not capabilities.repeats:
            copies = bench.run(_doubled(scene, "G"))["gt_inds"]
            demand(
                not np.any(copies > scene.n_gts),
                f"{scene.name}: of two equal ground truths the later one got a prior",
            )
        if (
            capabilities.ties is not Ties.COST
            and not bench.recipe.by_map
            and "priors" in bench.recipe.parameters
        ):
            positive = bench.run(_doubled(scene, "N"))["gt_inds"] > 0
            later = positive[..., 1::2] & ~positive[..., ::2]
            demand(not np.any(later), f"{scene.name}: of two equal priors the later one was taken")


def _shares(scene: Scene) -> Scene:
    """Let each ground truth be a prior, and others 1 / 2 and 7 / 10 of it: overlaps that are thresholds."""
    rows = np.arange(scene.n_gts) * 6 + 18
    priors = scene.arrays["priors"].copy()
    for offset, share in ((1, 0.5), (2, 0.7), (3, 0.4)):
        priors[rows + offset] = priors[rows]
        priors[rows + offset, 3] -= (priors[rows, 3] - priors[rows, 1]) * (1 - share)
    boxes = priors[rows]
    return whole(scene).with_arrays(
        gt_bboxes=boxes, priors=priors, pred_bboxes=priors, approxs=priors[:, None]
    )


def _detailed(scene: Scene) -> Scene:
    """Let masks of many pixels decide: products of many numbers are what mixed precision is for."""
    rng, side = np.random.default_rng(0), 128
    return scene.with_arrays(
        pred_logits=np.zeros_like(scene.arrays["pred_logits"]),
        pred_masks=rng.normal(0, 2, (scene.n_priors, side, side)),
        gt_masks=rng.random((scene.n_gts, side, side)) < 0.5,
    )


def precision(bench: Bench) -> None:
    """Compute in the inputs' dtype, never below float32, also amid a trainer's mixed precision.

    Thresholds are compared in the array's dtype.
    """
    scene = _shares(draw_scene("fpn-0-1"))
    bench.same(bench.run(scene), bench.refer(scene), "overlaps that meet a threshold, against the reference")
    for dtype in bench.target.dtypes:
        if dtype not in bench.recipe.capabilities.dtypes:
            continue
        computing = "float64" if dtype == "float64" else "float32"
        outputs = bench.run(draw_scene("half-0-0"), dtype)
        for name, x in outputs.items():
            fits = x.dtype.kind != "f" or x.dtype.name == computing
            demand(fits, f"{name} of {dtype} inputs is {x.dtype}, expected {computing}")
        if dtype == "float16":
            raised = bench.run(draw_scene("half-0-0"))
            bench.same(outputs, raised, "float16 inputs, against the same numbers in float32")
    for half, context in bench.target.mixed_precisions().items():
        for scene in (draw_scene("fpn-0-0"), _detailed(draw_scene("crowd-0-0"))):
            expected = bench.run(scene)
            with context:
                got = bench.run(scene)
            for name, x in expected.items():
                alike = x.dtype == got[name].dtype and np.array_equal(
                    x, got[name], equal_nan=x.dtype.kind == "f"
                )
                demand(alike, f"{name} of {scene.name} is another where {half} is the mixed precision")


def empty(bench: Bench) -> None:
    """Answer where there is no prior, no ground truth, none that is valid, or fewer than are to be chosen."""
    allowed = (-1, 0) if bench.recipe.takes_regions else (0,)
    for scene in (*_scenes("empty-0-0"), draw_scene("fpn-0-0").with_arrays(gt_valid=np.zeros(8, dtype=bool))):
        got = bench.run(scene)["gt_inds"]
        valid = scene.arrays["prior_valid"]
        demand(
            bool(np.all(np.isin(got[..., valid], allowed))),
            f"{scene.name} without ground truths: not background",
        )
        demand(bool(np.all(got[..., ~valid] == -1)), f"{scene.name}: a prior that takes no part is not -1")
    nothing = draw_scene("fpn-0-0").with_arrays(prior_valid=np.zeros(84, dtype=bool))
    demand(bool(np.all(bench.run(nothing)["gt_inds"] == -1)), "no prior takes part: not all are -1")
    rng = np.random.default_rng(0)
    boxes = np.array([[0.0, 0, 20, 20], [5, 5, 30, 30]])
    if bench.recipe.by_map:
        small = scene_of(
            "few", "empty", boxes, rng, levels=(Level(1, 1, 8), Level(1, 1, 16), Level(1, 1, 32))
        )
        demand(bench.run(small)["gt_inds"].shape[-1] == 3, "one prior a level: expected three rows")
    else:
        small = scene_of("one prior", "empty", boxes, rng, levels=(Level(1, 1, 32),))
        demand(bench.run(small)["gt_inds"].shape[-1] == 1, "one prior: expected one row")
        none = scene_of("no prior", "empty", boxes, rng, levels=(Level(0, 0, 32),))
        demand(bench.run(none)["gt_inds"].shape[-1] == 0, "no prior: expected no row")


def padding(bench: Bench) -> None:
    """Let padding change nothing for the other rows, whatever it holds; a prior that is padding is -1."""
    for scene in _scenes("fpn-0-0", "ties-0-1", "crowd-0-2", "non_finite-0-3"):
        gt_inds = bench.run(scene)["gt_inds"]
        out = gt_inds[..., ~scene.arrays["prior_valid"]]
        demand(bool(np.all(out == -1)), f"{scene.name}: a prior that takes no part is not -1")
        padded = np.flatnonzero(~scene.arrays["gt_valid"]) + 1
        demand(not np.any(np.isin(gt_inds, padded)), f"{scene.name}: a padded ground truth got a prior")
    if Mode.BATCHED not in bench.recipe.capabilities.modes:
        raise NotApplicable("takes no batches")
    for names in (("fpn-1-0", "crowd-1-1"), ("ties-1-2", "real-1-3"), ("empty-1-4", "points-1-5")):
        scenes = _scenes(*names)
        joined = pad_scenes(bench.recipe, scenes)
        outputs = bench.call(joined.arrays, joined.statics)
        for image, scene in enumerate(scenes):
            bench.same(joined.outputs_of(outputs, image), bench.run(scene), f"{scene.name} with padding")


def batch(bench: Bench) -> None:
    """Give in a batch, row by row, what its images give alone; any leading dimensions are a batch."""
    if Mode.BATCHED not in bench.recipe.capabilities.modes:
        raise NotApplicable("takes no batches")
    scenes = _scenes("fpn-2-0", "ties-2-1", "crowd-2-2", "degenerate-2-3", "real-2-4", "half-2-5")
    alone = [bench.run(scene) for scene in scenes]
    images = [bench.recipe.arrays(scene) for scene in scenes]
    for lead in ((6,), (2, 3)):
        arrays = {
            name: np.stack([image[name] for image in images]).reshape(*lead, *images[0][name].shape)
            if name in ROWS
            else images[0][name]
            for name in images[0]
        }
        outputs = bench.call(arrays, bench.recipe.statics(scenes[0]))
        flat = {name: x.reshape(6, *x.shape[len(lead) :]) for name, x in outputs.items()}
        for image, scene in enumerate(scenes):
            bench.same(
                {name: x[image] for name, x in flat.items()}, alone[image], f"{scene.name} in a batch {lead}"
            )
    none = {name: x[:0] if name in ROWS else x for name, x in arrays.items()}
    shape = bench.call(none, bench.recipe.statics(scenes[0]))["gt_inds"].shape
    demand(shape[0] == 0, f"a batch of no images: got shape {shape}")


def broken_numbers(bench: Bench) -> None:
    """Let a box with a NaN or infinite coordinate match nothing, and name what costs are not finite."""
    for number, value in enumerate((np.nan, np.inf, -np.inf)):
        scene = whole(draw_scene(f"fpn-3-{number}"))
        boxes, predictions = scene.arrays["gt_bboxes"].copy(), scene.arrays["pred_bboxes"].copy()
        boxes[2, number] = value
        predictions[10:20, number] = value
        broken = scene.with_arrays(gt_bboxes=boxes)
        if "gt_bboxes" in bench.recipe.parameters:
            got = bench.run(broken)["gt_inds"]
            demand(not np.any(got == 3), f"a ground truth with {value} got a prior")
        if "pred_bboxes" in bench.recipe.parameters:
            both = {"pred_bboxes": predictions}
            if bench.recipe.capabilities.by_prior_too:
                both["priors"] = np.where(np.isfinite(predictions), scene.arrays["priors"], value)
            got = bench.run(scene.with_arrays(**both))["gt_inds"]
            demand(not np.any(got[..., 10:20] > 0), f"a prediction with {value} is positive")
    if "nonfinite" in {knob.name for knob in fields(bench.recipe.assigner)}:
        _named(bench)


def _named(bench: Bench) -> None:
    strict = recipe_of(replace(bench.recipe.assigner, nonfinite="raise"), bench.recipe.capabilities)
    scene = draw_scene("fpn-3-0")
    key = next(name for name in ("pred_logits", "pred_scores", "pred_masks") if name in strict.parameters)
    numbers = whole(scene).arrays[key].copy()
    numbers[7] = np.nan
    broken = whole(scene).with_arrays(**{key: numbers})
    try:
        bench.call(strict.arrays(broken), strict.statics(broken), recipe=strict)
    except ValueError as error:
        missing = [word for word in ("Cost", "7") if word not in str(error)]
        demand(not missing, f"a cost that is not finite: the message lacks {', '.join(missing)}: {error}")
    else:
        raise Broken("a cost that is not finite raises no error")
