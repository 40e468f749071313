"""Pictures of assignments: each function draws into matplotlib axes and returns them.

Given no axes, a function makes a figure of its own by ``matplotlib.pyplot``, which notebooks show by
themselves. Arrays may be of any library; on a device a picture waits for them. The module needs matplotlib,
which the extra ``assigncore[plot]`` installs.

Colours are told apart with any colour vision. Magenta means one thing everywhere: no positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil
from os import PathLike
from typing import Any

import numpy as np

try:
    import matplotlib.pyplot as plt
    import PIL.Image
    import PIL.ImageOps
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'assigncore.plot needs matplotlib, which is not installed: pip install "assigncore[plot]"',
        name=error.name,
    ) from error

from assigncore.backend import Array
from assigncore.boxes import xywhr_to_corners, xywhr_to_xyxy
from assigncore.checks import (
    check_featmap_sizes,
    check_image_shape,
    check_levels,
    check_names,
    check_strides,
    host_array,
)
from assigncore.inspect.display import MAX_NAME, plural, shown
from assigncore.inspect.object_sizes import SIZE_CLASSES
from assigncore.inspect.summary import of_gts, per_level
from assigncore.result import AssignResult, check_result

__all__ = [
    "assignment",
    "best_overlaps",
    "comparison",
    "heat_map",
    "history",
    "objects",
    "positives_by_level",
    "positives_histogram",
    "side_by_side",
]

HostArray = np.ndarray[Any, Any]

MISSING_GLYPH = "□"

PLAIN_MODES = ("L", "RGB", "RGBA", "I", "F", "I;16")
"""Kinds of pixels, as Pillow calls them, that are drawn as they are."""

Axes = Any

# Told apart with any colour vision, and from UNMATCHED, which nothing else may use.
SIZE_COLORS = ("#3b76c4", "#1d9a86", "#e2a12f")
LEVEL_COLORS = ("#0072b2", "#009e73", "#e69f00", "#d55e00", "#56b4e9", "#6b5b95", "#8a7f5c", "#555555")
UNMATCHED = "#e6007e"
INK = "#22252a"
FAINT = "#8d929a"
CANVAS = "#f4f4f1"

THRESHOLD_STYLES = {"pos_iou_thr": "-", "neg_iou_thr": "--", "min_pos_iou": ":"}

POSITIVE_EDGES = (0, 1, 2, 3, 5, 9, 17, 33, 65)
"""Positives of an object: 0, 1, 2, 3-4, 5-8, ... each bin twice as wide as the one before."""

COUNT_EDGES = (1, 2, 4, 8, 16)
COUNT_LABELS = ("1", "2-3", "4-7", "8-15", "16+")
COUNT_COLORS = ("#7fb8dd", "#4a94c9", "#2273b3", "#0b5394", "#07305c")

BOX_COLUMNS = (4, 5)
"""Of boxes x1, y1, x2, y2, and of oriented ones."""

MOST_OUTLINES = 150
"""Positives up to which their boxes are drawn; more would hide each other, and become dots."""

DOT_POINTS = (2.4, 9.0)
"""Smallest and largest diameter of a dot, in points."""

KEYPOINT_SHARE, KEYPOINT_POINTS = 0.05, (1.0, 5.0)
"""Diameter of a keypoint's dot as a share of its object, and the smallest and the largest, in points."""


