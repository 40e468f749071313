"""The assigners by regions of ground truths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.reference.ignore import cell, spare_negatives
from assigncore.conformance.reference.image import Image, Outputs, area, center, holds, iof, scaled
from assigncore.conformance.reference.min_positives import add_positives

__all__ = ["center_region", "fcos", "guided_anchoring", "region"]

AnyArray = NDArray[Any]


def center_region(
    image: Image,
    pos_scale: Any,
    neg_scale: Any,
    min_pos_iof: float = 0.01,
    foreground_dominate: bool = False,
    **knobs: Any,
) -> Outputs:
    """Assign by cores and shadows of ground truths."""
    thr, fraction = image.dtype(min_pos_iof), knobs.get("fraction", iof)
    codes = [0] * len(image.priors)
    shadow, outranked = (
        np.zeros((len(codes), len(image.arguments["gt_bboxes"])), dtype=bool) for _ in range(2)
    )
    for n, prior in image.eligible().items():
        cores = [
            g
            for g, gt in image.gts.items()
            if holds(gt, center(prior)) and fraction(prior, scaled(gt, pos_scale)) > thr
        ]
        if cores:
            codes[n] = 1 + min(cores, key=lambda g: (area(image.gts[g]), -g))
        for g, gt in image.gts.items():
            outranked[n, g] = g in cores and codes[n] != g + 1
            touches = g not in cores and fraction(prior, scaled(gt, neg_scale)) > thr
            shadow[n, g] = touches or outranked[n, g]
        if any(holds(scaled(r, knobs.get("ignore_gt_scale", 0.5)), center(prior)) for r in image.regions):
            codes[n] = -1
        labelled = codes[n] > 0 and "gt_labels" in image.arguments
        clashes = [
            g for g in image.gts if labelled and shadow[n, g] and image.label(g) == image.label(codes[n] - 1)
        ]
        if foreground_dominate:
            shadow[n, clashes] = outranked[n, clashes] = False
        elif clashes:
            codes[n] = 0
    free = {n: center(prior) for n, prior in image.eligible().items() if codes[n] == 0}
    added = _add_nearest(image, codes, free, knobs, last=True)
    for n, g in added.items():
        shadow[n, g] = outranked[n, g] = False
    ignored = [n for n, code in enumerate(codes) if code < 0]
    found = image.codes_alone(codes, shadow=shadow, outranked=outranked)
    # An image without ground truths has its ignored priors all the same.
    found["gt_inds"][ignored] = -1
    return found


def fcos(
    image: Image,
    regress_ranges: Any,
    center_sampling: bool = False,
    center_sample_radius: Any = 1.5,
    num_level_priors: Sequence[int] = (),
    **knobs: Any,
) -> Outputs:
    """Assign points in boxes of the sizes that are their level's."""
    levels = np.repeat(np.arange(len(num_level_priors)), num_level_priors)
    codes = [0] * len(image.priors)
    regressed = set()
    for n, (x, y, stride) in image.eligible().items():
        claims = []
        for g, (x1, y1, x2, y2) in image.gts.items():
            sides = (x - x1, y - y1, x2 - x, y2 - y)
            least, greatest = map(image.dtype, regress_ranges[levels[n]])
            if least <= max(sides) <= greatest:
                regressed.add((g, n))
            takes = min(sides) > 0 and (g, n) in regressed
            if takes and center_sampling:
                (cx, cy), reach = center((x1, y1, x2, y2)), stride * image.dtype(center_sample_radius)
                takes = holds((cx - reach, cy - reach, cx + reach, cy + reach), (x, y))
            if takes:
                claims.append(g)
        if claims:
            codes[n] = 1 + min(claims, key=lambda g: (area(image.gts[g]), g))
    points = {n: (x, y) for n, (x, y, _) in image.eligible().items()}
    _add_nearest(image, codes, points, knobs, last=False, among=regressed)
    cells = [None if point is None else cell(point) for point in image.priors]
    found = image.codes_alone(codes)
    spared = spare_negatives(image, found["gt_inds"].tolist(), cells, knobs.get("ignore_iof_thr", -1))
    return {**found, "gt_inds": np.array(spared, dtype=np.int64)}


def _add_nearest(
    image: Image, codes: list[int], free: Any, knobs: Mapping[str, Any], *, last: bool, among: Any = None
) -> dict[int, int]:
    """Add the nearest points that `min_positives` asks for, of which the smallest box gets one."""

    def distance(g: int, n: int) -> Any:
        (x, y), (cx, cy) = free[n], center(image.gts[g])
        dx, dy = x - cx, y - cy
        return dx * dx + dy * dy if among is None or (g, n) in among else None

    def smallness(g: int, _n: int) -> Any:
        return -area(image.gts[g])

    least = knobs.get("min_positives", 0)
    return add_positives(codes, image.gts, least, distance, smallness, eligible=free, last=last)


