"""Assigning: batch by batch, on any backend, image by image out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from assigncore.audit.config import Plan
from assigncore.audit.dense import PredictingLayout
from assigncore.audit.errors import AuditError
from assigncore.audit.frames import Batch, Frame, make_batches
from assigncore.audit.inputs import (
    compared_boxes,
    compared_keypoints,
    compares_oriented,
    gather_inputs,
    ground_truth_boxes,
    places,
    predicts_own_priors,
    reads_predictions,
)
from assigncore.audit.layouts import GridLayout, Laid, Layout, ProposalLayout
from assigncore.audit.matched import matched_overlaps
from assigncore.audit.predictions import Predictor
from assigncore.audit.proposals import Proposals
from assigncore.audit.queries import Queries, QueryLayout
from assigncore.audit.reasons import Reason, explain_image, find_reasons
from assigncore.audit.results import Results
from assigncore.backend import Array, ArrayBackend
from assigncore.boxes.calculators import BboxOverlaps2D, RotatedIoU, box_columns
from assigncore.datasets import Annotations, Dataset
from assigncore.inputs import read_scene
from assigncore.inspect.explain import Explanation
from assigncore.priors import PointGenerator
from assigncore.steps.overlaps import k_largest_overlaps, overlaps_with_gts

# Libraries that compile every operation anew for each new shape; compiling the whole is much quicker there.
COMPILED = ("jax",)

DEFAULT_OVERLAPS = BboxOverlaps2D()

MOST_LACKING = 0.8
"""From which share of images with objects without positives on all are assigned with their steps recorded."""

BATCH_SIZE = 8
"""Images at a time by default: more share the reading of a grid, but no longer the caches."""


Decider: TypeAlias = Callable[..., tuple[Array, Array | None]]


@dataclass(frozen=True)
class Settings:
    """What does not depend on the assigner.

    Attributes
    ----------
    backend, device
        Where the assigning is done.
    batch_size : int
        Images at a time.
    proposals : Results or None
        Given proposals for second stages. None: simulated.
    predictions : Results or None
        Given detections for assigners that read predictions. None: simulated.
    seed : int
        Of what is simulated.
    reasons : bool
        Whether to find out why objects have no positives.
    """

    backend: ArrayBackend
    device: Any = None
    batch_size: int = BATCH_SIZE
    proposals: Results | None = None
    predictions: Results | None = None
    seed: int = 0
    reasons: bool = True


@dataclass(frozen=True)
class Assigned:
    """What an assigner decided for one image, in NumPy arrays.

    Attributes
    ----------
    frame : Frame
    objects : Annotations
        Ground truth i is ``objects[i]``.
    labels : array of int, shape (G,)
        Their class labels.
    gt_inds : array of int, shape (N,)
        -1 ignored, 0 background, i + 1 assigned to ground truth i.
    num_excluded : int
        Priors among the ignored that took no part, since they reach over the image's edge.
    priors : array, shape (N, K)
    level : array of int, shape (N,)
        Level of each prior.
    priors_by_level : array of int, shape (L,)
        Number of priors on each level.
    best_overlaps : array, shape (G,), or None
        Best IoU of each object with any prior that takes part, or with an approximation of one, or with what
        is predicted there, as the method compares. None: it does not look at shapes, or there are none.
    matched_overlaps : array, shape (G,), or None
        Mean IoU of each object with the predictions of its positives, NaN without any. None: there are no
        predictions.
    reasons : mapping of int to Reason
        Why objects, by index, have no positives.
    """

    frame: Frame
    objects: Annotations
    labels: Any
    gt_inds: Any
    num_excluded: int
    priors: Any
    level: Any
    priors_by_level: Any
    best_overlaps: Any
    matched_overlaps: Any = None
    reasons: Mapping[int, Reason] = field(default_factory=dict)


def make_layout(plan: Plan, dataset: Dataset, settings: Settings) -> Layout:
    """Choose where the priors of a plan come from, and what is predicted at them."""
    predictor = Predictor(dataset, settings.predictions, settings.seed)
    if isinstance(plan.priors, Queries):
        return QueryLayout(plan.priors, predictor)
    layout: Layout
    if isinstance(plan.priors, Proposals):
        layout = ProposalLayout(dataset, plan.priors, settings.proposals, settings.seed)
    else:
        layout = GridLayout(plan.priors, plan.settings.allowed_border, plan.approxs)
    if not spreads_predictions(plan, settings):
        return layout
    points, keypoints = isinstance(plan.priors, PointGenerator), compared_keypoints(plan)
    known = dataset.all_objects.keypoints
    if keypoints and known is not None and known.shape[1] != keypoints:
        raise AuditError(
            f"{plan.name}: sigmas: expected {known.shape[1]}, one for each keypoint of an object, "
            f"got {keypoints}"
        )
    return PredictingLayout(layout, predictor, points, compares_oriented(plan), keypoints)


def spreads_predictions(plan: Plan, settings: Settings) -> bool:
    """Tell whether every prior gets a prediction made from the detector's boxes."""
    if isinstance(plan.priors, Queries) or not reads_predictions(plan):
        return False
    return settings.predictions is not None or not predicts_own_priors(plan)