def assignment(
    result: AssignResult,
    priors: Array,
    gt_bboxes: Array,
    *,
    num_level_priors: Sequence[int] | None = None,
    level_names: Sequence[str] | None = None,
    gt_valid: Array | None = None,
    image: Any = None,
    image_shape: tuple[int, int] | None = None,
    points: bool | None = None,
    outlines: bool | None = None,
    title: str | None = None,
    ax: Axes = None,
) -> Axes:
    """Draw one image's ground truths and their positive priors, coloured by feature level.

    A few positive boxes are drawn as outlines. Where there are more than 150, and more than two a ground
    truth, they become dots at their centres, one for each place of a level: the more positives there, the
    larger it is, and the coarser the level, the larger are its dots.

    Parameters
    ----------
    result : AssignResult
        Of one image: of a batch, ``result[0]`` is its first.
    priors : array (N, 5), (N, 4), (N, 3) or (N, 2)
        Boxes x1, y1, x2, y2 in pixels, or oriented ones; with other widths, or with `points`, points that
        begin with x, y.
    gt_bboxes : array (G, 4) or (G, 5)
        Boxes x1, y1, x2, y2 in pixels, or oriented ones.
    num_level_priors : sequence of int, optional
        Priors of each feature level. Not given: one colour for all.
    level_names : sequence of str, optional
        What the legend calls the levels. Default: ``level 0`` and so on.
    gt_valid : array (G,) of bool, optional
        False where a ground truth is padding, which is not drawn. Not given: all true.
    image : array (H, W), (H, W, 3), (3, H, W) or path, optional
        What is drawn beneath, faded; stretched to `image_shape` where that is given. None: a blank canvas.
    image_shape : (int, int), optional
        Height and width in pixels. Default: the image's, or as far as the boxes reach.
    points : bool, optional
        Whether `priors` of four columns are points x, y, stride_x, stride_y. Default: they are boxes.
    outlines : bool, optional
        Whether positive boxes are drawn as outlines. Default: where they are few.
    title : str, optional
        Default: how many positives there are.
    ax : matplotlib Axes, optional
        Where to draw. Default: a new figure's.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the result is of a batch, or a shape does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from assigncore import ATSSAssigner, plot, sample_dataset
    >>> from assigncore.priors import atss_anchors
    >>> crowns = sample_dataset()[3]
    >>> anchors = atss_anchors(crowns.image_shape)
    >>> levels = {"num_level_priors": anchors.num_level_priors}
    >>> result = ATSSAssigner(topk=9).assign(anchors.priors, crowns.gt_bboxes, **levels)
    >>> ax = plot.assignment(result, anchors.priors, crowns.gt_bboxes, **levels)
    >>> ax.get_title(loc="left")
    '289 positives'
    """
    _check_switch("points", points)
    _check_switch("outlines", outlines)
    codes = _one_image(result)
    rows, boxes = _numbers("priors", priors), _boxes(gt_bboxes)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(
            f"priors: expected boxes (N, 5) or (N, 4), or points (N, 3) or (N, 2), got {rows.shape}"
        )
    if len(rows) != len(codes) or len(boxes) != result.num_gts:
        raise ValueError(
            f"priors, gt_bboxes: expected the {len(codes)} and {result.num_gts} of the result, "
            f"got {len(rows)} and {len(boxes)}"
        )
    valid = _valid(gt_valid, (len(boxes),))
    are_boxes = rows.shape[-1] in BOX_COLUMNS and not points
    totals = np.bincount(codes[codes > 0] - 1, minlength=len(boxes))
    num_positives = int(np.sum(codes > 0))
    if outlines is None:
        outlines = num_positives <= max(MOST_OUTLINES, 2 * len(boxes))
    are_corners = are_boxes and rows.shape[-1] == 4
    centers = (rows[:, :2] + rows[:, 2:]) / 2 if are_corners else rows[:, :2]

    ax = _axes(ax, (8.0, 8.0))
    taken = _upright(rows[codes > 0].astype(np.float64)) if are_boxes else np.empty((0, 4))
    reach = np.concatenate([_upright(boxes[valid]), taken])
    width, height = _canvas(ax, image, image_shape, reach)
    line = _line_width(int(valid.sum()))
    levels = check_levels((len(rows),) if num_level_priors is None else num_level_priors, len(rows))
    names = None if num_level_priors is None else _level_names(level_names, len(levels))
    handles: list[Any] = []
    for i, level in enumerate(levels):
        positive = codes[level] > 0
        if not positive.any():
            continue
        color = LEVEL_COLORS[i % len(LEVEL_COLORS)]
        if are_boxes and outlines:
            alpha = float(np.clip(150 / max(num_positives, 1), 0.35, 0.9))
            at = rows[level][positive]
            ax.add_collection(LineCollection(_outlines(at), colors=color, linewidths=1.0, alpha=alpha))
        else:
            diameter = _spacing(centers[level]) * _points_per_pixel(ax, width, height)
            _dots(ax, centers[level][positive], diameter, color, order=3 - i / len(levels))
        name = "positives" if names is None else names[i]
        label = f"{name}: {int(positive.sum()):,}"
        marker, thickness = (None, 2) if are_boxes and outlines else ("o", 0)
        handles.append(Line2D([], [], color=color, label=label, marker=marker, linewidth=thickness))
    ax.add_collection(LineCollection(_outlines(boxes[valid]), colors=INK, linewidths=line * 0.7, zorder=4))
    without = valid & (totals == 0)
    _draw_unmatched(ax, boxes[without], line)
    handles.append(Line2D([], [], color=INK, linewidth=line, label="object"))
    if without.any():
        handles.append(_unmatched_handle("object without positives"))
    text = plural(num_positives, "positive") if title is None else title
    ax.set_title(text, fontsize=10, color=INK, loc="left")
    _legend(ax, handles)
    return ax


