"""The weighted sum of match costs, and its terms by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from assigncore.backend import Array
from assigncore.costs.base import MatchCost
from assigncore.costs.points import sample_masks
from assigncore.inputs import PREDICTIONS, MatchScene
from assigncore.pairs.tiles import Tile, cut_tiles
from assigncore.registry import build_cost

__all__ = ["box_columns_of", "build_costs", "build_match_cost", "cost_terms", "needed_inputs", "weighted_sum"]

SMALLEST_BLOCK = 2**17
"""Pairs, or pixels of predictions, that are worth the calls it takes to handle them, where memory allows."""

FEWEST_PRIORS = 32
"""Predictions of a block at least, where memory allows: products of matrices of fewer rows are slow."""

READ_ONCE = 4
"""How much more there may be of what is read once, such as logits, than of pairs, which take many steps."""


def build_costs(configs: Mapping[str, Any] | MatchCost | Sequence[Any]) -> tuple[MatchCost, ...]:
    """Build match costs from one config or several; costs that are built already pass through.

    Parameters
    ----------
    configs : match cost or config mapping, or a sequence of them
        ``type`` names the cost, every other item is one of its knobs.

    Returns
    -------
    tuple of match costs
        In the order given.

    Raises
    ------
    TypeError
        If one is neither a config mapping nor a match cost.
    ValueError
        If there is none, or one is unknown.

    Examples
    --------
    >>> build_costs({"type": "IoUCost", "weight": 2.0})
    (IoUCost(iou_mode='giou', weight=2.0),)
    """
    several = [configs] if isinstance(configs, Mapping | MatchCost) else configs
    if isinstance(several, str) or not isinstance(several, Iterable):
        raise TypeError(f"match_costs: expected a config mapping or several, got {type(configs).__name__}")
    alone = several is not configs
    costs = tuple(
        build_match_cost(config, "match_costs" if alone else f"match_costs[{place}]")
        for place, config in enumerate(several)
    )
    if not costs:
        raise ValueError("match_costs: expected at least one cost, got none")
    box_columns_of(costs)
    return costs


def box_columns_of(costs: Sequence[MatchCost], knob: str = "match_costs") -> int:
    """Return how many columns the boxes have that the costs of a `knob` read: 4 where none does.

    Raises
    ------
    ValueError
        If they do not agree.
    """
    read = {cost.columns: type(cost).__name__ for cost in costs if "pred_bboxes" in cost.needs}
    if len(read) > 1:
        told = " and ".join(f"{columns} ({name})" for columns, name in sorted(read.items()))
        raise ValueError(f"{knob}: expected costs of boxes of equally many columns, got {told}")
    return next(iter(read), 4)


def build_match_cost(config: Mapping[str, Any] | MatchCost, knob: str) -> MatchCost:
    """Build the match cost of an assigner's `knob`, by which errors are named.

    Raises
    ------
    TypeError, ValueError
        If it is no match cost, is unknown, or has a wrong knob itself.
    """
    cost = build_cost(config, knob)
    if not isinstance(cost, MatchCost):
        raise TypeError(f"{knob}: expected a match cost or its config, got {type(cost).__name__}")
    return cost


def needed_inputs(costs: Iterable[MatchCost]) -> dict[str, str]:
    """Return the inputs that costs read, each with the first cost that does.

    Parameters
    ----------
    costs : iterable of match costs
        One of weight 0 reads nothing.

    Returns
    -------
    dict of str to str
        The names of arrays, as in every signature, to the names of costs' classes.

    Examples
    --------
    >>> needed_inputs(build_costs({"type": "IoUCost"}))
    {'pred_bboxes': 'IoUCost', 'gt_bboxes': 'IoUCost'}
    """
    needed: dict[str, str] = {}
    for cost in costs:
        if cost.weight != 0:
            for name in cost.needs:
                needed.setdefault(name, type(cost).__name__)
    return needed


def weighted_sum(scene: MatchScene, costs: Sequence[MatchCost]) -> Array:
    """Add up the costs of all pairs, each times its weight, from the first to the last.

    Parameters
    ----------
    scene : MatchScene
        What is matched: B images, N predictions and G ground truths.
    costs : sequence of match costs
        The terms; one of weight 0 is not computed. Without any, every pair costs 0.

    Returns
    -------
    array (B, N, G)
        In the computing dtype, a block of predictions at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from assigncore.inputs import read_match_scene
    >>> costs = build_costs({"type": "IoUCost", "iou_mode": "iou", "weight": 2.0})
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    >>> scene = read_match_scene({"pred_bboxes": boxes, "gt_bboxes": boxes[:1]}, needed_inputs(costs))
    >>> weighted_sum(scene, costs)[0]
    array([[-2.],
           [-1.]])
    """
    weighed = [cost for cost in costs if cost.weight != 0]

    def add_up(arrays: Mapping[str, Array]) -> list[Array]:
        if not weighed:
            return []
        total = _weighted(scene, weighed[0], arrays)
        for cost in weighed[1:]:
            total = total + _weighted(scene, cost, arrays)
        return [total]

    (total,) = _in_blocks(scene, weighed, add_up) if weighed else [scene.full(scene.shape, 0.0)]
    return total


def cost_terms(scene: MatchScene, costs: Sequence[MatchCost]) -> dict[str, Array]:
    """Compute each cost of all pairs, times its weight, by the name of its class.

    Parameters
    ----------
    scene : MatchScene
        What is matched: B images, N predictions and G ground truths.
    costs : sequence of match costs
        The terms; one of weight 0 is computed too.

    Returns
    -------
    dict of str to array (B, N, G)
        In the order of `costs` and in the computing dtype; the second cost of a class is named
        ``"IoUCost 2"``, and so on. Empty arrays where there are no predictions or no ground truths.

    Raises
    ------
    KeyError
        If `scene` lacks what a cost reads; see `needed_inputs`.

    Notes
    -----
    Nothing is masked: padding has whatever cost its numbers give, and a pair whose cost cannot be told costs
    NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from assigncore.inputs import read_match_scene
    >>> costs = build_costs([{"type": "IoUCost", "iou_mode": "iou"}, {"type": "IoUCost", "weight": 2.0}])
    >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    >>> scene = read_match_scene({"pred_bboxes": boxes, "gt_bboxes": boxes[:1]}, needed_inputs(costs))
    >>> {name: term[0, :, 0].tolist() for name, term in cost_terms(scene, costs).items()}
    {'IoUCost': [-1.0, -0.5], 'IoUCost 2': [-2.0, -1.0]}
    """

    def each(arrays: Mapping[str, Array]) -> list[Array]:
        return [_weighted(scene, cost, arrays) for cost in costs]

    return dict(zip(_names(costs), _in_blocks(scene, costs, each), strict=True))


def _names(costs: Sequence[MatchCost]) -> list[str]:
    seen: Counter[str] = Counter()
    names = []
    for cost in costs:
        name = type(cost).__name__
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return names


def _weighted(scene: MatchScene, cost: MatchCost, arrays: Mapping[str, Array]) -> Array:
    term = cost.unweighted(scene, arrays)
    return term if cost.weight == 1 else term * float(cost.weight)


def _in_blocks(
    scene: MatchScene, costs: Sequence[MatchCost], compute: Callable[[Mapping[str, Array]], list[Array]]
) -> list[Array]:
    """Compute arrays (B, N, G) a block of predictions at a time."""
    xp = scene.xp
    if scene.is_empty:
        return [scene.full(scene.shape, 0.0) for _ in costs[:1]] * max(1, len(costs))
    needed = {name for cost in costs for name in cost.needs}
    arrays = {name: x for name, x in scene.arrays.items() if name in needed or name == "mask_points"}
    of_images = {name: x for cost in costs for name, x in cost.of_images(scene).items()}
    images: list[list[Array]] = []
    for _, tiles in groupby(_tiles(scene, arrays), key=lambda tile: tile.first_image):
        blocks: list[list[Array]] = []
        shared: Mapping[str, Array] | None = None
        for tile in tiles:
            shared = _of_images(scene, {**arrays, **of_images}, tile) if shared is None else shared
            shape = (tile.last_image - tile.first_image, tile.num_priors, scene.shape[2])
            with scene.backend.unwarned():
                own = _of_predictions(scene, arrays, tile)
                if any(cost.masks_are_logits for cost in costs):
                    # The exponentials are most of what masks cost beside their products: one for all costs.
                    own["mask_decay"] = xp.exp(-xp.abs(own["pred_masks"]))
                parts = compute({**shared, **own})
            blocks.append([xp.broadcast_to(part, shape) for part in parts])
        images.append([_joined(xp, list(parts), 1) for parts in zip(*blocks, strict=True)])
    return [_joined(xp, list(parts), 0) for parts in zip(*images, strict=True)]


def _joined(xp: Any, parts: list[Array], axis: int) -> Array:
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=axis)


def _tiles(scene: MatchScene, arrays: Mapping[str, Array]) -> list[Tile]:
    """Cut the predictions into blocks, all of them at once beneath a compiler."""
    images, n_priors, n_gts = scene.shape
    like = next(x for name, x in arrays.items() if name in PREDICTIONS)
    widths = [n_gts]
    for name, x in arrays.items():
        if name == "pred_masks":
            points = arrays.get("mask_points")
            widths.append(_length_of_row(x) if points is None else int(points.shape[1]))
        elif name in PREDICTIONS:
            widths.append(_length_of_row(x) // READ_ONCE)
    per_prior = max(widths)
    fewest = max(SMALLEST_BLOCK, FEWEST_PRIORS * per_prior)
    return cut_tiles(scene.backend, (like,), images, n_priors, per_prior, fewest=fewest)


def _length_of_row(x: Array) -> int:
    length = 1
    for side in x.shape[2:]:
        length *= int(side)
    return length


def _of_images(scene: MatchScene, arrays: Mapping[str, Array], tile: Tile) -> dict[str, Array]:
    """Cut to the images of a tile what does not depend on its predictions; masks become flat."""
    cut = {name: _cut_images(x, tile.images) for name, x in arrays.items() if name not in PREDICTIONS}
    if "gt_masks" in cut:
        cut["gt_masks"] = _flat_masks(scene, cut["gt_masks"], cut.get("mask_points"))
    return cut


def _of_predictions(scene: MatchScene, arrays: Mapping[str, Array], tile: Tile) -> dict[str, Array]:
    """Cut the predictions to a tile; masks become flat."""
    cut = {
        name: _cut_images(x, tile.images)[:, tile.priors, ...]
        for name, x in arrays.items()
        if name in PREDICTIONS
    }
    if "pred_masks" in cut:
        points = arrays.get("mask_points")
        points = None if points is None else _cut_images(points, tile.images)
        cut["pred_masks"] = _flat_masks(scene, cut["pred_masks"], points)
    return cut


def _cut_images(x: Array, images: slice) -> Array:
    return x if x.shape[0] == 1 else x[images, ...]


def _flat_masks(scene: MatchScene, masks: Array, points: Array | None) -> Array:
    if points is not None:
        return sample_masks(scene.backend, masks, points)
    xp = scene.xp
    flat = xp.reshape(masks, (*masks.shape[:2], _length_of_row(masks)))
    return xp.astype(flat, scene.dtype, copy=False)
