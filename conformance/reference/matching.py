"""Matchings, by the costs' own definitions.

mmdet 3.3.0 and 2.28.2 fail on masks in float64, and where a caption's map is one. These are the costs' own
definitions, dense, in plain NumPy, a pair at a time, with nothing of the core in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.reference.image import iou

__all__ = ["hungarian_answer", "mask_hungarian_answer", "pair_cost", "topk_matched"]

AnyArray = NDArray[Any]
Pair = Callable[[int, int], float]


def _focal(x: AnyArray, true: AnyArray, knobs: Mapping[str, Any]) -> float:
    alpha, gamma, eps = knobs.get("alpha", 0.25), knobs.get("gamma", 2), knobs.get("eps", 1e-12)
    p = 1 / (1 + np.exp(-x))
    positive = -np.log(p + eps) * alpha * (1 - p) ** gamma
    negative = -np.log(1 - p + eps) * (1 - alpha) * p**gamma
    return float(np.sum(positive * true + negative * (1 - true)))


def _dice(x: AnyArray, true: AnyArray, knobs: Mapping[str, Any]) -> float:
    if knobs.get("pred_act", False):
        x = 1 / (1 + np.exp(-x))
    power = 1 if knobs.get("naive_dice", True) else 2
    eps = knobs.get("eps", 1e-3)
    return float(1 - (2 * np.sum(x * true) + eps) / (np.sum(x**power) + np.sum(true**power) + eps))


def _cross_entropy(x: AnyArray, true: AnyArray) -> float:
    return float(np.mean(np.log1p(np.exp(-x)) * true + np.log1p(np.exp(x)) * (1 - true)))


def _giou(a: AnyArray, b: AnyArray) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    around = np.maximum(np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2]), 0)
    overlap = sides.prod()
    union = max(float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap), 1e-6)
    enclosing = max(float(around.prod()), 1e-6)
    return float(overlap / union - (enclosing - union) / enclosing)


def _l1(a: AnyArray, b: AnyArray, size: tuple[float, float], box_format: str) -> float:
    if box_format == "xywh":
        a, b = (np.concatenate([(x[:2] + x[2:]) / 2, x[2:] - x[:2]]) for x in (a, b))
    height, width = size
    return float(np.sum(np.abs(a - b) / np.array([width, height, width, height])))


def _iou(a: AnyArray, b: AnyArray) -> float:
    shared = float(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod())
    return shared / max(float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared, 1e-6)


def _alignment(config: Mapping[str, Any], x: Mapping[str, AnyArray]) -> Pair:
    e = np.exp(x["scores"])
    scores = e / (1 + e) if config.get("use_sigmoid", True) else e / e.sum(axis=-1, keepdims=True)

    def of_pair(n: int, g: int) -> float:
        score, iou = scores[n, x["gt_labels"][g]], _iou(x["bboxes"][n], x["gt_bboxes"][g])
        return float(-(score ** config.get("alpha", 1.0)) * iou ** config.get("beta", 1.0))

    return of_pair


def _position_modulated(config: Mapping[str, Any], x: Mapping[str, AnyArray]) -> Pair:
    fits = np.array([[(_giou(a, b) + 1) / 2 for b in x["gt_bboxes"]] for a in x["bboxes"]])
    fits *= max(1, 1 / (fits.max() + 1e-8))
    alpha, gamma = config.get("alpha", 0.25), config.get("gamma", 2)

    def of_pair(n: int, g: int) -> float:
        p = fits[n, g] ** config.get("beta", 0.5) / (1 + math.exp(-x["scores"][n, x["gt_labels"][g]]))
        true = -alpha * (1 - p) ** gamma * math.log(p + 1e-8)
        return float(true + (1 - alpha) * p**gamma * math.log(1 - p + 1e-8))

    return of_pair


def pair_cost(config: Mapping[str, Any], x: Mapping[str, AnyArray], size: tuple[float, float]) -> Pair:
    """Return the unweighted cost of prediction n with ground truth g by the config of a cost.

    Parameters
    ----------
    config : mapping
        ``type`` and knobs.
    x : mapping of str to numpy.ndarray
        Inputs of one image by the package's names.
    size : tuple of float
        Height and width of the image.

    Examples
    --------
    >>> inputs = {"scores": np.zeros((1, 4)), "gt_labels": np.array([2])}
    >>> pair_cost({"type": "ClassificationCost"}, inputs, (1, 1))(0, 0)
    -0.25
    """
    kind = config["type"]

    def of_masks(cost: Callable[[AnyArray, AnyArray], float]) -> Pair:
        return lambda n, g: cost(x["masks"][n].ravel(), x["gt_masks"][g].ravel())

    if kind == "ClassificationCost":
        e = np.exp(x["scores"])
        return lambda n, g: float(-e[n, x["gt_labels"][g]] / e[n].sum())
    if kind == "BBoxL1Cost":
        shape = config.get("box_format", "xyxy")
        return lambda n, g: _l1(x["bboxes"][n], x["gt_bboxes"][g], size, shape)
    if kind == "IoUCost":
        return lambda n, g: -_giou(x["bboxes"][n], x["gt_bboxes"][g])
    if kind == "OverlapCost":
        return lambda n, g: -float(iou(tuple(x["bboxes"][n]), tuple(x["gt_bboxes"][g])))
    if kind == "FocalLossCost" and not config.get("binary_input", False):
        true, none = np.ones(1), np.zeros(1)
        label = x["gt_labels"]

        def of_class(n: int, g: int) -> float:
            logit = x["scores"][n, label[g], None]
            return _focal(logit, true, config) - _focal(logit, none, config)

        return of_class
    if kind == "FocalLossCost":
        return of_masks(lambda a, b: _focal(a, b, config) / a.size)
    if kind == "DiceCost":
        return of_masks(lambda a, b: _dice(a, b, config))
    if kind == "CrossEntropyLossCost":
        return of_masks(_cross_entropy)
    if kind == "AlignmentCost":
        return _alignment(config, x)
    if kind == "PositionModulatedCost":
        return _position_modulated(config, x)
    if kind == "TokenFocalLossCost":
        knobs = {"eps": 1e-8, **config}

        def of_tokens(n: int, g: int) -> float:
            named = x["positive_maps"][g] > 0
            of_named, ones = x["scores"][n, named], np.ones(named.sum())
            return (_focal(of_named, ones, knobs) - _focal(of_named, 0 * ones, knobs)) / len(ones)

        return of_tokens
    if kind == "BinaryFocalLossCost":
        tokens = x["text_token_mask"][0]
        return lambda n, g: _focal(x["scores"][n, tokens], x["positive_maps"][g, tokens], config)
    if kind in ("OKSCost", "KeypointL1Cost"):
        return lambda n, g: _of_poses(
            x["pred_keypoints"][n], x["gt_keypoints"][g], x["gt_bboxes"][g], size, config
        )
    if kind == "KeypointVisibilityCost":
        return lambda n, g: _of_visibility(x["pred_keypoint_logits"][n], x["gt_keypoints"][g, :, 2], config)
    if kind == "KeypointNLLCost":
        return lambda n, g: _of_likelihood(
            x["pred_keypoints"][n], x["pred_keypoint_precision"][n], x["gt_keypoints"][g], x["gt_bboxes"][g]
        )
    raise NotImplementedError(f"no reference for {kind}")


def _of_poses(
    pred: AnyArray, gt: AnyArray, box: AnyArray, size: tuple[float, float], config: Mapping[str, Any]
) -> float:
    counts = [k for k in range(len(gt)) if gt[k, 2] > 0]
    if config["type"] == "KeypointL1Cost":
        height, width = size
        if config.get("relative_to") == "object":
            height = width = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
        apart = [abs(pred[k, 0] - gt[k, 0]) / width + abs(pred[k, 1] - gt[k, 1]) / height for k in counts]
        return float(sum(apart) / max(len(counts), 1))
    area = (box[2] - box[0]) * (box[3] - box[1]) * config.get("area_share", 1.0)
    alike = [
        math.exp(-(math.dist(pred[k], gt[k, :2]) ** 2) / (2 * (2 * config["sigmas"][k]) ** 2 * area))
        for k in counts
    ]
    similarity = sum(alike) / max(len(counts), 1)
    return -similarity if config.get("form", "linear") == "linear" else -math.log(similarity + 1e-7)


def _of_visibility(logits: AnyArray, visibility: AnyArray, config: Mapping[str, Any]) -> float:
    second = bool(config.get("visible"))
    entropies = []
    for logit, v in zip(logits[:, int(second)], visibility, strict=True):
        if v >= 0:
            p = 1 / (1 + math.exp(-logit))
            entropies.append(-math.log(p if v >= 1 + second else 1 - p))
    return sum(entropies) / max(len(entropies), 1)


def _of_likelihood(pred: AnyArray, precision: AnyArray, gt: AnyArray, box: AnyArray) -> float:
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    likelihoods = []
    for (x, y), (a, b, c), (gt_x, gt_y, visibility) in zip(pred, precision, gt, strict=True):
        if visibility > 0:
            root = np.array([[math.exp(a), b], [0.0, math.exp(c)]])
            apart = np.array([x - gt_x, y - gt_y]) / side
            determinant = np.linalg.det(root.T @ root)
            likelihoods.append(apart @ root.T @ root @ apart / 2 - math.log(determinant) / 2)
    return float(sum(likelihoods) / max(len(likelihoods), 1))


def _answer(
    configs: list[Mapping[str, Any]], inputs: Mapping[str, AnyArray], size: tuple[float, float]
) -> tuple[AnyArray, dict[str, AnyArray]]:
    labels = inputs["gt_labels"]
    counts = len(inputs["masks"] if "masks" in inputs else inputs["scores"])
    cost = np.zeros((counts, len(labels)))
    for config in configs:
        of_pair = pair_cost(config, inputs, size)
        weight = config.get("weight", 1.0)
        cost += [[weight * of_pair(n, g) for g in range(len(labels))] for n in range(counts)]
    rows, columns = linear_sum_assignment(cost)
    gt_inds = np.zeros(counts, dtype=np.int64)
    gt_inds[rows] = columns + 1
    return cost, {"gt_inds": gt_inds, "labels": np.append(labels, -1)[gt_inds - 1]}


def hungarian_answer(case: GoldenCase) -> tuple[AnyArray, dict[str, AnyArray]]:
    """Answer a call of ``HungarianAssigner``.

    Returns
    -------
    cost : numpy.ndarray (N, G)
        The cost of each pair.
    outputs : dict of str to numpy.ndarray
        ``gt_inds`` and ``labels`` of an optimal matching.
    """
    configs = case.init["match_costs"]
    several = [configs] if isinstance(configs, Mapping) else list(configs)
    height, width = case.call["img_shape"]
    return _answer(several, case.inputs, (height, width))


def mask_hungarian_answer(case: GoldenCase) -> tuple[AnyArray, dict[str, AnyArray]]:
    """Answer a call of ``MaskHungarianAssigner``, as `hungarian_answer` does, with all its costs named."""
    names = {"mask_pred": "masks", "gt_mask": "gt_masks", "cls_pred": "scores", "gt_labels": "gt_labels"}
    inputs = {names[name]: x for name, x in case.inputs.items()}
    return _answer(list(case.init.values()), inputs, (1.0, 1.0))


def topk_matched(inputs: Mapping[str, AnyArray], init: Mapping[str, Any]) -> int:
    """Return how many predictions ``TopkHungarianAssigner`` matches.

    Examples
    --------
    >>> import numpy as np
    >>> topk_matched({"bboxes": np.zeros((10, 4)), "gt_labels": np.zeros(4, int)}, {"topk": 3})
    8
    """
    n_priors, n_gts = len(inputs["bboxes"]), len(inputs["gt_labels"])
    return n_gts * min(int(init["topk"]), n_priors // n_gts) if n_gts else 0