def objects(
    gt_bboxes: Array,
    positives: AssignResult | Array,
    *,
    gt_valid: Array | None = None,
    ignore_bboxes: Array | None = None,
    gt_keypoints: Array | None = None,
    image: Any = None,
    image_shape: tuple[int, int] | None = None,
    title: str = "objects, by their number of positives",
    ax: Axes = None,
) -> Axes:
    """Draw one image's ground truths, darker the more positives they have, in magenta where they have none.

    Parameters
    ----------
    gt_bboxes : array (G, 4) or (G, 5)
        Boxes x1, y1, x2, y2 in pixels.
    positives : AssignResult of one image, or array (G,) of integers
        Positives of each ground truth.
    gt_valid : array (G,) of bool, optional
        False where a ground truth is padding, which is not drawn. Not given: all true.
    ignore_bboxes : array (I, 4), optional
        Crowd regions, drawn dashed.
    gt_keypoints : array (G, K, 3), optional
        x, y in pixels and visibility of each keypoint, dots in the object's colour; not where it is 0.
    image, image_shape, ax
        As in :func:`assignment`.
    title : str
        Above the axes.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np
    >>> ax = objects(np.array([[0, 0, 20, 20], [30, 5, 40, 25]]), np.array([0, 3]))
    >>> [text.get_text() for text in ax.get_legend().get_texts()][0]
    'none: 1 object'
    """
    boxes, totals = _boxes(gt_bboxes), _totals(positives)
    if totals.shape != (len(boxes),):
        given = len(totals) if totals.ndim == 1 else f"shape {totals.shape}"
        raise ValueError(f"positives: expected one for each of {len(boxes)} boxes, got {given}")
    poses = np.zeros((len(boxes), 0, 3)) if gt_keypoints is None else _numbers("gt_keypoints", gt_keypoints)
    if poses.ndim != 3 or poses.shape[::2] != (len(boxes), 3):
        raise ValueError(f"gt_keypoints: expected shape ({len(boxes)}, K, 3), got {poses.shape}")
    valid = _valid(gt_valid, totals.shape)
    boxes, totals, poses = boxes[valid], totals[valid], poses[valid]
    ax = _axes(ax, (8.0, 8.0))
    crowds = np.empty((0, 4)) if ignore_bboxes is None else _boxes(ignore_bboxes, "ignore_bboxes")
    _canvas(ax, image, image_shape, np.concatenate([_upright(boxes), _upright(crowds)]))
    line = _line_width(len(boxes))
    handles: list[Any] = [_unmatched_handle(f"none: {plural(int(np.sum(totals == 0)), 'object')}")]
    bins = np.searchsorted(COUNT_EDGES, totals, side="right") - 1
    for i, label in enumerate(COUNT_LABELS):
        at, color = boxes[bins == i], COUNT_COLORS[i]
        ax.add_collection(LineCollection(_outlines(at), colors=color, linewidths=line))
        _draw_keypoints(ax, poses[bins == i], at, color)
        name = f"{label}: {plural(len(at), 'object')}"
        handles.append(Line2D([], [], color=color, linewidth=2, label=name))
    _draw_unmatched(ax, boxes[totals == 0], line)
    _draw_keypoints(ax, poses[totals == 0], boxes[totals == 0], UNMATCHED)
    if len(crowds):
        ax.add_collection(LineCollection(_outlines(crowds), colors=FAINT, linewidths=line, linestyles="--"))
        handles.append(Line2D([], [], color=FAINT, linestyle="--", label=f"crowd regions: {len(crowds):,}"))
    ax.set_title(title, fontsize=10, color=INK, loc="left")
    _legend(ax, handles)
    return ax


def heat_map(
    values: Array,
    featmap_sizes: Sequence[tuple[int, int]],
    *,
    strides: Sequence[int | tuple[int, int]] | None = None,
    num_level_priors: Sequence[int] | None = None,
    level_names: Sequence[str] | None = None,
    gt_bbox: Array | None = None,
    label: str = "similarity",
    axes: Any = None,
) -> Any:
    """Draw a number for each prior, such as one ground truth's similarity, over the feature levels.

    Parameters
    ----------
    values : array (N,)
        One for each prior, level by level, row by row. Of several priors in a cell the largest is shown;
        what is not finite is left blank.
    featmap_sizes : sequence of (int, int)
        Rows and columns of each level, as ``PriorGrid.featmap_sizes`` has them.
    strides : sequence of int or (int, int), optional
        Strides of the levels: then all maps are drawn in the image's pixels.
    num_level_priors : sequence of int, optional
        Priors of each level. Default: equally many in each cell of all levels.
    level_names : sequence of str, optional
        Default: the strides, or ``level 0`` and so on.
    gt_bbox : array (4,), optional
        The ground truth's box in pixels, drawn over the maps where `strides` are given.
    label : str
        What the values are.
    axes : sequence of matplotlib Axes, optional
        As many as levels. Default: a new figure's.

    Returns
    -------
    array of matplotlib Axes
        One for each level.

    Raises
    ------
    ValueError
        If the values do not fill the cells evenly, or the numbers of levels differ.

    Examples
    --------
    >>> from assigncore import sample_dataset
    >>> from assigncore.boxes import pairwise_iou
    >>> from assigncore.priors import retinanet_anchors
    >>> crowns = sample_dataset()[3]
    >>> anchors = retinanet_anchors(crowns.image_shape)
    >>> overlaps = pairwise_iou(crowns.gt_bboxes[:1], anchors.priors)[0]
    >>> axes = heat_map(
    ...     overlaps,
    ...     anchors.featmap_sizes,
    ...     strides=anchors.strides,
    ...     gt_bbox=crowns.gt_bboxes[0],
    ...     label="IoU",
    ... )
    >>> [ax.get_title() for ax in axes][:2]
    ['stride 8: up to 0.56', 'stride 16: up to 0.14']
    """
    rows = _numbers("values", values).astype(np.float64)
    sizes = check_featmap_sizes(featmap_sizes)
    cells = [h * w for h, w in sizes]
    each = rows.size // max(sum(cells), 1)
    even = rows.ndim == 1
    if even and num_level_priors is not None:
        levels = check_levels(num_level_priors, len(rows))
        counts = [level.stop - level.start for level in levels]
        even = len(counts) == len(cells) and not any(
            n % max(cell, 1) for n, cell in zip(counts, cells, strict=True)
        )
    elif even:
        counts = [each * n for n in cells]
        even = sum(counts) == len(rows)
    if not even:
        raise ValueError(
            f"values: expected shape (N,), with equally many in each cell of {sizes}, got {rows.shape}"
        )
    pairs = None if strides is None else _stride_pairs(strides, len(sizes))
    if level_names is None and pairs is not None:
        level_names = [f"stride {x:g}" for x, _ in pairs]
    names = _level_names(level_names, len(sizes))
    if axes is None:
        columns = min(len(sizes), 3)
        lines = ceil(len(sizes) / columns)
        _, grid = plt.subplots(
            lines, columns, figsize=(3.4 * columns, 3.0 * lines), squeeze=False, layout="constrained"
        )
        for spare in grid.flat[len(sizes) :]:
            spare.set_visible(False)
        axes = grid.flat[: len(sizes)]
    axes = np.asarray(axes, dtype=object).reshape(-1)
    if len(axes) != len(sizes):
        raise ValueError(f"axes: expected {len(sizes)}, one a level, got {len(axes)}")
    box = None if gt_bbox is None else _numbers("gt_bbox", gt_bbox).astype(np.float64)
    if box is not None and box.size != 4:
        raise ValueError(f"gt_bbox: expected shape (4,), got {box.shape}")
    finite = np.where(np.isfinite(rows), rows, np.nan)
    known = finite[~np.isnan(finite)]
    limits = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    drawn = None
    parts = per_level(finite, counts)
    for i, (ax, part, (h, w)) in enumerate(zip(axes, parts, sizes, strict=True)):
        _style(ax)
        ax.set_facecolor(CANVAS)
        ax.set_aspect("equal")
        ax.set_xticks([])
        ax.set_yticks([])
        best = np.full((h, w), np.nan)
        if part.size:
            cell = part.reshape(h, w, -1)
            best = np.where(np.isnan(cell).all(-1), np.nan, np.max(np.nan_to_num(cell, nan=-np.inf), axis=-1))
        x, y = (1, 1) if pairs is None else pairs[i]
        extent = (0, w * x, h * y, 0)
        if best.size:
            drawn = ax.imshow(
                best, extent=extent, cmap="viridis", vmin=limits[0], vmax=limits[1], interpolation="nearest"
            )
        if box is not None and pairs is not None:
            outline = _outlines(box.reshape(1, 4))
            ax.add_collection(LineCollection(outline, colors="white", linewidths=2.4))
            ax.add_collection(LineCollection(outline, colors=UNMATCHED, linewidths=1.2))
        there = best[~np.isnan(best)]
        most = f": up to {there.max():.2f}" if there.size else ": none"
        ax.set_title(f"{names[i]}{most}", fontsize=10, color=INK)
    if drawn is not None:
        axes[0].figure.colorbar(drawn, ax=list(axes), label=label, shrink=0.8)
    return axes


