"""The matchings of DETR and its successors, by their published formulas, a pair at a time, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from assigncore.conformance.goldens.set_cases import SetCase, problems

__all__ = ["set_costs", "set_matching"]

AnyArray = NDArray[Any]


def set_costs(read: SetCase) -> list[AnyArray]:
    """Return the cost (N, G) of each problem of a case, in the order of the files, NaN if it has none."""
    return [_cost(read, layer, image, group) for layer, image, group in problems(read)]


def set_matching(read: SetCase) -> AnyArray:
    """Return the codes (L, B, N) of the least total cost, where what costs nothing finite is never matched.

    As many pairs as possible are matched.
    """
    codes = np.zeros(read.logits.shape[:3], dtype=np.int64)
    for (layer, image, group), cost in zip(problems(read), set_costs(read), strict=True):
        finite = np.isfinite(cost)
        # Beyond what any two matchings can differ by.
        beyond = 1 + 4 * len(cost) * float(np.abs(cost[finite]).max(initial=0.0))
        rows, columns = linear_sum_assignment(np.where(finite, cost, beyond))
        kept = finite[rows, columns]
        codes[layer, image, group][rows[kept]] = columns[kept] + 1
    return codes


def _cost(read: SetCase, layer: int, image: int, group: slice) -> AnyArray:
    own = read.images[image]
    logits = read.logits[layer, image, group].astype(np.float64)
    boxes = None if read.boxes is None else read.boxes[layer, image, group].astype(np.float64)
    masks = None if read.masks is None else read.masks[layer, image, group].astype(np.float64)
    cost = np.full((len(logits), len(own["labels"])), np.nan)
    with np.errstate(all="ignore"):
        for n, g in np.ndindex(cost.shape):
            terms = {"class": _class(read, logits[n], own, g)}
            if boxes is not None:
                mine, theirs = boxes[n], own["boxes"][g].astype(np.float64)
                terms |= {"l1": float(np.abs(mine - theirs).sum()), "giou": -_giou(mine, theirs)}
            if masks is not None:
                terms |= _masks(read, masks[n], own, g)
            cost[n, g] = sum(
                weight * terms[name] for name, weight in read.weights.items() if weight and name in terms
            )
    return cost


def _class(read: SetCase, logits: AnyArray, own: Mapping[str, AnyArray], g: int) -> float:
    if read.of_class == "softmax":
        e = np.exp(logits - logits.max())
        return float(-e[own["labels"][g]] / e.sum())
    alpha, gamma = read.focal["alpha"], read.focal["gamma"]
    p = 1 / (1 + np.exp(-logits))
    true = alpha * (1 - p) ** gamma * -np.log(p + 1e-8)
    false = (1 - alpha) * p**gamma * -np.log(1 - p + 1e-8)
    if read.of_class == "focal":
        return float((true - false)[own["labels"][g]])
    row = own["maps"][g].astype(np.float64)
    return float(np.sum(row / row.sum() * (true - false)))


def _giou(a: AnyArray, b: AnyArray) -> float:
    low_a, high_a, low_b, high_b = (x[:2] + sign * x[2:] / 2 for x in (a, b) for sign in (-1, 1))
    shared = float(np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0, None).prod())
    hull = float(np.clip(np.maximum(high_a, high_b) - np.minimum(low_a, low_b), 0, None).prod())
    # Without an area in either there is no overlap, and no hull around one and the same place.
    tiny = 1e-6 / 4096.0**2
    union = max(float((high_a - low_a).prod() + (high_b - low_b).prod()) - shared, tiny)
    hull = max(hull, tiny)
    return shared / union - (hull - union) / hull


def _masks(read: SetCase, logits: AnyArray, own: Mapping[str, AnyArray], g: int) -> dict[str, float]:
    target = own["masks"][g].astype(np.float64)
    if "points" not in own:
        height, width = logits.shape
        down = (np.arange(height, dtype=np.float32) * np.float32(len(target) / height)).astype(int)
        right = (np.arange(width, dtype=np.float32) * np.float32(target.shape[1] / width)).astype(int)
        x, t = logits.reshape(-1), target[down][:, right].reshape(-1)
    else:
        x = np.array([_linear(logits, point) for point in own["points"]])
        read_target = _linear if read.boxes is None else _nearest
        t = np.array([read_target(target, point) for point in own["points"]])
    if not len(x):
        return {}
    s = 1 / (1 + np.exp(-x))
    soft_true, soft_false = np.logaddexp(0, -x), np.logaddexp(0, x)
    if read.of_mask == "focal":
        soft_true, soft_false = 0.25 * (1 - s) ** 2 * soft_true, 0.75 * s**2 * soft_false
    mask = float(np.mean(t * soft_true + (1 - t) * soft_false))
    return {"mask": mask, "dice": float(1 - (2 * np.sum(s * t) + 1) / (s.sum() + t.sum() + 1))}


def _linear(mask: AnyArray, point: AnyArray) -> float:
    """Read between the centres of pixels; what lies outside is 0."""
    y, x = point[1] * len(mask) - 0.5, point[0] * mask.shape[1] - 0.5
    top, left = int(np.floor(y)), int(np.floor(x))
    total = 0.0
    for row, of_row in ((top, top + 1 - y), (top + 1, y - top)):
        for column, of_column in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < len(mask) and 0 <= column < mask.shape[1]:
                total += float(mask[row, column] * of_row * of_column)
    return total


def _nearest(mask: AnyArray, point: AnyArray) -> float:
    row, column = round(float(point[1] * len(mask) - 0.5)), round(float(point[0] * mask.shape[1] - 0.5))
    inside = 0 <= row < len(mask) and 0 <= column < mask.shape[1]
    return float(mask[row, column]) if inside else 0.0
