"""Poses: how alike keypoints are, and which levels an object may be learned on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assigncore.backend import Array, get_backend
from assigncore.boxes.formulas import box_area, columns, drop_nonfinite
from assigncore.inputs import Scene
from assigncore.numerics import exp, quotient, rounded_product, running_sum, sqrt
from assigncore.pairs.listed import Pairs
from assigncore.pairs.relations import InsideOfSize, Relation
from assigncore.steps.alignment import Alignment
from assigncore.steps.candidates import gather_priors, k_best

__all__ = [
    "AREA_SHARE",
    "COCO_SIGMAS",
    "PoseAlignment",
    "Poses",
    "flat_keypoints",
    "keypoint_similarity",
    "level_gate",
    "read_poses",
]

AREA_SHARE = 0.53
"""What share of its box an object covers, as COCO's keypoint detectors assume."""

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""Tolerances of COCO's 17 keypoints of a person, from the nose to the ankles."""


def keypoint_similarity(gt: Array, pred: Array, area: Array, sigmas: Sequence[float]) -> Array:
    """Compute the object keypoint similarity (OKS) of keypoints that broadcast.

    Parameters
    ----------
    gt : array (..., 3 K)
        x, y and visibility of each keypoint in turn; 0 is one that does not count.
    pred : array (..., 2 K)
        x, y of each.
    area : array (...)
        Of the object, in square pixels.
    sigmas : sequence of float
        Tolerance of each keypoint, relative to the root of the area.

    Returns
    -------
    array (...)
        The mean over the keypoints that count of ``exp(-d**2 / (2 (2 sigma)**2 area))``; 0 where none does.
    """
    backend = get_backend(gt)
    xp = backend.xp
    total = count = xp.zeros_like(gt[..., 0])
    # Summed as they come: an array of all keypoints of all pairs would outgrow a tile.
    for k, sigma in enumerate(sigmas):
        dx, dy = pred[..., 2 * k] - gt[..., 3 * k], pred[..., 2 * k + 1] - gt[..., 3 * k + 1]
        squared = rounded_product(dx, dx) + rounded_product(dy, dy)
        scale = rounded_product(area, 8 * float(sigma) ** 2)
        counted = gt[..., 3 * k + 2] != 0
        near = exp(-quotient(squared, xp.where(scale > 0, scale, 1.0)))
        total = total + xp.where(counted, near, 0.0)
        count = count + xp.astype(counted, total.dtype)
    return quotient(total, xp.where(count > 0, count, 1.0))


def flat_keypoints(gt_keypoints: Array, pred_keypoints: Array) -> tuple[Array, Array, Array, Array]:
    """Bring keypoints to rows of numbers, without non-finite ones.

    Parameters
    ----------
    gt_keypoints, pred_keypoints : array (..., G, K, 3) and (..., N, K, 2)
        x, y and visibility, which is 0 or negative where a keypoint does not count, and x, y.

    Returns
    -------
    gt, gt_finite : array (..., G, 3 K) and (..., G) of bool
        Zeros and false where a keypoint that counts is not finite; what does not count is 0.
    pred, pred_finite : array (..., N, 2 K) and (..., N) of bool
        Zeros and false where one is not finite.
    """
    xp = get_backend(gt_keypoints).xp
    # Not `> 0`: a visibility that is NaN makes its pose non-finite.
    counts = ~(gt_keypoints[..., 2:] <= 0)
    gt_keypoints = xp.where(counts, gt_keypoints, 0.0)
    gt, gt_finite = drop_nonfinite(_joined(gt_keypoints))
    pred, pred_finite = drop_nonfinite(_joined(pred_keypoints))
    return gt, gt_finite, pred, pred_finite


def _joined(keypoints: Array) -> Array:
    shape = keypoints.shape
    return get_backend(keypoints).xp.reshape(keypoints, (*shape[:-2], int(shape[-2]) * int(shape[-1])))


@dataclass(frozen=True, eq=False)
class Poses:
    """The poses of ground truths and of predictions.

    Attributes
    ----------
    gt, pred : array (B, G, 3 K) and (B or 1, N, 2 K)
        x, y and visibility, and x, y, of each keypoint in turn; all that count are finite.
    area : array (B, G)
        Of the objects, in square pixels.
    sigmas : tuple of float
        Tolerance of each keypoint.
    """

    gt: Array
    pred: Array
    area: Array
    sigmas: tuple[float, ...]

    @property
    def visible(self) -> Array:
        """Which keypoints of the ground truths count, (B, G, K)."""
        xp = get_backend(self.gt).xp
        return xp.stack([x != 0 for x in columns(self.gt)[2::3]], axis=-1)

    def centers(self, otherwise: Array) -> Array:
        """Return the means of the visible keypoints (B, G, 2), or those given where there is none."""
        xp, visible = get_backend(self.gt).xp, self.visible
        count = running_sum(xp.astype(visible, self.gt.dtype))[..., None]
        seen = [xp.where(visible, xp.stack(columns(self.gt)[axis::3], axis=-1), 0.0) for axis in (0, 1)]
        mean = quotient(xp.stack([running_sum(x) for x in seen], axis=-1), xp.where(count > 0, count, 1.0))
        return xp.where(count > 0, mean, otherwise)

    def at(self, prior: Array) -> Poses:
        """Return the poses of some priors (B, E) in place of all."""
        return replace(self, pred=gather_priors(get_backend(self.pred), self.pred, prior))

    def similarities(self, pairs: Pairs) -> Array:
        """Return the object keypoint similarities of pairs, (b, g, n)."""
        gt, pred, area = pairs.of_gts(self.gt), pairs.of_priors(self.pred), pairs.of_gts(self.area)
        return keypoint_similarity(gt, pred, area, self.sigmas)

    def of_assigned(self, gt_inds: Array) -> Array:
        """Return the similarity of each prior's pose with that of its ground truth, 0 without one, (B, N)."""
        backend = get_backend(self.gt)
        own = backend.xp.where(gt_inds > 0, gt_inds - 1, 0)
        gt, area = backend.gather_rows(self.gt, own), backend.gather_rows(self.area[..., None], own)[..., 0]
        alike = keypoint_similarity(gt, self.pred, area, self.sigmas)
        return backend.xp.where(gt_inds > 0, alike, 0.0)