def positives_histogram(
    positives: AssignResult | Array,
    *,
    gt_valid: Array | None = None,
    color: str = SIZE_COLORS[0],
    title: str | None = None,
    ax: Axes = None,
) -> Axes:
    """Draw how many objects have how many positives: none, 1, 2, 3-4, 5-8, ..., 65 and more.

    Parameters
    ----------
    positives : AssignResult, or array (..., G) of integers
        Positives of each ground truth; a batch's images count together.
    gt_valid : array (..., G) of bool, optional
        False where a ground truth is padding, which is not counted. Not given: all true.
    color : str
        Of the bars, but for the first: objects without positives are magenta.
    title : str, optional
        Default: how many objects there are, and their median.
    ax : matplotlib Axes, optional
        Where to draw. Default: a new figure's.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import numpy as np
    >>> ax = positives_histogram(np.array([0, 0, 1, 3, 4, 70]))
    >>> [int(bar.get_height()) for bar in ax.patches]
    [2, 1, 0, 2, 0, 0, 0, 0, 1]
    """
    totals = _totals(positives)
    totals = totals[_valid(gt_valid, totals.shape)]
    labels = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in pairwise(POSITIVE_EDGES)]
    labels.append(f"{POSITIVE_EDGES[-1]}+")
    bins = np.searchsorted(POSITIVE_EDGES, totals, side="right") - 1
    counts = np.bincount(bins, minlength=len(labels))
    ax = _axes(ax, (7.0, 3.2))
    bars = ax.bar(labels, counts, color=[UNMATCHED] + [color] * (len(labels) - 1), width=0.85)
    ax.bar_label(bars, [f"{c:,}" if c else "" for c in counts], fontsize=8, color=INK, padding=1)
    ax.margins(y=0.16)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    ax.set_ylabel("objects", fontsize=9, color=INK)
    ax.set_xlabel("positive priors of an object", fontsize=9, color=INK)
    if title is None:
        title = plural(len(totals), "object")
        if len(totals):
            title += f", median {np.median(totals):g} positives"
    ax.set_title(title, fontsize=10, color=INK, loc="left")
    without = int(np.sum(totals == 0))
    if without:
        text = f"{without / len(totals):.1%} without any"
        ax.set_title(text, fontsize=10, color=UNMATCHED, loc="right", fontweight="bold")
    return ax


def positives_by_level(
    positives: Mapping[str, Sequence[int]],
    *,
    level_names: Sequence[str],
    notes: Sequence[str] | None = None,
    title: str = "positives by feature level",
    ax: Axes = None,
) -> Axes:
    """Draw the positives of each feature level, stacked by groups such as the sizes of their objects.

    Parameters
    ----------
    positives : mapping of group to sequence of int
        Positives of the group on each level; groups of sizes come small, medium, large.
    level_names : sequence of str
        One for each level.
    notes : sequence of str, optional
        What stands above each bar. Default: its number of positives and their share.
    title : str
        Above the axes.
    ax : matplotlib Axes, optional
        Where to draw. Default: a new figure's.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> ax = positives_by_level({"small": (9, 0), "large": (1, 7)}, level_names=("P3", "P4"))
    >>> [text.get_text() for text in ax.texts]
    ['10 (59%)', '7 (41%)']
    """
    ax = _axes(ax, (8.0, 4.0))
    bottom = _stack(ax, np.arange(len(level_names)), positives, width=0.7)
    if notes is None:
        whole = max(float(bottom.sum()), 1.0)
        notes = [f"{int(n):,} ({n / whole:.0%})" if n else "0" for n in bottom]
    for i, text in enumerate(notes):
        ax.annotate(
            text, (i, bottom[i]), (0, 3), textcoords="offset points", ha="center", fontsize=8, color=INK
        )
    ax.set_xticks(range(len(level_names)), list(level_names))
    ax.set_ylim(0, 1.2 * max(float(bottom.max(initial=0)), 1))
    ax.set_ylabel("positive priors", fontsize=9, color=INK)
    if bottom.any():
        ax.legend(fontsize=8, frameon=False, title="object size", title_fontsize=8)
    ax.set_title(title, fontsize=12, color=INK)
    return ax


