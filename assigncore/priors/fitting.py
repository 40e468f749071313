"""Anchors fitted to a data set: shapes by k-means, and the knobs of a generator of anchors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from assigncore.checks import check_knob, host_array
from assigncore.priors.anchors import AnchorGenerator, BoxGenerator, SSDAnchorGenerator

__all__ = ["best_placed_overlaps", "fit_anchors", "fit_shapes"]

AnyArray = np.ndarray[Any, Any]
Fitted = TypeVar("Fitted", AnchorGenerator, SSDAnchorGenerator)

MAX_FITTED = 1000
"""Boxes that are looked at: of more, as many evenly spread over the order of areas."""

MAX_ROUNDS = 300
DIGITS = 3
START_FACTORS = tuple(2.0 ** (i / 2) for i in range(-10, 5))
"""Factors of a generator's own sizes at which the search may start."""


def fit_shapes(sizes: Any, count: int) -> AnyArray:
    """Find the shapes that boxes overlap best, by k-means under the distance 1 - IoU.

    Parameters
    ----------
    sizes : array (M, 2)
        Widths and heights of boxes, in pixels.
    count : int
        How many shapes to find: K.

    Returns
    -------
    array (K, 2) of float64
        Widths and heights, by area. Fewer if there are fewer different sizes.

    Raises
    ------
    TypeError
        If `sizes` are no numbers, or `count` is no integer.
    ValueError
        If `sizes` are not positive finite widths and heights, or `count` is below 1.

    Notes
    -----
    Boxes and shapes are compared as if they had one centre. Of more than 1,000 boxes that many are looked at.
    k-means stops where no box changes its shape any more; then a local search (Powell's) raises the mean
    overlap further. No random number is drawn, so equal boxes give equal shapes. Of equally good shapes a
    box belongs to the smallest.

    References
    ----------
    Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger" (2017), dimension clusters.

    Examples
    --------
    >>> fit_shapes([[10, 10], [11, 10], [9, 10], [40, 80]], 2).round().tolist()
    [[10.0, 10.0], [40.0, 80.0]]
    """
    check_knob("count", count, at_least=1, integer=True)
    found = _finite_rows("sizes", sizes, 2)
    if not np.all(found > 0):
        raise ValueError("sizes: expected widths and heights above 0")
    found = _spread(_by_area(found))
    different = np.unique(found, axis=0)
    if len(different) <= count:
        return _by_area(different)
    # One from the middle of each of `count` equally large parts: no part of the data is without a shape.
    places = ((np.arange(count) + 0.5) * len(found) / count).astype(int)
    shapes = _by_area(found)[places]
    belongs = np.full(len(found), -1)
    for _ in range(MAX_ROUNDS):
        nearest = np.argmax(_shape_overlaps(found, shapes), axis=1)
        if np.array_equal(nearest, belongs):
            break
        belongs = nearest
        for k in range(count):
            if np.any(own := belongs == k):
                shapes[k] = np.mean(found[own], axis=0)
    shapes = _climb(
        np.log(shapes).ravel(),
        lambda x: float(np.mean(np.max(_shape_overlaps(found, np.exp(x).reshape(-1, 2)), axis=1))),
        lambda x: _by_area(np.exp(x).reshape(-1, 2)),
    )
    return np.asarray(_rounded(shapes))