def read_poses(scene: Scene, sigmas: Sequence[float]) -> tuple[Scene, Poses, Array]:
    """Read the poses among the inputs of a scene; whoever has a non-finite one takes no part.

    Parameters
    ----------
    scene : Scene
        Its further inputs are `pred_keypoints` and `gt_keypoints`, and perhaps `gt_areas`.
    sigmas : sequence of float
        Tolerance of each keypoint.

    Returns
    -------
    scene : Scene
        Without the ground truths of a non-finite pose.
    poses : Poses
        Where no areas are given, an object covers `AREA_SHARE` of its box.
    finite : array (B or 1, N) of bool
        False where the pose of a prediction is not finite.
    """
    further = scene.further
    gt, gt_finite, pred, finite = flat_keypoints(further["gt_keypoints"], further["pred_keypoints"])
    area = further.get("gt_areas")
    if area is None:
        area = rounded_product(box_area(scene.gt_bboxes), AREA_SHARE)
    poses = Poses(gt, pred, area, tuple(map(float, sigmas)))
    return replace(scene, gt_valid=scene.gt_valid & gt_finite), poses, finite


def level_gate(place: Relation, scene: Scene, strides: Array, bounds: tuple[float, float]) -> InsideOfSize:
    """Restrict which priors are inside to those whose level is made for objects of the size.

    Parameters
    ----------
    place : Inside
        The prior's point lies in the ground truth.
    scene : Scene
        The inputs.
    strides : array (B or 1, N)
        Strides of the priors in pixels.
    bounds : (float, float)
        The least and the largest size of an object, the root of its box's area, in strides of a prior. The
        least does not hold on the level of the smallest stride, nor the largest on that of the largest.

    Returns
    -------
    InsideOfSize
        A ground truth left without a prior keeps those inside it.
    """
    xp = scene.xp
    low, high = (rounded_product(strides, float(bound)) for bound in bounds)
    valid = scene.prior_eligible
    smallest = xp.min(xp.where(valid, strides, float("inf")), axis=-1)[:, None]
    largest = xp.max(xp.where(valid, strides, 0.0), axis=-1)[:, None]
    gated = InsideOfSize(
        **vars(place),
        least=xp.where(strides <= smallest, 0.0, low),
        most=xp.where(strides >= largest, float("inf"), high),
        size=sqrt(box_area(scene.gt_bboxes)),
        anywhere=xp.zeros_like(scene.gt_valid),
    )
    found = k_best(gated, lambda pairs: 0.0 * pairs.of_gts(gated.size) + 0.0 * pairs.of_priors(strides), 1)
    return replace(gated, anywhere=~found.found[..., 0])


@dataclass(frozen=True, eq=False, kw_only=True)
class PoseAlignment(Alignment):
    """The metric of predictions that are compared by their keypoints, where a ground truth has some.

    Attributes
    ----------
    poses : Poses
        What is compared.
    gate : InsideOfSize, optional
        Where the centres of a ground truth's priors must lie, and on which levels.
    """

    poses: Poses
    gate: InsideOfSize | None = None

    def candidates(self, only_inside: bool) -> Relation:
        """Return what candidates fulfil."""
        if self.gate is not None and only_inside:
            return self.gate
        if only_inside:
            return super().candidates(only_inside)
        scene = self.scene
        return Relation(scene.backend, scene.gt_valid, self.eligible)

    def of_entries(self, prior: Array) -> PoseAlignment:
        """Return the places of some priors (B, E) in place of all."""
        some = super().of_entries(prior)
        gate = None if self.gate is None else self.gate.at(prior)
        return replace(some, poses=self.poses.at(prior), gate=gate)  # type: ignore[return-value, call-arg]

    def inside(self, pairs: Pairs) -> Array:
        """Tell of which pairs the prior's centre lies inside, on a level that fits."""
        return super().inside(pairs) if self.gate is None else self.gate.holds(pairs)

    def overlaps(self, pairs: Pairs) -> Array:
        """Return the similarities of the keypoints, or of boxes where a ground truth has no keypoint."""
        any_visible = pairs.of_gts(self.scene.xp.any(self.poses.visible, axis=-1))
        return self.scene.xp.where(any_visible, self.poses.similarities(pairs), super().overlaps(pairs))