def best_overlaps(
    counts: Mapping[str, Sequence[int]],
    *,
    edges: Sequence[float],
    thresholds: Mapping[str, float] | None = None,
    compared: str = "prior",
    title: str = "best overlap",
    ax: Axes = None,
) -> Axes:
    """Draw a histogram of the objects' best overlaps, stacked by groups, with thresholds as lines.

    Parameters
    ----------
    counts : mapping of group to sequence of int
        Objects of the group in each bin; groups of sizes come small, medium, large.
    edges : sequence of float
        Of the bins, one more than there are.
    thresholds : mapping of str to float, optional
        Overlaps an assigner compares with, by the knob's name; equal ones share a line.
    compared : str, default "prior"
        What the objects overlap.
    title : str
        Above the axes.
    ax : matplotlib Axes, optional
        Where to draw. Default: a new figure's.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> ax = best_overlaps({"small": [3, 1]}, edges=[0.0, 0.5, 1.0], thresholds={"pos_iou_thr": 0.5})
    >>> [int(bar.get_height()) for bar in ax.patches], list(ax.lines[0].get_xdata())
    ([3, 1], [0.5, 0.5])
    """
    ax = _axes(ax, (8.0, 4.0))
    left, right = np.asarray(edges[:-1], dtype=np.float64), np.asarray(edges[1:], dtype=np.float64)
    bottom = _stack(ax, left, counts, width=0.92 * (right - left), align="edge")
    for value, knobs in _by_value(thresholds or {}).items():
        style = THRESHOLD_STYLES.get(knobs[0], "-")
        ax.axvline(value, color=INK, linestyle=style, linewidth=1.4, label=f"{' = '.join(knobs)} = {value:g}")
    ax.set_xlim(left[0], right[-1])
    ax.set_ylim(0, 1.08 * max(float(bottom.max(initial=0)), 1))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_xlabel(f"best IoU of an object with any {compared}", fontsize=9, color=INK)
    ax.set_ylabel("objects", fontsize=9, color=INK)
    ax.figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    ax.set_title(title, fontsize=12, color=INK)
    return ax


def _stack(ax: Axes, x: HostArray, groups: Mapping[str, Sequence[int]], **bars: Any) -> HostArray:
    """Draw a bar of each group at `x`, one group above the other; return the height of all."""
    bottom = np.zeros(len(x))
    for i, (name, counts) in enumerate(groups.items()):
        heights = np.asarray(counts, dtype=np.float64)
        if np.any(heights):
            color = SIZE_COLORS[i % len(SIZE_COLORS)]
            ax.bar(x, heights, bottom=bottom, color=color, label=name, **bars)
        bottom = bottom + heights
    return bottom


def _by_value(thresholds: Mapping[str, float]) -> dict[float, list[str]]:
    """List the knobs of each value."""
    found: dict[float, list[str]] = {}
    for knob, value in thresholds.items():
        found.setdefault(value, []).append(knob)
    return found


def comparison(
    assigners: Sequence[str],
    *,
    groups: Sequence[str],
    without_positives: Sequence[Sequence[float]],
    mean_positives: Sequence[Sequence[float]],
    axes: Any = None,
) -> Any:
    """Draw assigners one below another: objects without positives, and mean positives, by groups of objects.

    Parameters
    ----------
    assigners : sequence of str
        Their names, R of them.
    groups : sequence of str
        What the columns are headed by, K of them; those of sizes come small, medium, large.
    without_positives : (R, K) floats
        Shares of the objects that have none, from 0 to 1.
    mean_positives : (R, K) floats
        Positives of an object.
    axes : array (2, K) of matplotlib Axes, optional
        Where to draw; they share their y axes. Default: a new figure's.

    Returns
    -------
    array (2, K) of matplotlib Axes

    Raises
    ------
    ValueError
        If there is no assigner or no group, or the shapes do not fit.

    Examples
    --------
    >>> axes = comparison(
    ...     ["rpn", "atss"], groups=["small"], without_positives=[[0.5], [0.0]], mean_positives=[[1.0], [9.0]]
    ... )
    >>> [int(bar.get_width()) for bar in axes[0, 0].patches]
    [50, 0]
    """
    shape = (len(assigners), len(groups))
    without, means = np.asarray(without_positives, dtype=float), np.asarray(mean_positives, dtype=float)
    for name, x in (("without_positives", without), ("mean_positives", means)):
        if x.shape != shape or 0 in shape:
            raise ValueError(f"{name}: expected a number for each assigner and group, {shape}, got {x.shape}")
    if axes is None:
        size = (3 + 2.4 * len(groups), 1.8 + 0.56 * len(assigners))
        _, axes = plt.subplots(
            2, len(groups), figsize=size, layout="constrained", squeeze=False, sharey=True, sharex="row"
        )
    for ax in axes.flat:
        _style(ax)
    for column, group in enumerate(groups):
        above, below = axes[:, column]
        above.set_title(group, fontsize=10, color=INK, loc="left")
        _bars(above, assigners, 100 * without[:, column], UNMATCHED)
        _bars(below, assigners, means[:, column], (*SIZE_COLORS, INK)[column % 4])
    # Room for the values to the right of the longest bars.
    axes[0, 0].set_xlim(0, max(125 * without.max(), 10))
    most = max(1.0, means.max())
    axes[1, 0].set_xscale("symlog", linthresh=1, linscale=0.6)
    axes[1, 0].set_xlim(0, 6 * most)
    for ax in axes[1]:
        ax.set_xticks([0, *(10**n for n in range(int(np.log10(most)) + 1))])
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.minorticks_off()
    axes[0, 0].set_ylabel("objects without\nany positive, %", fontsize=10, color=UNMATCHED)
    axes[1, 0].set_ylabel("mean positives of an\nobject, logarithmic", fontsize=10, color=INK)
    return axes