def assign_images(
    plan: Plan,
    dataset: Dataset,
    frames: Sequence[Frame],
    settings: Settings,
    deciders: dict[Any, Decider] | None = None,
) -> Iterator[Assigned]:
    """Run one assigner over images.

    Parameters
    ----------
    plan : Plan
        What assigns, over which priors.
    dataset : Dataset
    frames : sequence of Frame
        The images, at training size.
    settings : Settings
    deciders : dict, optional
        Functions that were compiled for other images of this plan, and where further ones are put.

    Yields
    ------
    Assigned
        One for each frame, but batch by batch: in the order of padded sizes, not of ``frames``.

    Raises
    ------
    AuditError
        If the assigner needs something that annotations do not give, or refuses what it is given.
    """
    layout = make_layout(plan, dataset, settings)
    deciders = {} if deciders is None else deciders
    images = lacking = 0
    for batch in make_batches(dataset, frames, settings.batch_size):
        laid = layout.lay(batch, settings.backend, settings.device)
        arrays, static = gather_inputs(plan, batch, laid, settings.backend, settings.device)
        gt_bboxes = settings.backend.from_numpy(ground_truth_boxes(plan, batch), settings.device)
        explain = partial(explain_image, plan, laid, batch, arrays, static, settings.backend)
        asked: Callable[[int, Sequence[int]], Mapping[int, Reason]] | None = None
        try:
            if settings.reasons and settings.backend.name == "numpy" and lacking > MOST_LACKING * images:
                # Nearly every image would be assigned once more to learn why.
                gt_inds, reasons = _assign_and_explain(explain, batch, laid)
                best = _best_overlaps(plan, settings.backend, laid.priors, gt_bboxes, arrays)
                asked = partial(_found_reasons, reasons)
            else:
                key = tuple(static.items())
                if key not in deciders:
                    deciders[key] = _decider(plan, static, settings.backend)
                gt_inds, best = deciders[key](laid.priors, gt_bboxes, arrays)
                asked = partial(_reasons_of, explain) if settings.reasons else None
        except (ValueError, TypeError) as error:
            raise AuditError(f"{plan.name}: {error}") from error
        for one in _split(batch, laid, gt_inds, best, settings.backend, asked):
            images, lacking = images + 1, lacking + bool(one.reasons)
            yield one


def _assign_and_explain(
    explain: Callable[[int], Explanation], batch: Batch, laid: Laid
) -> tuple[Any, list[Mapping[int, Reason]]]:
    """Assign the images of a batch one by one, and read at once why objects have no positives."""
    gt_inds, reasons = [], []
    for image, objects in enumerate(batch.objects):
        explained = explain(image)
        gt_inds.append(explained.result.gt_inds)
        without = _without_positives(gt_inds[-1][: laid.counts[image]], len(objects))
        reasons.append(find_reasons(explained, without))
    return np.stack(gt_inds), reasons


def _found_reasons(
    found: Sequence[Mapping[int, Reason]], image: int, _: Sequence[int]
) -> Mapping[int, Reason]:
    return found[image]


def _reasons_of(
    explain: Callable[[int, Sequence[int]], Explanation], image: int, without: Sequence[int]
) -> Mapping[int, Reason]:
    return find_reasons(explain(image, without), without)


def _without_positives(gt_inds: Any, n_objects: int) -> list[int]:
    """List the objects of an image that nothing was assigned to."""
    taken = gt_inds[np.flatnonzero(gt_inds > 0)] - 1
    without: list[int] = np.flatnonzero(np.bincount(taken, minlength=n_objects) == 0).tolist()
    return without