def fit_anchors(generator: Fitted, gt_bboxes: Any, *, ratios: bool = True) -> Fitted:
    """Fit the sizes and ratios of anchors to boxes; strides and the number of anchors stay.

    Parameters
    ----------
    generator : AnchorGenerator or SSDAnchorGenerator
        Whose strides, and numbers of scales and ratios, are kept.
    gt_bboxes : array (M, 4)
        Boxes x1, y1, x2, y2 in pixels of the images that are trained on.
    ratios : bool, default True
        Whether to fit the ratios of an `AnchorGenerator` too, else its scales alone.

    Returns
    -------
    AnchorGenerator or SSDAnchorGenerator
        With `scales` and `ratios`, or with `min_sizes` and `max_sizes`, for which the boxes' mean best IoU
        with any anchor is highest, to three digits. The generator itself where nothing better is found, and
        where there are no boxes.

    Raises
    ------
    TypeError
        If it generates anything else, or the boxes are no numbers.
    ValueError
        If the boxes are not finite, or some have no extent.

    Notes
    -----
    Every box is compared with each shape at the cell that is nearest to it, so where the cells lie counts as
    well. Of more than 1,000 boxes that many are looked at. The search (Powell's, from the best of several
    sizes) draws no random number.

    Examples
    --------
    >>> import numpy as np
    >>> published = AnchorGenerator(strides=(8, 16), ratios=(1.0,), scales=(8.0,))
    >>> boxes = np.array([[10.0, 10.0, 30.0, 30.0], [40.0, 40.0, 62.0, 60.0], [9.0, 60.0, 30.0, 81.0]])
    >>> fit_anchors(published, boxes).all_scales[0] < 4
    True
    """
    if not isinstance(ratios, bool):
        raise TypeError(f"ratios: expected True or False, got {ratios!r}")
    boxes = _finite_rows("gt_bboxes", gt_bboxes, 4)
    if np.any(boxes[:, :2] >= boxes[:, 2:]):
        raise ValueError("gt_bboxes: expected boxes of some width and height")
    if not isinstance(generator, AnchorGenerator | SSDAnchorGenerator):
        raise TypeError(
            f"generator: expected an AnchorGenerator or an SSDAnchorGenerator, got {type(generator).__name__}"
        )
    if not len(boxes):
        return generator
    order = np.argsort(_areas(_sizes(boxes)), kind="stable")
    boxes = _spread(boxes[order])

    def quality(fitted: BoxGenerator) -> float:
        return float(np.mean(best_placed_overlaps(fitted, boxes)))

    if isinstance(generator, SSDAnchorGenerator):
        return max(_ssd_fits(generator, quality), key=quality)
    return max(_scale_fits(generator, boxes, quality, ratios), key=quality)


def best_placed_overlaps(generator: BoxGenerator, gt_bboxes: Any) -> AnyArray:
    """Find each box's best IoU with any anchor of a grid that has no end.

    Parameters
    ----------
    generator : BoxGenerator
        Lays the anchors, the first cell at the images' top left corner.
    gt_bboxes : array (M, 4)
        Boxes x1, y1, x2, y2 in pixels.

    Returns
    -------
    array (M,) of float64
        Beyond the right and lower edge of an image there are cells too; that aside, what
        `assigncore.boxes.pairwise_iou` finds among all anchors.

    Raises
    ------
    TypeError
        If `generator` lays no boxes, or those given are no numbers.
    ValueError
        If the boxes are not finite.

    Notes
    -----
    Of one shape the anchor nearest in x and in y overlaps a box most, so no grid is laid.

    Examples
    --------
    >>> anchors = AnchorGenerator(strides=(8,), ratios=(1.0,), scales=(1.0,), center_offset=0.5)
    >>> best_placed_overlaps(anchors, [[8.0, 8.0, 16.0, 16.0], [8.0, 8.0, 16.0, 12.0]]).tolist()
    [1.0, 0.5]
    """
    if not isinstance(generator, BoxGenerator):
        raise TypeError(f"generator: expected a BoxGenerator, got {type(generator).__name__}")
    boxes = _finite_rows("gt_bboxes", gt_bboxes, 4)
    levels = range(len(generator.strides))
    anchors = np.asarray([box for level in levels for box in generator.base_anchors(level)], dtype=np.float64)
    steps = np.repeat(np.asarray(generator.stride_pairs, dtype=np.float64), generator.num_base_priors, axis=0)
    common = np.ones((len(anchors), len(boxes)))
    for axis in (0, 1):
        start, end, step = anchors[:, None, axis], anchors[:, None, axis + 2], steps[:, None, axis]
        low, high = boxes[None, :, axis], boxes[None, :, axis + 2]
        shift = np.maximum(np.rint((low + high - (start + end)) / (2 * step)), 0.0) * step
        common *= np.maximum(np.minimum(high, shift + end) - np.maximum(low, shift + start), 0.0)
    union = _areas(_sizes(anchors))[:, None] + _areas(_sizes(boxes))[None] - common
    return np.asarray(np.max(common / union, axis=0))


def _finite_rows(name: str, x: Any, columns: int) -> AnyArray:
    """Return rows of finite numbers, of any library or lists, in float64."""
    rows = host_array(name, x, "real floating", "integral").astype(np.float64)
    rows = rows.reshape(-1, columns) if rows.size == 0 else rows
    if rows.ndim != 2 or rows.shape[1] != columns or not np.all(np.isfinite(rows)):
        raise ValueError(f"{name}: expected finite numbers of shape (M, {columns}), got shape {rows.shape}")
    return rows