def _bars(ax: Axes, names: Sequence[str], values: HostArray, color: str) -> None:
    """Draw a bar for each name, from the top down, with its value."""
    bars = ax.barh(range(len(names)), values, 0.72, color=color)
    ax.bar_label(bars, [f"{v:.1f}" if v < 100 else f"{v:,.0f}" for v in values], fontsize=8, padding=2)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)


def side_by_side(
    results: Mapping[str, AssignResult],
    priors: Array | Mapping[str, Array],
    gt_bboxes: Array,
    *,
    num_level_priors: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    axes: Any = None,
    **options: Any,
) -> Any:
    """Draw what several assigners make of one image, beside each other.

    Parameters
    ----------
    results : mapping of str to AssignResult
        One for each assigner, of one image, by the name to be shown.
    priors : array, or mapping of str to array
        As in :func:`assignment`; a mapping where the assigners have priors of their own.
    gt_bboxes : array (G, 4) or (G, 5)
        Boxes x1, y1, x2, y2 in pixels.
    num_level_priors : sequence of int, or mapping of str to sequence of int, optional
        Priors of each feature level.
    axes : sequence of matplotlib Axes, optional
        As many as results. Default: a new figure's.
    **options
        Further arguments of :func:`assignment`.

    Returns
    -------
    array of matplotlib Axes

    Raises
    ------
    ValueError
        If there is no result, or not one of the axes for each.

    Examples
    --------
    >>> from assigncore import ATSSAssigner, MaxIoUAssigner, sample_dataset
    >>> from assigncore.priors import atss_anchors
    >>> crowns = sample_dataset()[3]
    >>> anchors = atss_anchors(crowns.image_shape)
    >>> levels = anchors.num_level_priors
    >>> boxes = crowns.gt_bboxes
    >>> atss = ATSSAssigner(topk=9).assign(anchors.priors, boxes, num_level_priors=levels)
    >>> max_iou = MaxIoUAssigner(0.5, 0.4).assign(anchors.priors, boxes)
    >>> results = {"ATSS": atss, "max IoU": max_iou}
    >>> axes = side_by_side(results, anchors.priors, boxes, num_level_priors=levels)
    >>> [ax.get_title(loc="left") for ax in axes]
    ['ATSS: 289 positives, 0 objects without', 'max IoU: 648 positives, 0 objects without']
    """
    if not results:
        raise ValueError("results: expected at least one, by name, got none")
    if axes is None:
        columns = len(results)
        _, axes = plt.subplots(1, columns, figsize=(7.0 * columns, 7.6), squeeze=False, layout="constrained")
    axes = np.asarray(axes, dtype=object).reshape(-1)
    if len(axes) != len(results):
        raise ValueError(f"axes: expected {len(results)}, one a result, got {len(axes)}")
    valid = options.get("gt_valid")
    for ax, (name, result) in zip(axes, results.items(), strict=True):
        totals = _totals(result)
        counted = totals[_valid(valid, totals.shape)]
        without = int(np.sum(counted == 0))
        positives = int(np.sum(_one_image(result) > 0))
        assignment(
            result,
            priors[name] if isinstance(priors, Mapping) else priors,
            gt_bboxes,
            num_level_priors=(
                num_level_priors[name] if isinstance(num_level_priors, Mapping) else num_level_priors
            ),
            title=f"{drawable(name)}: {plural(positives, 'positive')}, {plural(without, 'object')} without",
            ax=ax,
            **options,
        )
    return axes