def region(
    image: Image,
    num_level_priors: Sequence[int],
    featmap_sizes: Any,
    anchor_scale: float,
    anchor_strides: Any,
    image_shape: Sequence[int],
    allowed_border: float = 0,
    **knobs: Any,
) -> Outputs:
    """Assign as Guided Anchoring does, what is not eligible being left out."""
    eligible, gts = image.eligible(), list(image.gts)
    codes, count = [0] * len(image.priors), len(image.arguments["gt_bboxes"])
    if eligible and gts:
        inputs = {
            "priors": np.array(list(eligible.values())),
            "valid_flags": np.ones(len(eligible), dtype=bool),
            "gt_bboxes": np.array([image.gts[g] for g in gts]),
        }
        levels = np.repeat(np.arange(len(num_level_priors)), num_level_priors)[list(eligible)]
        call = {
            "anchor_scale": anchor_scale,
            "anchor_strides": anchor_strides,
            "featmap_sizes": featmap_sizes,
            "num_level_anchors": np.bincount(levels, minlength=len(num_level_priors)).tolist(),
            "img_shape": image_shape,
            "allowed_border": allowed_border,
        }
        for n, code in zip(eligible, guided_anchoring(inputs, knobs, call)[0], strict=True):
            codes[n] = gts[code - 1] + 1 if code > 0 else int(code)
        of_anchors = dict(zip(eligible, levels, strict=True))
        side = image.dtype(anchor_scale * anchor_strides[0])
        of_gts = {g: _level_of(np.array(gt), side, len(num_level_priors)) for g, gt in image.gts.items()}

        def distance(g: int, n: int) -> Any:
            dx, dy = (a - b for a, b in zip(center(eligible[n]), center(image.gts[g]), strict=True))
            return dx * dx + dy * dy if of_anchors[n] == of_gts[g] else None

        high, wide = (length + allowed_border for length in image_shape[:2])
        within = [
            n
            for n, (x1, y1, x2, y2) in eligible.items()
            if allowed_border < 0 or (min(x1, y1) >= -allowed_border and x2 < wide and y2 < high)
        ]
        add_positives(
            codes,
            gts,
            knobs.get("min_positives", 0),
            distance,
            lambda _g, _n: 0,
            eligible=within,
            last=True,
        )
    found = image.outputs(codes, [image.dtype(0)] * len(codes))
    if codes and count:
        del found["max_overlaps"]
    if "labels" in found and gts:
        found["labels"] = np.where(found["gt_inds"] > 0, found["labels"], 0)
    return found


def guided_anchoring(
    inputs: Mapping[str, AnyArray], init: Mapping[str, Any], call: Mapping[str, Any]
) -> tuple[AnyArray, AnyArray | None]:
    """Answer a call of ``RegionAssigner`` as its definition says.

    Parameters
    ----------
    inputs : mapping of str to numpy.ndarray
        ``priors`` (N, 4), ``valid_flags`` (N,), ``gt_bboxes`` (G, 4), at least one, and possibly
        ``gt_labels`` (G,).
    init : mapping
        Constructor arguments.
    call : mapping
        Further arguments of the call, by the package's names.

    Returns
    -------
    gt_inds : numpy.ndarray
        Shape ``(N,)``.
    labels : numpy.ndarray or None
        Shape ``(N,)``, 0 where an anchor is not positive; None without ``gt_labels``.
    """
    priors, gts = inputs["priors"], inputs["gt_bboxes"]
    strides, sizes, counts = call["anchor_strides"], call["featmap_sizes"], call["num_level_anchors"]
    starts = np.cumsum([0, *counts])
    gt_inds = np.zeros(len(priors), dtype=np.int64)
    overruled = np.zeros(len(priors), dtype=bool)
    for index, gt in enumerate(gts):
        own = _level_of(gt, call["anchor_scale"] * strides[0], len(counts))
        for level in (own - 1, own, own + 1):
            if not 0 <= level < len(counts):
                continue
            rows = np.arange(starts[level], starts[level + 1])
            cells = priors[rows] / strides[level]
            around = _within(cells, gt / strides[level], init.get("ignore_ratio", 0.5), sizes[level])
            if level != own:
                overruled[rows[around]] = True
                continue
            central = _within(cells, gt / strides[level], init.get("center_ratio", 0.2), sizes[level])
            gt_inds[rows[around]] = -1
            gt_inds[rows[central]] = index + 1
    gt_inds[overruled] = -1
    height, width = call["img_shape"][:2]
    border = call.get("allowed_border", 0)
    takes_part = inputs["valid_flags"].copy()
    if border >= 0:
        low, high = priors[:, :2], priors[:, 2:]
        takes_part &= (low >= -border).all(axis=1) & (high < np.array([width, height]) + border).all(axis=1)
    gt_inds[~takes_part] = -1
    if "gt_labels" not in inputs:
        return gt_inds, None
    return gt_inds, np.where(gt_inds > 0, inputs["gt_labels"][gt_inds - 1], 0)


def _level_of(gt: AnyArray, side: float, count: int) -> int:
    area = (gt[2] - gt[0]) * (gt[3] - gt[1])
    if not area > 0:
        return 0
    level = np.floor(np.log2(np.sqrt(area)) - np.log2(gt.dtype.type(side)) + gt.dtype.type(0.5))
    return int(np.clip(level, 0, count - 1))


def _within(cells: AnyArray, gt: AnyArray, ratio: float, size: Sequence[int]) -> AnyArray:
    """Tell which boxes' centres are in the central part of another, all in cells."""
    edge = (1 - ratio) / 2
    low = np.round((1 - edge) * gt[:2] + edge * gt[2:])
    high = np.round(edge * gt[:2] + (1 - edge) * gt[2:])
    limit = (size[1], size[0])
    centers = (cells[:, :2] + cells[:, 2:]) * 0.5
    inside = (centers >= np.clip(low, 0, limit)) & (centers <= np.clip(high, 0, limit))
    return np.asarray(inside.all(axis=1))