def _scale_fits(
    generator: AnchorGenerator,
    boxes: AnyArray,
    quality: Callable[[AnchorGenerator], float],
    with_ratios: bool,
) -> list[AnchorGenerator]:
    """Give the generator itself, with fitted scales, and with fitted scales and ratios."""
    count = len(generator.all_scales)

    def made(x: AnyArray, ratios: Sequence[float]) -> AnchorGenerator:
        return replace(
            generator,
            scales=_increasing(np.exp(x)),
            ratios=tuple(ratios),
            octave_base_scale=None,
            scales_per_octave=None,
        )

    def scaled(ratios: Sequence[float]) -> AnchorGenerator:
        starts = [np.log(np.asarray(generator.all_scales) * factor) for factor in START_FACTORS]
        start = max(starts, key=lambda x: quality(made(x, ratios)))
        return _climb(start, lambda x: quality(made(x, ratios)), lambda x: made(x, ratios))

    if not with_ratios:
        return [generator, scaled(generator.ratios)]
    heights, widths = boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]
    n = len(generator.ratios)
    quantiles = np.exp(np.quantile(np.log(heights / widths), (np.arange(n) + 0.5) / n))
    scales = scaled(_increasing(quantiles)).all_scales
    start = np.log([*scales, *_increasing(quantiles)])

    def both(x: AnyArray) -> AnchorGenerator:
        return made(x[:count], _increasing(np.exp(x[count:])))

    return [generator, _climb(start, lambda x: quality(both(x)), both)]


def _ssd_fits(
    generator: SSDAnchorGenerator, quality: Callable[[SSDAnchorGenerator], float]
) -> list[SSDAnchorGenerator]:
    """Give the generator itself, and with fitted sizes: a level's larger size is the next level's smaller."""

    def made(x: AnyArray) -> SSDAnchorGenerator:
        sizes = _increasing(np.exp(x))
        return replace(generator, min_sizes=sizes[:-1], max_sizes=sizes[1:])

    own = np.log([*generator.min_sizes, generator.max_sizes[-1]])
    start = max((own + math.log(factor) for factor in START_FACTORS), key=lambda x: quality(made(x)))
    return [generator, _climb(start, lambda x: quality(made(x)), made)]


Made = TypeVar("Made")


def _climb(start: AnyArray, quality: Callable[[AnyArray], float], made: Callable[[AnyArray], Made]) -> Made:
    """Search from a start for what has the highest quality, and make it of what was found."""
    # Importing assigncore does not import SciPy.
    from scipy.optimize import minimize

    found = minimize(
        lambda x: -quality(x),
        start,
        method="Powell",
        bounds=[(x - 1.5, x + 1.5) for x in start],
        options={"maxiter": 3, "xtol": 1e-2, "ftol": 1e-4},
    )
    return made(found.x if -found.fun >= quality(start) else start)


def _shape_overlaps(sizes: AnyArray, shapes: AnyArray) -> AnyArray:
    """Give the IoU of sizes (M, 2) and shapes (K, 2) about one centre, (M, K)."""
    widths = np.minimum(sizes[:, None, 0], shapes[None, :, 0])
    common = widths * np.minimum(sizes[:, None, 1], shapes[None, :, 1])
    return np.asarray(common / (_areas(sizes)[:, None] + _areas(shapes)[None] - common))


def _sizes(boxes: AnyArray) -> AnyArray:
    return boxes[:, 2:] - boxes[:, :2]


def _areas(sizes: AnyArray) -> AnyArray:
    return np.asarray(sizes[:, 0] * sizes[:, 1])


def _by_area(sizes: AnyArray) -> AnyArray:
    return np.asarray(sizes[np.lexsort((sizes[:, 1], sizes[:, 0], _areas(sizes)))])


def _spread(rows: AnyArray) -> AnyArray:
    """Give all rows, or of many ones as many as are looked at, evenly spread over their order."""
    if len(rows) <= MAX_FITTED:
        return rows
    return np.asarray(rows[((np.arange(MAX_FITTED) + 0.5) * len(rows) / MAX_FITTED).astype(int)])


def _rounded(values: AnyArray) -> list[Any]:
    """Write numbers with as many digits as a person would."""
    return [
        [float(f"{x:.{DIGITS}g}") for x in row] if np.ndim(row) else float(f"{row:.{DIGITS}g}")
        for row in values
    ]


def _increasing(values: AnyArray) -> tuple[float, ...]:
    return tuple(_rounded(np.sort(values)))