def history(reports: Sequence[Mapping[str, float]], *, axes: Any = None) -> Any:
    """Draw what a :class:`assigncore.Monitor` has reported, epoch by epoch.

    Parameters
    ----------
    reports : sequence of dict
        ``monitor.history``.
    axes : sequence of four matplotlib Axes, optional
        Where to draw. Default: a new figure's.

    Returns
    -------
    array of four matplotlib Axes
        Positives of an object, by size; objects without positives, by size; positives by level; instability.

    Raises
    ------
    ValueError
        If there is no report, or not four axes.

    Examples
    --------
    >>> reports = [{"epoch": i, "positives_per_object/small": 3.0 + i} for i in range(3)]
    >>> axes = history(reports)
    >>> axes[0].lines[0].get_ydata()
    array([3., 4., 5.])
    """
    if not reports:
        raise ValueError("reports: expected those of at least one epoch, got none")
    if axes is None:
        _, axes = plt.subplots(2, 2, figsize=(11.0, 6.4), layout="constrained")
    axes = np.asarray(axes, dtype=object).reshape(-1)
    if len(axes) != 4:
        raise ValueError(f"axes: expected four, got {len(axes)}")
    sizes = {name: (name, SIZE_COLORS[i]) for i, name in enumerate(SIZE_CLASSES)}
    levels = {
        f"level_{i}": (f"level {i}", LEVEL_COLORS[i % len(LEVEL_COLORS)])
        for i in range(max((_levels_of(report) for report in reports), default=0))
    }
    panels = (
        ("positives of an object", "positives_per_object", sizes, 1),
        ("objects without positives, %", "without_positives_share", sizes, 100),
        ("positives by level, %", "positives_share", levels, 100),
    )
    epochs = np.asarray([report["epoch"] for report in reports])
    for ax, (title, key, series, factor) in zip(axes, panels, strict=False):
        for suffix, (name, color) in series.items():
            _line(ax, epochs, [factor * r.get(f"{key}/{suffix}", np.nan) for r in reports], name, color)
        _finish(ax, title)
    last = axes[3]
    _line(last, epochs, [r.get("instability", np.nan) for r in reports], "predictions of an image", INK)
    _finish(last, "instability: matches that are not the epoch before's")
    return axes


def _levels_of(report: Mapping[str, float]) -> int:
    return sum(key.startswith("positives_share/level_") for key in report)


def _line(ax: Axes, x: HostArray, values: Sequence[float], name: str, color: str) -> None:
    y = np.asarray(values, dtype=np.float64)
    if not np.isnan(y).all():
        ax.plot(x, y, color=color, label=name, marker="o", markersize=3.5, linewidth=1.6)


def drawable(text: str, limit: int = MAX_NAME) -> str:
    r"""Write a name of somebody else's so that it is drawn as it stands, on one line, cut where it is long.

    A dollar sign begins no mathematics, and a character that the font lacks is a square.

    Examples
    --------
    >>> print(drawable("a$b$ 木"))
    a\$b\$ □
    """
    font = get_font(findfont(FontProperties()))
    known = [c if font.get_char_index(ord(c)) else MISSING_GLYPH for c in shown(text, limit)]
    return "".join(known).replace("$", r"\$")


def _finish(ax: Axes, title: str) -> None:
    _style(ax)
    ax.set_title(title, fontsize=10, color=INK, loc="left")
    ax.set_xlabel("epoch", fontsize=9, color=INK)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    if ax.lines:
        ax.set_ylim(bottom=0)
        ax.legend(fontsize=8, frameon=False)
    else:
        ax.text(0.5, 0.5, "not measured", ha="center", va="center", color=FAINT, transform=ax.transAxes)


def _axes(ax: Axes, size: tuple[float, float]) -> Axes:
    """Return the axes that were given, or a new figure's, in the style of all pictures."""
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    _style(ax)
    return ax


def _style(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(colors=INK, labelsize=9, length=3)


def _numbers(name: str, x: Array) -> HostArray:
    """Return an array of any library, or a list, in NumPy."""
    return host_array(name, x, "real floating", "integral")


def _valid(gt_valid: Array | None, shape: tuple[int, ...]) -> HostArray:
    """Return which ground truths count, of a shape."""
    if gt_valid is None:
        return np.ones(shape, dtype=bool)
    return of_gts("gt_valid", gt_valid, shape, "bool")


def _level_names(names: Sequence[str] | None, levels: int) -> tuple[str, ...]:
    names = [f"level {i}" for i in range(levels)] if names is None else names
    return check_names("level_names", names, levels)


def _check_switch(name: str, value: bool | None) -> None:
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{name}: expected True, False or None, got {value!r}")


def _stride_pairs(strides: Sequence[int | tuple[int, int]], levels: int) -> list[tuple[float, float]]:
    """Return the strides of each level in x and y."""
    each = strides if isinstance(strides, tuple | list) else ()
    x, y = (
        check_strides(
            "strides", [s[axis] if isinstance(s, tuple | list) and len(s) == 2 else s for s in each], levels
        )
        for axis in (0, 1)
    )
    return list(zip(x, y, strict=True))


def _boxes(x: Array, name: str = "gt_bboxes") -> HostArray:
    boxes = _numbers(name, x).astype(np.float64)
    if boxes.ndim != 2 or boxes.shape[-1] not in BOX_COLUMNS:
        raise ValueError(
            f"{name}: expected shape (n, 4) or (n, 5), the boxes of one image, got {boxes.shape}"
        )
    return boxes


def _upright(boxes: HostArray) -> HostArray:
    """Return boxes x1, y1, x2, y2 (n, 4) around boxes of either form."""
    return boxes if boxes.shape[-1] == 4 else np.asarray(xywhr_to_xyxy(boxes))


def _one_image(result: AssignResult) -> HostArray:
    """Return the codes of a result of one image."""
    check_result("result", result)
    if result.gt_inds.ndim != 1:
        shape = tuple(result.gt_inds.shape)
        raise ValueError(f"result: expected one image's, such as result[0], got gt_inds of shape {shape}")
    return _numbers("result.gt_inds", result.gt_inds)


def _totals(positives: AssignResult | Array) -> HostArray:
    counts = positives.positives_per_gt if isinstance(positives, AssignResult) else positives
    return _numbers("positives", counts).astype(np.int64)


def _canvas(
    ax: Axes, image: Any, image_shape: tuple[int, int] | None, reach: HostArray
) -> tuple[float, float]:
    """Set the axes to the image's pixels, and draw it faded so that lines stand out."""
    picture = _picture(image)
    if image_shape is not None:
        height, width = map(float, check_image_shape(image_shape, above=0))
    elif picture is not None:
        height, width = map(float, picture.shape[:2])
    else:
        finite = reach[np.isfinite(reach).all(axis=-1)]
        width, height = (float(finite[:, [i, i + 2]].max(initial=1.0)) for i in (0, 1))
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_facecolor(CANVAS)
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(FAINT)
    if picture is not None:
        ax.imshow(picture, extent=(0, width, height, 0), alpha=0.55, cmap="gray", interpolation="bilinear")
    return width, height


def _picture(image: Any) -> HostArray | None:
    """Return the pixels of an array or a file, channels last."""
    if image is None:
        return None
    if isinstance(image, str | PathLike):
        pixels = read_image(image)
    else:
        pixels = host_array("image", image, "real floating", "integral", "bool")
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[-1] not in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, -1)
    if (
        pixels.size == 0
        or pixels.ndim not in (2, 3)
        or (pixels.ndim == 3 and pixels.shape[-1] not in (1, 3, 4))
    ):
        raise ValueError(f"image: expected shape (H, W), (H, W, 3) or (3, H, W), got {pixels.shape}")
    return pixels