def find_best_overlaps(
    priors: Array, gt_bboxes: Array, flags: Mapping[str, Array], calculator: Any = DEFAULT_OVERLAPS
) -> Array:
    """Find each object's best IoU with any prior that takes part.

    Parameters
    ----------
    priors : array, shape (N, 4) or (B, N, 4)
        Priors, or what is predicted at them.
    gt_bboxes : array, shape (B, G, 4)
    flags : mapping
        ``gt_valid`` (B, G) and ``prior_valid`` (B, N), where there are any.
    calculator : OverlapCalculator, optional
        Of boxes of another form.

    Returns
    -------
    array, shape (B, G)
        0 where there is no prior, and in padding.
    """
    scene = read_scene(priors, gt_bboxes, **flags, columns=box_columns(calculator))
    if scene.is_empty:
        return scene.xp.zeros_like(gt_bboxes[..., 0])
    pairs = overlaps_with_gts(scene, calculator, scene.priors, scene.prior_eligible)
    return k_largest_overlaps(pairs, 1)[..., 0]


def spread_approxs(xp: Any, approxs: Array, flags: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Make of each prior's approximations (N, A, 4) priors of their own (N * A, 4), the flags with them."""
    count, each = approxs.shape[:2]
    spread = dict(flags)
    if "prior_valid" in flags:
        valid = xp.broadcast_to(flags["prior_valid"][..., None], (*flags["prior_valid"].shape, each))
        spread["prior_valid"] = xp.reshape(valid, (-1, count * each))
    return xp.reshape(approxs, (count * each, 4)), spread


def _decider(plan: Plan, static: Mapping[str, Any], backend: ArrayBackend) -> Decider:
    """Make the function that does all the computing for a batch: assign, and find the best overlaps."""

    def decide(priors: Array, gt_bboxes: Array, arrays: Mapping[str, Array]) -> tuple[Array, Array | None]:
        result = plan.assigner.assign(**places(plan, priors, gt_bboxes), **arrays, **static)
        return result.gt_inds, _best_overlaps(plan, backend, priors, gt_bboxes, arrays)

    return backend.compile(decide) if backend.name in COMPILED else decide


def _best_overlaps(
    plan: Plan, backend: ArrayBackend, priors: Array, gt_bboxes: Array, arrays: Mapping[str, Array]
) -> Array | None:
    """Find each object's best IoU with what the method compares; None where that has no shape."""
    compared = compared_boxes(plan)
    overlaps = RotatedIoU() if compares_oriented(plan) else DEFAULT_OVERLAPS
    flags = {name: arrays[name] for name in ("gt_valid", "prior_valid") if name in arrays}
    if compared is None:
        return None
    if compared == "predictions":
        priors = arrays["pred_bboxes"]
    elif "approxs" in arrays:
        priors, flags = spread_approxs(backend.xp, arrays["approxs"], flags)
    return find_best_overlaps(priors, gt_bboxes, flags, overlaps)


def _split(
    batch: Batch,
    laid: Laid,
    gt_inds: Array,
    best: Array | None,
    backend: ArrayBackend,
    asked: Callable[[int, Sequence[int]], Mapping[int, Reason]] | None,
) -> Iterator[Assigned]:
    """Take a batch's result apart into images, padding left behind."""
    gt_inds = backend.to_numpy(gt_inds)
    overlaps = None if best is None else backend.to_numpy(best)
    taking_part = None if laid.valid is None else np.sum(backend.to_numpy(laid.valid), axis=-1)
    for i, (frame, objects) in enumerate(zip(batch.frames, batch.objects, strict=True)):
        n = laid.counts[i]
        priors = laid.host_priors[i, :n] if laid.host_priors.ndim == 3 else laid.host_priors
        level = laid.level[i, :n] if laid.level.ndim == 2 else laid.level
        excluded = 0 if taking_part is None else n - int(taking_part[i])
        found = None if overlaps is None else overlaps[i, : len(objects)]
        matched = None
        if laid.predicted is not None:
            is_oriented = laid.predicted.oriented is not None
            predicted = laid.predicted.oriented if is_oriented else laid.predicted.boxes
            gt_bboxes = frame.oriented(objects) if is_oriented else batch.gt_bboxes[i, : len(objects)]
            matched = matched_overlaps(gt_inds[i, :n], predicted[i, :n], gt_bboxes)
        without = _without_positives(gt_inds[i, :n], len(objects))
        yield Assigned(
            frame,
            objects,
            batch.gt_labels[i, : len(objects)],
            gt_inds[i, :n],
            excluded,
            priors,
            level,
            laid.by_level[i],
            found,
            matched,
            asked(i, without) if asked and without else {},
        )
