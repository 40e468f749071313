"""Assignment by entropic optimal transport of ground truths' units to priors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from assigncore.backend import Array, ArrayBackend
from assigncore.backend.fast_path import numpy_fast_path
from assigncore.boxes.calculators import BboxOverlaps2D, columns_in_plane, measure_of
from assigncore.boxes.formulas import box_centers, drop_nonfinite, inside, near
from assigncore.checks import check_knob, check_positive
from assigncore.inputs import InputSpec, Scene, read_scene
from assigncore.inspect.trace import condition, contest, costs, is_recording
from assigncore.matching.sinkhorn import TransportPlan, transport
from assigncore.numerics import at_least, log, rounded_product
from assigncore.pairs.tiles import Tile, TileView, dense_tiles
from assigncore.registry import ASSIGNERS, Configured
from assigncore.result import AssignResult
from assigncore.steps.candidates import Candidates
from assigncore.steps.dynamic_k import dynamic_count
from assigncore.steps.min_positives import add_positives, free_priors
from assigncore.steps.scores import check_classes, class_columns, focal_costs_of_scores, known_labels

__all__ = ["SinkhornAssigner"]

OUTSIDE = 1e6
"""What a pair costs more where the point is not near the centre, as published."""

INSIDE = 0.01
"""How far inside a ground truth a point must be, in pixels."""

FORBIDDEN = float("inf")


@dataclass(frozen=True, eq=False)
class TransportCosts:
    """What is known of the pairs of a tile before their transport.

    Attributes
    ----------
    of_pairs : array (b, g, n)
        What it costs a prior to get its unit from a ground truth; `FORBIDDEN` where it may not.
    of_background : array (b, 1, n)
        What it costs to get it from the background.
    overlaps : array (b, g, n)
        Of the ground truths with the predictions.
    eligible : array (b or 1, n) of bool
        Which priors may get it from a ground truth.
    pairs, is_near : array (b, g, n) of bool
        Which pairs may be, and which of these are near a centre.
    terms : mapping of str to array (b, g, n)
        What the costs are added up of, by name, where somebody asks why.
    """

    of_pairs: Array
    of_background: Array
    overlaps: Array
    eligible: Array
    pairs: Array
    is_near: Array
    terms: Mapping[str, Array]


@ASSIGNERS.register
@dataclass(frozen=True)
class SinkhornAssigner(Configured):
    """Decide by optimal transport: ground truths supply units of training, each prior receives one.

    A ground truth supplies as many units as its best overlaps add up to, the background the rest. A unit
    costs the focal loss plus the overlap's loss that the prior would have, and much more away from the
    ground truth's centre. Each prior learns from the source that sends it most, relative to the most that
    this source sends to any.

    Parameters
    ----------
    center_radius : float, default 2.5
        How far from a centre is near, along each axis, in strides of the prior.
    candidate_topk : int, default 20
        Overlaps that are added up to the supply of a ground truth.
    iou_weight : float, default 1.5
        Weight of the overlap's cost.
    alpha : float, default 0.25
        Weight of what is true against what is false in the focal loss, from 0 to 1.
    gamma : float, default 2.0
        Exponent that plays down what is predicted well in the focal loss, at least 0.
    eps : float, default 0.1
        How much the entropy of the plan counts, positive: the smaller, the nearer to the cheapest plan.
    num_iters : int, default 50
        Rounds of scaling at most, at least 1.
    tol : float, default 0.0
        An image is done when what arrives at each prior differs at most this much from 1.
    iou_calculator : callable or config mapping, optional
        Computes the overlaps; default :class:`assigncore.BboxOverlaps2D`.
    min_positives : int, default 0
        Positives that each ground truth has at least, where it can: one that has fewer by the method gets the
        free priors that cost it least. Ours, in no paper: see
        :func:`assigncore.steps.min_positives.add_positives`.

    Raises
    ------
    TypeError, ValueError
        If a knob is of a wrong type or out of range.

    References
    ----------
    Ge et al., "OTA: Optimal Transport Assignment for Object Detection", 2021. Cuturi, "Sinkhorn Distances:
    Lightspeed Computation of Optimal Transport", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) * 8 + 4
    >>> priors = np.concatenate([points, np.full((16, 2), 8)], axis=-1).astype(np.float32)
    >>> gt_bboxes = np.array([[0, 0, 17, 17]], dtype=np.float32)
    >>> pred_bboxes = np.concatenate([points - 8, points + 8], axis=-1).astype(np.float32)
    >>> result = SinkhornAssigner().assign(
    ...     priors,
    ...     gt_bboxes,
    ...     pred_bboxes=pred_bboxes,
    ...     pred_scores=np.full((16, 2), 0.5, dtype=np.float32),
    ...     gt_labels=np.array([1]),
    ... )
    >>> result.gt_inds.reshape(4, 4)
    array([[0, 0, 0, 0],
           [0, 1, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0]])
    >>> bool(result.extras["iterations"] <= 50), bool(result.extras["marginal_error"] < 1e-6)
    (True, True)
    """

    center_radius: float = 2.5
    candidate_topk: int = 20
    iou_weight: float = 1.5
    alpha: float = 0.25
    gamma: float = 2.0
    eps: float = 0.1
    num_iters: int = 50
    tol: float = 0.0
    iou_calculator: Callable[..., Any] | Mapping[str, Any] = field(default_factory=BboxOverlaps2D)
    min_positives: int = 0

    def _check_knobs(self) -> None:
        check_knob("center_radius", self.center_radius, at_least=0)
        check_knob("candidate_topk", self.candidate_topk, at_least=1, integer=True)
        check_knob("iou_weight", self.iou_weight, at_least=0)
        check_knob("alpha", self.alpha, at_least=0, at_most=1)
        check_knob("gamma", self.gamma, at_least=0)
        check_positive("eps", self.eps)
        check_knob("num_iters", self.num_iters, at_least=1, integer=True)
        check_knob("tol", self.tol, at_least=0)

    @numpy_fast_path
    def assign(
        self,
        priors: Array,
        gt_bboxes: Array,
        *,
        pred_bboxes: Array,
        pred_scores: Array,
        gt_labels: Array,
        gt_valid: Array | None = None,
        prior_valid: Array | None = None,
    ) -> AssignResult:
        """Assign priors to ground truths; leading dimensions are a batch and broadcast.

        Parameters
        ----------
        priors : array (..., N, 4)
            Points with their strides: x, y, stride_x, stride_y in pixels.
        gt_bboxes : array (..., G, 4)
            Boxes x1, y1, x2, y2 in pixels.
        pred_bboxes : array (..., N, 4)
            Boxes of the predictions in pixels.
        pred_scores : array (..., N, C)
            Class probabilities of the predictions.
        gt_labels : array (..., G) of integers
            Classes, from 0.
        gt_valid : array (..., G) of bool, optional
            False where a row is padding. Not given: all true.
        prior_valid : array (..., N) of bool, optional
            False where a prior takes no part: it is ignored. Not given: all true.

        Returns
        -------
        AssignResult
            `max_overlaps` is the overlap of a positive prior's prediction with its ground truth, 0 for every
            other prior. How the transport went is in the extras: ``iterations`` (...) of integers, 0 where
            there was nothing to carry; ``marginal_error`` (...), the largest difference from 1 of what
            arrives at a prior; ``supply`` (..., G), the units of each ground truth.

        Raises
        ------
        TypeError
            If an input is no array, of a wrong kind of dtype, or of another library than `priors`.
        ValueError
            If shapes do not fit, inputs are on different devices, or there are no classes.

        Notes
        -----
        A prior to which several sources send equally much goes to the first of them, the background coming
        last. A ground truth that no point is near to takes the cheapest priors anywhere, as published. Where
        the ground truths would supply more units than there are priors, all their supplies are scaled down.
        A prior or a prediction with a NaN or infinite number is background. Scores are not checked. A
        valid label that is no class is an error where the host can see it; elsewhere its ground truth takes
        no part.

        Exponentials differ in their last bits from library to library, and sums in their order, which padding
        changes too: where two sources send nearly as much, so may the answer. The plan of an image is held
        whole; eagerly, those of as many images at once as the memory budget allows.
        """
        form = columns_in_plane(self.iou_calculator)
        scene = read_scene(
            priors,
            gt_bboxes,
            gt_valid=gt_valid,
            prior_valid=prior_valid,
            columns=(4, form),
            further={
                "gt_labels": InputSpec(gt_labels, ("G",), "integral", required=True),
                "pred_bboxes": InputSpec(pred_bboxes, ("N", form), required=True),
                "pred_scores": InputSpec(pred_scores, ("N", "C"), required=True),
            },
        )
        n_classes = check_classes("pred_scores", pred_scores)
        if scene.is_empty:
            return _nothing_carried(scene)
        xp = scene.xp
        entries = max(scene.shape[2] + 1, n_classes)
        parts = [self._in_images(scene, tile) for tile in _tiles(scene, entries)]
        gt_inds, overlaps, iterations, error, supply = (
            xp.concat(list(part), axis=0) if len(part) > 1 else part[0] for part in zip(*parts, strict=True)
        )
        extras = {"iterations": iterations, "marginal_error": error, "supply": supply}
        return scene.result(gt_inds, overlaps, extras)

    def _in_images(self, scene: Scene, tile: Tile) -> tuple[Array, ...]:
        """Assign the priors of some images."""
        xp, backend, n_gts = scene.xp, scene.backend, scene.shape[2]
        view = TileView(backend, tile, scene.gt_bboxes)
        cost = self._costs(scene, view)
        demand = xp.astype(view.of_priors(scene.prior_valid), cost.of_pairs.dtype)
        demand = xp.broadcast_to(demand, (int(cost.of_pairs.shape[0]), scene.shape[1]))
        supply, rest = self._supplies(backend, cost, units=xp.sum(demand, axis=-1))
        ship = partial(
            transport,
            backend,
            supply=xp.concat([supply, rest], axis=1),
            demand=demand,
            eps=self.eps,
            num_iters=self.num_iters,
            tol=self.tol,
        )
        of_all = xp.concat([cost.of_pairs, cost.of_background], axis=1)
        plan = ship(of_all)
        share = log_shares(xp, plan)
        best, source = backend.max_and_argmax(share, axis=1)
        positive = (source < n_gts) & (best > -FORBIDDEN)
        if is_recording():
            of_gts, of_rest = share[:, :n_gts, :], share[:, n_gts:, :]
            gets = (of_gts >= of_rest) & (of_gts > -FORBIDDEN)
            condition("log share of the plan at least the background's", gets, value=of_gts, limit=of_rest)
            contest("the largest log share of the plan", by=of_gts)
            costs(cost.terms, partial(_forced, backend, of_all, ship))
        at = xp.where(positive, source, 0)
        own = xp.take_along_axis(cost.overlaps, at[:, None, :], axis=1)[:, 0, :]
        own = xp.where(positive & (demand > 0), own, 0.0)
        gt_inds = xp.astype(xp.where(positive, source + 1, 0), backend.integer_dtype(own))
        free = free_priors(cost.eligible, gt_inds)

        def cheapest(k: int) -> Candidates:
            value, index = backend.k_smallest(xp.where(free[:, None, :], cost.of_pairs, FORBIDDEN), k)
            return Candidates(index, value)

        gt_valid = view.of_gts(scene.gt_valid)
        added = add_positives(backend, gt_inds, gt_valid, self.min_positives, cheapest, what="the least cost")
        if added is not None:
            of_added = xp.take_along_axis(cost.overlaps, added.index, axis=-1)
            gt_inds, own = added.overwrite(gt_inds), added.write(of_added, own)
        return gt_inds, own, plan.iterations, plan.marginal_error, supply

    def _costs(self, scene: Scene, view: TileView) -> TransportCosts:
        """Return what it costs each prior to get its unit, from a ground truth or the background."""
        xp = scene.xp
        gt_bboxes = view.of_gts(scene.gt_bboxes)
        boxes, finite = drop_nonfinite(view.of_priors(scene.further["pred_bboxes"]))
        scores, sound = class_columns(view.of_priors(scene.further["pred_scores"]))
        eligible = finite & sound & view.of_priors(scene.prior_eligible)
        pairs = eligible[:, None, :] & view.of_gts(scene.gt_valid)[..., None]
        is_near = self._near_center(view.of_priors(scene.priors), gt_bboxes) & pairs
        overlaps = measure_of(self.iou_calculator, "iou")(gt_bboxes, boxes)
        of_class, of_background = focal_costs_of_scores(
            scores, view.of_gts(known_labels(scene)), alpha=float(self.alpha), gamma=float(self.gamma)
        )
        least = float(xp.finfo(xp.float32).eps)
        of_overlap = rounded_product(-log(at_least(overlaps, least)), float(self.iou_weight))
        cost = of_class + of_overlap
        # Where no point is near, the constant would be common to all pairs, and cost nothing but precision.
        far = ~is_near & xp.any(is_near, axis=-1, keepdims=True)
        cost = xp.where(far, cost + OUTSIDE, cost)
        of_background = xp.broadcast_to(of_background[:, None, :], (*cost.shape[:1], 1, cost.shape[2]))
        terms = {}
        if is_recording():
            terms = {"class": of_class, "overlap": of_overlap, "away from the centre": far * OUTSIDE}
        return TransportCosts(
            of_pairs=xp.where(pairs, cost, FORBIDDEN),
            of_background=of_background,
            overlaps=overlaps,
            eligible=eligible,
            pairs=pairs,
            is_near=is_near,
            terms=terms,
        )

    def _supplies(self, backend: ArrayBackend, cost: TransportCosts, units: Array) -> tuple[Array, Array]:
        """Return the units of each ground truth (b, g), and of the background what is left of all (b, 1).

        A ground truth has its largest overlaps added up, truncated, and one unit at least; none where it may
        be paired with no prior.
        """
        xp = backend.xp
        overlaps = xp.where(cost.is_near & (cost.overlaps > 0), cost.overlaps, 0.0)
        k = min(self.candidate_topk, int(overlaps.shape[-1]))
        negated, _ = backend.k_smallest(-overlaps, k)
        supply = xp.where(xp.any(cost.pairs, axis=-1), dynamic_count(-negated), 0.0)
        total = xp.sum(supply, axis=-1)
        fits = xp.where(total > units, units / xp.where(total > 0, total, 1.0), 1.0)
        supply = supply * fits[:, None]
        return supply, at_least(units - xp.sum(supply, axis=-1), 0.0)[:, None]

    def _near_center(self, points: Array, gt_bboxes: Array) -> Array:
        """Tell which points are inside ground truths and near their centres, (b, g, n)."""
        points, gt_bboxes = points[:, None, ...], gt_bboxes[:, :, None, ...]
        reach = rounded_product(points[..., 2:], float(self.center_radius))
        is_near = near(points, box_centers(gt_bboxes), reach)
        return inside(points, gt_bboxes, margin=INSIDE) & is_near


def log_shares(xp: Any, plan: TransportPlan) -> Array:
    """Return how much each source sends to priors, as the log of a share of its most, (b, g + 1, n)."""
    most = xp.max(plan.log_mass, axis=-1, keepdims=True)
    sends = most > -FORBIDDEN
    return xp.where(sends, plan.log_mass - xp.where(sends, most, 0.0), -FORBIDDEN)


def _forced(
    backend: ArrayBackend, cost: Array, ship: Callable[[Array], TransportPlan], gt: int, prior: int
) -> Array:
    """Return by how much the plan's cost (1,) rises where a prior can get its unit from one source alone."""
    xp, device = backend.xp, backend.device_of(cost)
    source, sink = (xp.arange(int(n), device=device) for n in cost.shape[1:])
    others = (source != gt)[None, :, None] & (sink == prior)[None, None, :]

    def total(plan: TransportPlan) -> Array:
        mass = xp.exp(plan.log_mass)
        return xp.sum(xp.sum(xp.where(mass > 0, mass * cost, 0.0), axis=-1), axis=-1)

    rise = total(ship(xp.where(others, FORBIDDEN, cost))) - total(ship(cost))
    return xp.where(cost[:, gt, prior] < FORBIDDEN, rise, FORBIDDEN)


def _tiles(scene: Scene, entries: int) -> list[Tile]:
    """Cut the batch into as many images as the memory budget allows at once, one at least."""
    backend, (images, n_priors, _) = scene.backend, scene.shape
    if backend.is_traced(scene.gt_bboxes):
        return [Tile(0, images, 0, n_priors)]
    most = max(backend.most_pairs(scene.priors), entries * n_priors)
    return dense_tiles(images, n_priors, entries, most)


def _nothing_carried(scene: Scene) -> AssignResult:
    """Return the result where there is no pair at all."""
    xp, (images, _, n_gts) = scene.xp, scene.shape
    device = scene.backend.device_of(scene.priors)
    dtype, integers = scene.priors.dtype, scene.backend.integer_dtype(scene.priors)
    extras = {
        "iterations": xp.zeros((images,), dtype=integers, device=device),
        "marginal_error": xp.zeros((images,), dtype=dtype, device=device),
        "supply": xp.zeros((images, n_gts), dtype=dtype, device=device),
    }
    return scene.result(scene.full(0, integers=True), scene.full(0.0), extras)