def read_image(path: str | PathLike[str]) -> HostArray:
    """Read the pixels of an image file, turned as its EXIF orientation says."""
    with PIL.Image.open(path) as file:
        turned = PIL.ImageOps.exif_transpose(file)
        return np.asarray(turned if turned.mode in PLAIN_MODES else turned.convert("RGBA"))


def _line_width(count: int) -> float:
    """Draw thinner lines the more boxes there are."""
    return float(np.clip(2.4 - 0.4 * np.log10(max(count, 1)), 0.9, 2.4))


def _outlines(boxes: HostArray) -> Any:
    """Corners of boxes of either form as closed lines, shape (n, 5, 2)."""
    if boxes.shape[-1] != 4:
        return np.asarray(xywhr_to_corners(boxes))[:, [0, 1, 2, 3, 0]]
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3, 0, 1]].reshape(-1, 5, 2)


def _spacing(centers: HostArray) -> float:
    """Pixels between neighbouring centres of a level's grid; 0 where there is none to tell."""
    steps = []
    for axis in (0, 1):
        places = np.unique(np.round(centers[:, axis], 2))
        if len(places) > 1:
            steps.append(float(np.diff(places).min()))
    return min(steps, default=0.0)


def _points_per_pixel(ax: Axes, width: float, height: float) -> float:
    """Points of the page for a pixel of the image, in the axes as they are laid out so far."""
    frame = ax.get_window_extent()
    return float(min(frame.width / max(width, 1), frame.height / max(height, 1)) * 72 / ax.figure.dpi)


def _dots(ax: Axes, centers: HostArray, spacing: float, color: str, order: float) -> None:
    """Draw a dot for each place, larger the more positives it has, none wider than places are apart."""
    _, first, place = np.unique(centers, axis=0, return_index=True, return_inverse=True)
    counts = np.bincount(place.reshape(-1))
    # In the order in which they come, not sorted by x.
    kept = np.argsort(first, kind="stable")
    at, counts = centers[first[kept]], counts[kept]
    diameter = float(np.clip(0.85 * spacing, *DOT_POINTS))
    areas = diameter**2 * (0.35 + 0.65 * counts / counts.max())
    ax.scatter(at[:, 0], at[:, 1], s=areas, color=color, alpha=0.75, linewidths=0, zorder=order)


def _draw_unmatched(ax: Axes, boxes: HostArray, line: float) -> None:
    """Fill and outline what got no positive."""
    shapes = PolyCollection(_outlines(boxes), facecolors=UNMATCHED + "55", edgecolors=UNMATCHED, zorder=5)
    shapes.set_linewidth(line + 0.4)
    ax.add_collection(shapes)


def _draw_keypoints(ax: Axes, poses: HostArray, boxes: HostArray, color: str) -> None:
    """Draw the keypoints x, y, visibility (n, K, 3) that are labelled, as dots, smaller in smaller boxes."""
    labelled = poses[..., 2] != 0
    x, y = poses[labelled][:, :2].T
    upright = _upright(boxes)
    sides = np.max(upright[:, 2:] - upright[:, :2], axis=1, initial=0)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    scale = _points_per_pixel(ax, abs(right - left), abs(top - bottom))
    diameter = np.repeat(np.clip(KEYPOINT_SHARE * sides * scale, *KEYPOINT_POINTS), labelled.sum(axis=1))
    ax.scatter(x, y, s=diameter**2, color=color, edgecolors="white", linewidths=diameter / 12, zorder=6)


def _unmatched_handle(label: str) -> Patch:
    return Patch(facecolor=UNMATCHED + "55", edgecolor=UNMATCHED, label=label)


def _legend(ax: Axes, handles: Sequence[Any]) -> None:
    """Put the legend below the axes, where it covers nothing, in as many columns as there is room for."""
    place = ax.get_subplotspec()
    room = (
        ax.bbox.width
        if place is None
        else ax.figure.bbox.width * len(place.colspan) / place.get_geometry()[1]
    )
    for columns in range(min(len(handles), 4), 0, -1):
        legend = ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=columns,
            fontsize=9,
            frameon=False,
            columnspacing=1.2,
            handlelength=1.4,
        )
        # A wider one would leave the axes no room: layouts shrink them until the legend fits.
        if legend.get_window_extent().width <= room:
            break
