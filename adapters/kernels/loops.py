"""Compiled loops by which the NumPy backend answers questions about pairs: the extra ``fast``.

One loop runs over blocks of priors, a formula gives a row of values of one ground truth with a block, and a
reducer keeps what was asked. No loop knows a threshold, a label or an ignore rule, and each gives the bits of
the portable version: sums and products in its order, never contracted.

All loops are in this one file, since numba's cache on disk notices a change of the file a loop is in alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from assigncore.boxes.gaussians import LEAST_SIDE

__all__ = [
    "GIOU",
    "INSIDE",
    "INSIDE_BY_MARGIN",
    "INSIDE_OR_ON",
    "IOF_OF_GT",
    "IOF_OF_PRIOR",
    "IOU",
    "NEAR",
    "NORMALIZED_WASSERSTEIN",
    "RECEPTIVE_FIELD",
    "ROTATED_IOF_OF_GT",
    "ROTATED_IOF_OF_PRIOR",
    "ROTATED_IOU",
    "TOUCHING",
    "TURNED",
    "attaining",
    "best_both_ways",
    "k_most_overlapping",
    "k_most_similar",
    "k_nearest_by_l1",
    "k_nearest_points",
    "k_smallest_of_rows",
    "list_pairs",
    "most_similar_both_ways",
    "pairwise",
    "row_by_row",
    "rows_within",
]

Loop = TypeVar("Loop", bound=Callable[..., Any])
Host = Any

IOU, IOF_OF_GT, IOF_OF_PRIOR, GIOU = 0, 1, 2, 3
"""Formulas of :mod:`assigncore.boxes.formulas`."""

ROTATED_IOU, ROTATED_IOF_OF_GT, ROTATED_IOF_OF_PRIOR = 4, 5, 6
"""Formulas of :mod:`assigncore.boxes.oriented`, of boxes by their planes there."""

NORMALIZED_WASSERSTEIN, RECEPTIVE_FIELD = 7, 8
"""Formulas of :mod:`assigncore.boxes.gaussians`: similarities, which fall with a distance and are never 0."""

SIDES = 4
"""Columns of boxes that have no more: x1, y1, x2, y2."""

INSIDE, INSIDE_BY_MARGIN, INSIDE_OR_ON, NEAR, TOUCHING = 0, 1, 2, 3, 4
"""Relations of :mod:`assigncore.pairs.relations`."""

TURNED = 5
"""What is added to the first three for oriented boxes: x, y, half the sides, cosine and sine."""

SLACK = 1.001
"""By how much more than its sides an oriented box may reach: rounding takes much less."""

BLOCK = 256
"""Priors of a block, whose columns and values stay in the first-level cache."""

POINTS = 64
"""Points of a block in a search of the nearest."""

NEARBY = 64
"""Priors of a block whose similarities a distance bounds: of fewer, it bounds them more narrowly."""

ABREAST = 64
"""Blocks whose distances from a ground truth are bounded at once."""

WORD = 8
"""Bytes of a number by which so many of them are tested at once."""

OPTIONS: Any = {"error_model": "numpy", "nogil": True}
"""How loops are compiled: without ``fastmath``, which contracts, and ``parallel``, which no fork survives."""

# A call within a loop, left to the compiler, may keep it from vectors.
inlined = cast("Callable[[Loop], Loop]", njit(error_model="numpy", forceinline=True))


def compiled(loop: Loop) -> Loop:
    """Compile a loop at its first call, and keep it on disk where some folder for it can be written."""
    try:
        return cast("Loop", njit(**OPTIONS, cache=True)(loop))
    except RuntimeError:
        warnings.warn(
            "assigncore: no folder for compiled loops can be written, so they are compiled anew in each "
            "process; NUMBA_CACHE_DIR may name one",
            RuntimeWarning,
            stacklevel=1,
        )
        return cast("Loop", njit(**OPTIONS)(loop))


# -- Formulas ------------------------------------------------------------------------------------------------


@inlined
def larger(a: Any, b: Any) -> Any:
    return a if a > b else b


@inlined
def smaller(a: Any, b: Any) -> Any:
    return a if a < b else b


@inlined
def index(i: Any) -> Any:
    """Return an index that is surely not negative: one that may be keeps compilers from vectors."""
    return np.uint64(i)


@inlined
def corners(boxes: Host, image: int, row: int) -> Any:
    """Return the sides of a box, or of the one around an oriented box, its area, and its other planes."""
    x1, y1, x2, y2 = boxes[image, row, 0], boxes[image, row, 1], boxes[image, row, 2], boxes[image, row, 3]
    area = (x2 - x1) * (y2 - y1)
    x = y = half_w = half_h = c = s = boxes.dtype.type(0)
    if boxes.shape[2] > SIDES:
        area, x, y = boxes[image, row, 4], boxes[image, row, 5], boxes[image, row, 6]
        half_w, half_h = boxes[image, row, 7], boxes[image, row, 8]
        c, s = boxes[image, row, 9], boxes[image, row, 10]
    return x1, y1, x2, y2, area, x, y, half_w, half_h, c, s


@inlined
def touches(boxes: Host, image: int, row: int, x1: Any, y1: Any, x2: Any, y2: Any) -> Any:
    """Tell whether a box shares some area with the bounds of a block, before anything else is read of it."""
    return (
        x1 < boxes[image, row, 2]
        and x2 > boxes[image, row, 0]
        and y1 < boxes[image, row, 3]
        and y2 > boxes[image, row, 1]
    )


@inlined
def shared_area(g: Any, c: Host, i: int, zero: Any) -> Any:
    width = larger(smaller(g[2], c[2, i]) - larger(g[0], c[0, i]), zero)
    return larger(width * (smaller(g[3], c[3, i]) - larger(g[1], c[1, i])), zero)


@inlined
def clamped(x: Any, low: Any, high: Any) -> Any:
    return smaller(larger(x, low), high)


@inlined
def beneath(
    x0: Any, y0: Any, x1: Any, y1: Any, left: Any, right: Any, low: Any, high: Any, zero: Any, one: Any
) -> Any:
    """Integrate the height of a side, cut off at `low` and `high`, from `left` to `right`."""
    first, last = clamped(x0, left, right), clamped(x1, left, right)
    run, rise = x1 - x0, y1 - y0
    run = one if run == zero else run
    skipped = smaller(larger((first - x0) / run, zero), one)
    spared = smaller(larger((x1 - last) / run, zero), one)
    from_y, to_y = y0 + skipped * rise, y1 - spared * rise
    bottom, top = smaller(from_y, to_y), larger(from_y, to_y)
    span = top - bottom
    span = span if span > zero else one
    above = larger(top - larger(bottom, high), zero) / span
    below = larger(smaller(top, low) - bottom, zero) / span
    half = one / (one + one)
    middle = (clamped(from_y, low, high) + clamped(to_y, low, high)) * half
    mean = (middle + above * (high - middle)) + below * (low - middle)
    return (last - first) * mean


@inlined
def shared_rotated_area(a: Any, b: Host, i: int, zero: Any, one: Any) -> Any:
    """Compute the area that an oriented box and one of a block, a column of `b`, have in common."""
    apart = (a[0] >= b[2, i]) | (a[2] <= b[0, i]) | (a[1] >= b[3, i]) | (a[3] <= b[1, i])
    if apart:
        return zero
    dx, dy = a[5] - b[5, i], a[6] - b[6, i]
    own_w, own_h, own_c, own_s = a[7], a[8], a[9], a[10]
    other_w, other_h, other_c, other_s = b[7, i], b[8, i], b[9, i], b[10, i]
    x, y = dx * other_c + dy * other_s, dy * other_c - dx * other_s
    c, s = own_c * other_c + own_s * other_s, own_s * other_c - own_c * other_s
    wx, wy, hx, hy = own_w * c, own_w * s, -(own_h * s), own_h * c
    if abs(x) >= (abs(wx) + abs(hx)) + other_w or abs(y) >= (abs(wy) + abs(hy)) + other_h:
        return zero
    u, v = dx * own_c + dy * own_s, dy * own_c - dx * own_s
    along, across = other_w * abs(c) + other_h * abs(s), other_w * abs(s) + other_h * abs(c)
    if abs(u) >= own_w + along or abs(v) >= own_h + across:
        return zero
    left, low = zero, zero
    if a[4] < b[4, i]:
        left, low, x, y = -x, -y, zero, zero
    right, high = left + other_w, low + other_h
    left, low = left - other_w, low - other_h
    level = clamped(y, low, high)
    y, low, high = y - level, low - level, high - level
    x0, y0, x1, y1 = x + (wx - hx), y + (wy - hy), x + (wx + hx), y + (wy + hy)
    x2, y2, x3, y3 = x - (wx - hx), y - (wy - hy), x - (wx + hx), y - (wy + hy)
    total = beneath(x3, y3, x0, y0, left, right, low, high, zero, one)
    total = total + beneath(x0, y0, x1, y1, left, right, low, high, zero, one)
    total = total + beneath(x1, y1, x2, y2, left, right, low, high, zero, one)
    total = total + beneath(x2, y2, x3, y3, left, right, low, high, zero, one)
    return smaller(larger(-total, zero), smaller(a[4], b[4, i]))


@inlined
def rotated_overlap(formula: int, a: Any, b: Host, i: int, zero: Any) -> Any:
    """Compute the overlap of an oriented box with one of a block, by their planes."""
    one = b.dtype.type(1)
    shared = shared_rotated_area(a, b, i, zero, one)
    if formula == ROTATED_IOU:
        whole = (a[4] + b[4, i]) - shared
    elif formula == ROTATED_IOF_OF_GT:
        whole = a[4]
    else:
        whole = b[4, i]
    return shared / (whole if whole > zero else one)


@inlined
def overlap(formula: int, g: Any, c: Host, i: int, zero: Any, eps: Any) -> Any:
    """Compute the overlap of a box with one of a block, whose sides and areas are the columns of `c`."""
    shared = shared_area(g, c, i, zero)
    if formula == IOF_OF_GT:
        return shared / larger(g[4], eps)
    if formula == IOF_OF_PRIOR:
        return shared / larger(c[4, i], eps)
    union = larger((g[4] + c[4, i]) - shared, eps)
    if formula == IOU:
        return shared / union
    width = larger(larger(g[2], c[2, i]) - smaller(g[0], c[0, i]), zero)
    height = larger(larger(g[3], c[3, i]) - smaller(g[1], c[1, i]), zero)
    enclosing = larger(width * height, eps)
    return shared / union - (enclosing - union) / enclosing


# -- Elementary functions ------------------------------------------------------------------------------------
#
# Those of float32 are rounded from float64: a formula that compilers vectorise comes within a part in 2**41
# of the exact value, which nearly always settles how it is rounded. Where it does not, the library is asked.

LOWER, HIGHER = 1 - 2.0**-40, 1 + 2.0**-40
"""What an exact value is between, in units of the near one."""

LN_2, PER_LN_2 = math.log(2), 1 / math.log(2)

SHIFTER = 1.5 * 2.0**52
"""Added to a small number it leaves the nearest integer in the last bits."""

EXPONENT_BITS = np.int64(52)
"""Where the exponent of a float64 begins."""

BITS_OF_1 = np.int64(1023 << 52)
BITS_OF_SHIFTER, BITS_OF_ROOT = np.array([SHIFTER, math.sqrt(0.5)]).view(np.int64)

SHORT_EXPONENT_BITS = np.int32(23)
"""Where the exponent of a float32 begins."""

SHORT_BITS_OF_1, SHORT_BITS_OF_ROOT = np.array([1, math.sqrt(0.5)], np.float32).view(np.int32)

NO_EXPONENT = -110.0
"""Of what is lower the exponential is 0 in float32."""


@inlined
def exp_near(x: Any) -> Any:
    """Compute the exponential of a float64 from -110 to 0: a Taylor polynomial and a power of two."""
    shifted = x * PER_LN_2 + SHIFTER
    r = x - (shifted - SHIFTER) * LN_2
    z = r * r
    even = (((z * (1 / 3628800) + 1 / 40320) * z + 1 / 720) * z + 1 / 24) * z + 1 / 2
    odd = (((z * (1 / 362880) + 1 / 5040) * z + 1 / 120) * z + 1 / 6) * z + 1.0
    power = np.int64((np.float64(shifted).view(np.int64) << EXPONENT_BITS) + BITS_OF_1)
    return ((even * z + 1.0) + odd * r) * power.view(np.float64)


@inlined
def log_near(x: Any) -> Any:
    """Compute the logarithm of a positive float32 as float64: that of 2, and a series of the area tangent."""
    bits = np.float64(x).view(np.int64)
    exponent = ((bits - BITS_OF_ROOT + BITS_OF_1) >> EXPONENT_BITS) - np.int64(1023)
    # From the root of a half to the root of 2.
    rest = np.int64(bits - (exponent << EXPONENT_BITS)).view(np.float64) - 1.0
    s = rest / (rest + 2.0)
    z = s * s
    y = z * z
    even = ((y * (1 / 13) + 1 / 9) * y + 1 / 5) * y + 1.0
    odd = ((y * (1 / 15) + 1 / 11) * y + 1 / 7) * y + 1 / 3
    twos = np.int64(exponent + BITS_OF_SHIFTER).view(np.float64) - SHIFTER
    return twos * LN_2 + (s + s) * (even + odd * z)


@inlined
def log_about(x: Any) -> Any:
    """Compute the logarithm of a positive float32, wrong by at most a part in 2**22 or as much of 1."""
    bits = np.float32(x).view(np.int32)
    exponent = np.int32((bits - SHORT_BITS_OF_ROOT + SHORT_BITS_OF_1) >> SHORT_EXPONENT_BITS) - np.int32(127)
    rest = np.int32(bits - (exponent << SHORT_EXPONENT_BITS)).view(np.float32) - np.float32(1)
    s = rest / (rest + np.float32(2))
    z = s * s
    series = ((z * np.float32(1 / 7) + np.float32(1 / 5)) * z + np.float32(1 / 3)) * z + np.float32(1)
    return np.float32(exponent) * np.float32(LN_2) + (s + s) * series


@inlined
def rounded(near: Any) -> Any:
    """Round what is near the exact value to float32, unless :func:`is_doubtful` of it."""
    return np.float32(near * LOWER)


@inlined
def is_doubtful(near: Any) -> Any:
    """Tell whether the exact value may round otherwise."""
    return np.float32(near * LOWER) != np.float32(near * HIGHER)


# -- Similarities --------------------------------------------------------------------------------------------


@inlined
def sums_of(formula: int, g: Any, least: Any) -> Any:
    """Return what a similarity reads of a box: the sums of opposite sides, and their differences."""
    w, h = g[2] - g[0], g[3] - g[1]
    if formula == RECEPTIVE_FIELD:
        w, h = larger(w, least), larger(h, least)
    return g[0] + g[2], g[1] + g[3], w, h


@inlined
def wasserstein(s: Any, c: Host, i: int, constant: Any) -> Any:
    """Compute the distance of two boxes, of which `s` and `c` have the sums, by a constant."""
    half = c.dtype.type(0.5)
    apart_x, apart_y = (s[0] - c[0, i]) * half, (s[1] - c[1, i]) * half
    sides_x, sides_y = (s[2] - c[2, i]) * half, (s[3] - c[3, i]) * half
    squares = (apart_x * apart_x + sides_x * sides_x) + (apart_y * apart_y + sides_y * sides_y)
    return np.sqrt(squares) / constant


@inlined
def receptive_field(s: Any, c: Host, i: int, log_w: Any, log_h: Any) -> Any:
    """Compute the similarity of a box and a field, by the logarithms of how many times as large it is."""
    one, two, half = c.dtype.type(1), c.dtype.type(2), c.dtype.type(0.5)
    size_w, size_h = c[2, i] / s[2], c[3, i] / s[3]
    shift_x, shift_y = (s[0] - c[0, i]) / s[2], (s[1] - c[1, i]) / s[3]
    along_x = (size_w * size_w + shift_x * shift_x) - log_w * two
    along_y = (size_h * size_h + shift_y * shift_y) - log_h * two
    divergence = larger((along_x + along_y) * half - one, c.dtype.type(0))
    return one / (divergence + one)


@inlined
def similarity(formula: int, s: Any, c: Host, i: int, knob: Any) -> Any:
    """Compute the similarity of a box and one of a block, by the library's elementary functions."""
    if formula == NORMALIZED_WASSERSTEIN:
        return np.float32(math.exp(-np.float64(wasserstein(s, c, i, knob))))
    log_w = np.float32(math.log(np.float64(c[2, i] / s[2])))
    log_h = np.float32(math.log(np.float64(c[3, i] / s[3])))
    return receptive_field(s, c, i, log_w, log_h)


@inlined
def fill_similarities(formula: int, s: Any, c: Host, first: int, n: int, knob: Any, values: Host) -> None:
    """Compute the similarities of a box, by its sums, with `n` priors from `first` on, of columns `c`."""
    doubts = 0
    if formula == NORMALIZED_WASSERSTEIN:
        for i in range(n):
            near = exp_near(larger(-np.float64(wasserstein(s, c, index(first + i), knob)), NO_EXPONENT))
            values[i] = rounded(near)
            doubts += is_doubtful(near)
    else:
        for i in range(n):
            at = index(first + i)
            near_w, near_h = log_near(np.float64(c[2, at] / s[2])), log_near(np.float64(c[3, at] / s[3]))
            values[i] = receptive_field(s, c, at, rounded(near_w), rounded(near_h))
            doubts += is_doubtful(near_w)
            doubts += is_doubtful(near_h)
    if doubts:
        for i in range(n):
            values[i] = similarity(formula, s, c, index(first + i), knob)


SURELY = 1 + 2.0**-12
"""How many times as large, counted from 1, a distance surely is that of a smaller similarity."""

FARTHEST_WASSERSTEIN, FARTHEST_FIELD = 7500.0, 1e30
"""Distances, counted from 1, up to which similarities are normal numbers of float32."""


@inlined
def limit_of(formula: int, value: Any) -> Any:
    """Return the distance beyond which a similarity is surely smaller than `value`, maybe infinite.

    A distance is the squared Wasserstein distance in units of the constant, or the divergence; it is counted
    from 1. `SURELY` times as large it belongs to a similarity that is smaller by more than a part in 2**13.
    Rounding takes less of either: some parts in 2**23 of the exponent and of its power; of the divergence,
    whose terms are at most five times what is counted from 1, some parts in 2**19 in all. Distances of single
    priors are wrong by a part in 2**16 themselves: see :func:`fill_distances`.
    """
    near = np.float64(value)
    if near <= 0:
        return np.float32(np.inf)
    if formula == NORMALIZED_WASSERSTEIN:
        exponent = math.log(smaller(near, 1.0))
        return limit_beyond(formula, np.float32(1.0 + exponent * exponent))
    return limit_beyond(formula, np.float32(1.0 / near))


@inlined
def limit_beyond(formula: int, distance: Any) -> Any:
    """Return the distance beyond which a similarity is surely smaller than that of a distance."""
    farthest = FARTHEST_WASSERSTEIN if formula == NORMALIZED_WASSERSTEIN else FARTHEST_FIELD
    return distance * np.float32(SURELY) if distance <= np.float32(farthest) else np.float32(np.inf)


@inlined
def outside(low: Any, high: Any, x: Any, zero: Any) -> Any:
    return larger(larger(low - x, x - high), zero)


@inlined
def least_wasserstein(x: Any, y: Any, w: Any, h: Any, r: Host, b: int, scale: Any) -> Any:
    """Bound the distances of a box from a block of priors from below.

    `x` and `y` are sums of opposite sides, `w` and `h` differences, of which `r` (8, blocks) has the priors'
    least and largest. Subtracting, multiplying and adding round monotonically.
    """
    zero, one = r.dtype.type(0), r.dtype.type(1)
    apart_x, apart_y = outside(r[0, b], r[4, b], x, zero), outside(r[1, b], r[5, b], y, zero)
    sides_x, sides_y = outside(r[2, b], r[6, b], w, zero), outside(r[3, b], r[7, b], h, zero)
    squares = (apart_x * apart_x + sides_x * sides_x) + (apart_y * apart_y + sides_y * sides_y)
    return one + squares * scale


@inlined
def least_along(low: Any, high: Any, apart: Any, own: Any, one: Any) -> Any:
    """Bound an axis' part of the divergence, less 1, which is least where the field is as large as the box.

    Without logarithms: they are at most t (t + 2) / (2 t + 2) of 1 + t, and at most the first terms of their
    series of what is below 1.
    """
    two, half = one + one, one / (one + one)
    size, shift = clamped(one, low / own, high / own), apart / own
    less, more = larger(one - size, one - one), larger(size - one, one - one)
    of_less = less * less * ((less * half + two / (two + one)) * less + two)
    of_more = more * more * (one + one / (one + more))
    return (of_less + of_more) + shift * shift


@inlined
def least_divergence(x: Any, y: Any, w: Any, h: Any, r: Host, b: int) -> Any:
    """Bound the divergences of a block of fields from a box, as :func:`least_wasserstein` distances."""
    zero, half, one = r.dtype.type(0), r.dtype.type(0.5), r.dtype.type(1)
    apart_x, apart_y = outside(r[0, b], r[4, b], x, zero), outside(r[1, b], r[5, b], y, zero)
    along_x = least_along(r[2, b], r[6, b], apart_x, w, one)
    along_y = least_along(r[3, b], r[7, b], apart_y, h, one)
    return one + (along_x + along_y) * half


@inlined
def fill_distances(formula: int, s: Any, c: Host, first: int, n: int, scale: Any, distances: Host) -> None:
    """Compute the distances of a box from `n` priors from `first` on, wrong by at most a part in 2**16.

    Several times as quickly as the similarities, which nobody needs of those that are surely farther.
    """
    half, one = c.dtype.type(0.5), c.dtype.type(1)
    x, y, w, h, log = s
    if formula == NORMALIZED_WASSERSTEIN:
        for i in range(n):
            at = index(first + i)
            apart_x, apart_y, sides_x, sides_y = x - c[0, at], y - c[1, at], w - c[2, at], h - c[3, at]
            squares = (apart_x * apart_x + sides_x * sides_x) + (apart_y * apart_y + sides_y * sides_y)
            distances[i] = one + squares * scale
    else:
        per_w, per_h = one / w, one / h
        for i in range(n):
            at = index(first + i)
            size_w, size_h = c[2, at] * per_w, c[3, at] * per_h
            shift_x, shift_y = (x - c[0, at]) * per_w, (y - c[1, at]) * per_h
            squares = (size_w * size_w + shift_x * shift_x) + (size_h * size_h + shift_y * shift_y)
            distances[i] = squares * half - (c[4, at] - log)


@inlined
def scale_of(knob: Any) -> Any:
    """Return what turns squared differences of sums, twice those of centres, into units of a constant."""
    return np.float32(0.25 / (np.float64(knob) * np.float64(knob)))


@inlined
def fill_sums(formula: int, boxes: Host, image: int, sums: Host) -> None:
    """Set the sums (G, 5) of an image's boxes: as :func:`sums_of`, and the logarithms of their sides."""
    least = sums.dtype.type(LEAST_SIDE)
    for g in range(boxes.shape[1]):
        box = boxes[image, g, 0], boxes[image, g, 1], boxes[image, g, 2], boxes[image, g, 3]
        sums[g, 0], sums[g, 1], sums[g, 2], sums[g, 3] = sums_of(formula, box, least)
        if formula == RECEPTIVE_FIELD:
            sums[g, 4] = log_about(sums[g, 2]) + log_about(sums[g, 3])


@inlined
def sums_at(sums: Host, image: int, g: int) -> Any:
    return sums[image, g, 0], sums[image, g, 1], sums[image, g, 2], sums[image, g, 3], sums[image, g, 4]


@inlined
def fill_least_distances(formula: int, s: Any, r: Host, scale: Any, n: int, distances: Host) -> None:
    """Bound the distances of a box from each of `n` blocks of priors."""
    x, y, w, h, _ = s
    if formula == NORMALIZED_WASSERSTEIN:
        for b in range(n):
            distances[b] = least_wasserstein(x, y, w, h, r, b, scale)
    else:
        for b in range(n):
            distances[b] = least_divergence(x, y, w, h, r, b)


# -- A row of values of one ground truth ---------------------------------------------------------------------


@inlined
def fill_overlaps(formula: int, g: Any, c: Host, n: int, zero: Any, knob: Any, values: Host) -> None:
    """Compute the overlaps of one box with `n` priors, whose columns are `c`."""
    if formula >= ROTATED_IOU:
        for i in range(n):
            values[i] = rotated_overlap(formula, g, c, i, zero)
    # A loop for each formula that is known before it runs: one for all computes all, and is a third slower.
    elif formula == IOU:
        for i in range(n):
            values[i] = overlap(IOU, g, c, i, zero, knob)
    elif formula == IOF_OF_GT:
        for i in range(n):
            values[i] = overlap(IOF_OF_GT, g, c, i, zero, knob)
    elif formula == IOF_OF_PRIOR:
        for i in range(n):
            values[i] = overlap(IOF_OF_PRIOR, g, c, i, zero, knob)
    else:
        for i in range(n):
            values[i] = overlap(GIOU, g, c, i, zero, knob)


@inlined
def fill_row(formula: int, g: Any, c: Host, n: int, zero: Any, knob: Any, values: Host) -> None:
    """Compute the overlaps, or the similarities, of one box with `n` priors, whose columns are `c`."""
    if formula >= NORMALIZED_WASSERSTEIN:
        fill_similarities(formula, sums_of(formula, g, c.dtype.type(LEAST_SIDE)), c, 0, n, knob, values)
    else:
        fill_overlaps(formula, g, c, n, zero, knob, values)


# -- Non-finite boxes ----------------------------------------------------------------------------------------


@compiled
def rows_within(rows: Host, limit: float, finite: Host) -> bool:
    """Fill `finite` (R,) with which of `rows` (R, D) have no NaN and nothing beyond `limit`: maybe all."""
    bound = rows.dtype.type(limit)
    # Numbers one after another are compared in vectors, rows are not; and hardly ever is one beyond.
    numbers = rows.reshape(rows.size)
    beyond = 0
    for i in range(numbers.shape[0]):
        beyond += not abs(numbers[i]) <= bound
    finite[:] = True
    if beyond == 0:
        return True
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            finite[row] &= abs(rows[row, column]) <= bound
    return False


# -- What is kept in order -----------------------------------------------------------------------------------


@inlined
def insert(values: Host, places: Host, count: int, value: Any, place: int) -> int:
    """Insert what comes after all of its equals into ascending values; return how many there are then."""
    k = values.shape[0]
    i = count if count < k else k - 1
    while i > 0 and values[i - 1] > value:
        values[i] = values[i - 1]
        places[i] = places[i - 1]
        i -= 1
    values[i] = value
    places[i] = place
    return count + 1 if count < k else k


@inlined
def fill_up(values: Host, places: Host, count: int, place: int) -> None:
    """Fill what was not found with the first other places from `place` on, infinitely far.

    A stable sort of all distances does the same.
    """
    for rank in range(count, values.shape[0]):
        is_taken = True
        while is_taken:
            is_taken = False
            for i in range(count):
                is_taken |= places[i] == place
            place += 1
        values[rank] = np.inf
        places[rank] = place - 1


# -- Blocks of priors ----------------------------------------------------------------------------------------


@inlined
def load_block(
    formula: int, knob: Any, priors: Host, image: int, kind: int, start: int, n: int, c: Host
) -> None:
    """Copy `n` priors, (B, N, A, D), to columns, and add areas to those that have sides alone.

    For a similarity the columns are what it reads: the sums of opposite sides, and their differences.
    """
    own, kinds, sides = index(image), priors.shape[2], priors.shape[3]
    if sides == SIDES:
        # Numbers that compilers know, so that they load vectors: it is most of the cost of a block.
        if kinds == 1:
            for i in range(n):
                for side in range(SIDES):
                    c[side, i] = priors[own, index(start + i), 0, side]
        else:
            for i in range(n):
                for side in range(SIDES):
                    c[side, i] = priors[own, index(start + i), kind, side]
        if formula >= NORMALIZED_WASSERSTEIN:
            for i in range(n):
                c[0, i], c[2, i] = c[0, i] + c[2, i], c[2, i] - c[0, i]
                c[1, i], c[3, i] = c[1, i] + c[3, i], c[3, i] - c[1, i]
            if formula == RECEPTIVE_FIELD:
                least = c.dtype.type(LEAST_SIDE)
                for i in range(n):
                    c[2, i], c[3, i] = larger(c[2, i] * knob, least), larger(c[3, i] * knob, least)
        else:
            for i in range(n):
                c[4, i] = (c[2, i] - c[0, i]) * (c[3, i] - c[1, i])
    else:
        for i in range(n):
            for column in range(sides):
                c[column, i] = priors[own, index(start + i), kind, column]


@inlined
def add_logs(formula: int, c: Host, n: int) -> None:
    """Set the last column of `n` fields to the sum of the logarithms of their sides."""
    if formula == RECEPTIVE_FIELD:
        for i in range(n):
            c[4, i] = log_about(c[2, i]) + log_about(c[3, i])


@inlined
def turned(bits: Host, word: Any) -> Any:
    """Turn an integer, of the dtype of `bits`, round if it is below 0; turned once more it is what it was.

    It stays as wide as it was, so that as many are compared at once.
    """
    others = bits.dtype.type(~(bits.dtype.type(1) << (bits.itemsize * 8 - 1)))
    return bits.dtype.type(word ^ ((word >> (bits.itemsize * 8 - 1)) & others))


@inlined
def highest(bits: Host, n: int) -> Any:
    """Return the largest of the first `n` floats, none of them NaN, both read as integers.

    Integers are in the order of floats once those below 0 are :func:`turned`. Compilers reduce them in
    vectors, but not floats.
    """
    most = turned(bits, bits[0])
    for i in range(n):
        one = turned(bits, bits[i])
        most = one if one > most else most
    return turned(bits, most)


@inlined
def lowest(bits: Host, n: int) -> Any:
    """Return the smallest, as :func:`highest` does the largest."""
    least = turned(bits, bits[0])
    for i in range(n):
        one = turned(bits, bits[i])
        least = one if one < least else least
    return turned(bits, least)


@inlined
def largest(values: Host, bits: Host, n: int) -> Any:
    """Return the largest of `n` values, which are `bits` read as floats; the place behind is overwritten."""
    bits[n] = highest(bits, n)
    return values[n]


@inlined
def smallest(values: Host, bits: Host, n: int) -> Any:
    """Return the smallest, as :func:`largest` does the largest."""
    bits[n] = lowest(bits, n)
    return values[n]


@inlined
def bounds_of(bits: Host, n: int, words: Host, sides: Host) -> Any:
    """Return the sides of the box around `n` priors, of A alternatives each.

    `bits` are their columns (A, D, BLOCK), read as integers; `words` and `sides` (4,) are one memory, read as
    integers and as floats.
    """
    x1 = y1 = x2 = y2 = sides.dtype.type(0)
    for kind in range(bits.shape[0]):
        words[0], words[1] = lowest(bits[kind, 0], n), lowest(bits[kind, 1], n)
        words[2], words[3] = highest(bits[kind, 2], n), highest(bits[kind, 3], n)
        if kind == 0:
            x1, y1, x2, y2 = sides[0], sides[1], sides[2], sides[3]
        else:
            x1, y1 = smaller(sides[0], x1), smaller(sides[1], y1)
            x2, y2 = larger(sides[2], x2), larger(sides[3], y2)
    return x1, y1, x2, y2


@inlined
def set_ranges(columns: Host, n: int, ranges: Host, first: int) -> None:
    """Set `ranges` (8, blocks) to the least and the largest of four columns of the blocks of `n` priors.

    `first` is the number of their first block. All are read as integers, as in :func:`highest`.
    """
    for start in range(0, n, NEARBY):
        block = first + start // NEARBY
        for side in range(SIDES):
            least = most = turned(columns, columns[side, start])
            for i in range(min(NEARBY, n - start)):
                one = turned(columns, columns[side, index(start + i)])
                least = one if one < least else least
                most = one if one > most else most
            ranges[side, block] = turned(columns, least)
            ranges[SIDES + side, block] = turned(columns, most)


@inlined
def fill_best_row(
    formula: int, g: Any, c: Host, kinds: int, n: int, allowed: Host, masked: bool,
    zero: Any, knob: Any, nothing: Any, other: Host, values: Host,
) -> None:  # fmt: skip
    """Compute the overlaps of one box with a block, of each prior that of its best alternative."""
    for kind in range(kinds):
        fill_overlaps(formula, g, c[kind], n, zero, knob, other)
        if masked:
            for i in range(n):
                other[i] = other[i] if allowed[kind, i] else nothing
        for i in range(n):
            values[i] = other[i] if kind == 0 else larger(other[i], values[i])


@inlined
def load_allowed(eligible: Host, alternatives: Host, image: int, start: int, n: int, allowed: Host) -> None:
    """Say of each alternative of `n` priors whether it may overlap anything."""
    own = eligible[min(image, eligible.shape[0] - 1)]
    for kind in range(allowed.shape[0]):
        for i in range(n):
            allowed[kind, i] = own[index(start + i)]
        if alternatives.shape[0] > 0:
            of_kind = alternatives[min(image, alternatives.shape[0] - 1), kind]
            for i in range(n):
                allowed[kind, i] &= of_kind[index(start + i)]


# -- The best overlaps, of priors and of ground truths -------------------------------------------------------


@compiled
def best_both_ways(
    formula: int, skips: bool, priors: Host, eligible: Host, alternatives: Host, masked: bool,
    gts: Host, gt_valid: Host, integers: Host, knob: float, of_gts: bool, block: int,
    of_prior: Host, gt_inds: Host, of_gt: Host, prior_of_gt: Host, of_block: Host,
) -> None:  # fmt: skip
    """Find each prior's best ground truth and each ground truth's best prior, the first of equal ones.

    Parameters
    ----------
    formula : int
        Which overlap.
    skips : bool
        Whether boxes that share no area overlap by 0, and never less.
    priors : array (B or 1, N, A, 4), or (B or 1, N, A, 11) of oriented boxes, by their planes
        Priors, of A alternatives each.
    eligible, alternatives : array (B or 1, N) and (B or 1, A, N) or (0, 0, 0) of bool
        Whether a prior, and whether one of its alternatives, may overlap anything.
    masked : bool
        Whether either is false somewhere.
    gts, gt_valid : array (B, G, 4) and (B, G)
        Ground truths.
    integers : array (0,)
        Of integers as wide as the boxes' dtype.
    knob : float
        Floor of the divisors; of a similarity its constant, or its decay.
    of_gts : bool
        Whether more is asked for than `of_prior`.
    block : int
        Priors whose best overlap with each ground truth is kept in `of_block` (B, blocks, G): a multiple of
        BLOCK.
    of_prior, gt_inds, of_gt, prior_of_gt : array (B, N) twice, (B, G) twice
        What is found, ground truths from 1.
    """
    images, n_gts = gts.shape[:2]
    n_priors, kinds = priors.shape[1:3]
    dtype = priors.dtype.type
    zero, by = dtype(0), dtype(knob)
    nothing = zero if skips else dtype(-np.inf)
    columns = np.empty((kinds, max(priors.shape[3], 5), BLOCK), integers.dtype)
    c = columns.view(priors.dtype)
    words = np.empty(4, integers.dtype)
    sides = words.view(priors.dtype)
    bits = np.empty(BLOCK + 1, integers.dtype)
    values = bits.view(priors.dtype)
    other, best = np.empty(BLOCK, priors.dtype), np.empty(BLOCK, priors.dtype)
    number = np.empty(BLOCK, integers.dtype)
    allowed = np.empty((kinds, BLOCK), np.bool_)
    first_gts, first_priors = np.zeros(images, integers.dtype), np.zeros(images, np.int64)
    for image in range(images):
        for g in range(n_gts - 1, -1, -1):
            first_gts[image] = g if gt_valid[image, g] else first_gts[image]
            of_gt[image, g] = nothing
        own_eligible, first_prior = eligible[min(image, eligible.shape[0] - 1)], 0
        while first_prior < n_priors and not own_eligible[first_prior]:
            first_prior += 1
        first_priors[image] = first_prior
        for g in range(n_gts):
            prior_of_gt[image, g] = first_prior if first_prior < n_priors else 0
    x1 = y1 = x2 = y2 = zero
    for start in range(0, n_priors, BLOCK):
        n = min(BLOCK, n_priors - start)
        for image in range(images):
            # Priors that images share are loaded once for all of them.
            if image < priors.shape[0]:
                for kind in range(kinds):
                    load_block(formula, by, priors, image, kind, start, n, c[kind])
                x1, y1, x2, y2 = bounds_of(columns, n, words, sides)
            if masked:
                load_allowed(eligible, alternatives, image, start, n, allowed)
            for i in range(n):
                best[i] = nothing
                number[i] = first_gts[image]
            of_blocks = of_block[image, start // block]
            if start % block == 0:
                for g in range(n_gts):
                    of_blocks[g] = nothing
            for g in range(n_gts):
                if not gt_valid[image, g]:
                    continue
                if skips and not touches(gts, image, g, x1, y1, x2, y2):
                    continue
                box = corners(gts, image, g)
                fill_best_row(formula, box, c, kinds, n, allowed, masked, zero, by, nothing, other, values)
                own_number = integers.dtype.type(g)
                for i in range(n):
                    above = values[i] > best[i]
                    best[i] = values[i] if above else best[i]
                    number[i] = own_number if above else number[i]
                if not of_gts:
                    continue
                most = largest(values, bits, n)
                if most > of_blocks[g]:
                    of_blocks[g] = most
                if most > of_gt[image, g]:
                    of_gt[image, g] = most
                    i = 0
                    while values[i] != most:
                        i += 1
                    prior_of_gt[image, g] = start + i
            for i in range(n):
                of_prior[image, index(start + i)] = best[i]
            if of_gts:
                for i in range(n):
                    gt_inds[image, index(start + i)] = number[i] + 1
    for image in range(images):
        if first_priors[image] == n_priors:
            for g in range(n_gts):
                of_gt[image, g] = -np.inf


@compiled
def most_similar_both_ways(
    formula: int, priors: Host, eligible: Host, masked: bool, gts: Host, gt_valid: Host, integers: Host,
    knob: float, of_gts: bool, block: int,
    of_prior: Host, gt_inds: Host, of_gt: Host, prior_of_gt: Host, of_block: Host,
) -> None:  # fmt: skip
    """Find the largest similarities, as :func:`best_both_ways` the largest overlaps.

    Priors have no alternatives. Of a block, a ground truth is passed over whose distance from all of it is
    surely beyond the closest one of each of its priors so far, and beyond that of the ground truth's own best
    similarity; the nearest comes first. Of the others distances are computed, and similarities where one of
    those is not surely beyond.
    """
    images, n_gts = gts.shape[:2]
    n_priors = priors.shape[1]
    dtype = priors.dtype.type
    by, scale, zero, infinity = dtype(knob), scale_of(knob), dtype(0), dtype(np.inf)
    blocks = ABREAST
    columns = np.empty((5, ABREAST * NEARBY), integers.dtype)
    range_words = np.empty((8, blocks), integers.dtype)
    c, ranges = columns.view(priors.dtype), range_words.view(priors.dtype)
    distances = np.empty((n_gts, blocks), priors.dtype)
    nearest, least = np.empty(blocks, integers.dtype), np.empty(blocks, priors.dtype)
    apart_words = np.empty((n_gts, NEARBY + 1), integers.dtype)
    closest_words = np.empty(NEARBY + 1, integers.dtype)
    apart, closest = apart_words.view(priors.dtype), closest_words.view(priors.dtype)
    is_near = np.empty(n_gts, np.bool_)
    bits = np.empty(NEARBY + 1, integers.dtype)
    values, best = bits.view(priors.dtype), np.empty(NEARBY, priors.dtype)
    number = np.empty(NEARBY, integers.dtype)
    sums, ends = np.empty((images, n_gts, 5), priors.dtype), np.zeros(images, np.int64)
    limits = np.full((images, n_gts), infinity)
    first_gts, first_priors = np.zeros(images, integers.dtype), np.zeros(images, np.int64)
    for image in range(images):
        fill_sums(formula, gts, image, sums[image])
        for g in range(n_gts):
            ends[image] = g + 1 if gt_valid[image, g] else ends[image]
        first_priors[image] = first_of(eligible[min(image, eligible.shape[0] - 1)])
        first_gts[image] = first_of(gt_valid[image]) % max(n_gts, 1)
        for g in range(n_gts):
            of_gt[image, g] = -infinity
            prior_of_gt[image, g] = first_priors[image] % max(n_priors, 1)
    for first in range(0, n_priors, ABREAST * NEARBY):
        width = min(ABREAST * NEARBY, n_priors - first)
        blocks = (width + NEARBY - 1) // NEARBY
        for image in range(images):
            # Priors that images share are loaded once for all of them.
            if image < priors.shape[0]:
                load_block(formula, by, priors, image, 0, first, width, c)
                add_logs(formula, c, width)
                set_ranges(columns, width, range_words, 0)
            own = min(image, eligible.shape[0] - 1)
            nearest[:] = -1
            least[:] = infinity
            for g in range(ends[image]):
                fill_least_distances(formula, sums_at(sums, image, g), ranges, scale, blocks, distances[g])
                if gt_valid[image, g]:
                    own_number = integers.dtype.type(g)
                    for b in range(blocks):
                        nearest[b] = own_number if distances[g, b] <= least[b] else nearest[b]
                        least[b] = smaller(distances[g, b], least[b])
            for b in range(blocks):
                start, n = first + b * NEARBY, min(NEARBY, width - b * NEARBY)
                for i in range(n):
                    best[i], number[i], closest[i] = -infinity, first_gts[image], infinity
                if masked:
                    for i in range(n):
                        # What does not count is never exceeded, and sets no limit.
                        if not eligible[own, index(start + i)]:
                            best[i], closest[i] = infinity, zero
                limit = infinity
                is_near[:] = False
                for turn in range(-1, ends[image]):
                    g = nearest[b] if turn < 0 else turn
                    if g < 0 or turn == nearest[b] or not gt_valid[image, g]:
                        continue
                    if distances[g, b] > limit and (not of_gts or distances[g, b] > limits[image, g]):
                        continue
                    is_near[g] = True
                    fill_distances(formula, sums_at(sums, image, g), c, b * NEARBY, n, scale, apart[g])
                    for i in range(n):
                        closest[i] = smaller(apart[g, i], closest[i])
                    limit = limit_beyond(formula, largest(closest, closest_words, n))
                for i in range(n):
                    closest[i] = limit_beyond(formula, closest[i])
                wide = start // block
                if start % block == 0:
                    for g in range(n_gts):
                        of_block[image, wide, g] = -infinity
                for g in range(ends[image]):
                    if not is_near[g]:
                        continue
                    rivals = 0
                    for i in range(n):
                        rivals += apart[g, i] <= closest[i]
                    if not rivals and (
                        not of_gts or smallest(apart[g], apart_words[g], n) > limits[image, g]
                    ):
                        continue
                    fill_similarities(formula, sums_at(sums, image, g), c, b * NEARBY, n, by, values)
                    own_number = integers.dtype.type(g)
                    for i in range(n):
                        above = values[i] > best[i]
                        best[i] = values[i] if above else best[i]
                        number[i] = own_number if above else number[i]
                    if not of_gts:
                        continue
                    if masked:
                        for i in range(n):
                            values[i] = values[i] if eligible[own, index(start + i)] else -infinity
                    most = largest(values, bits, n)
                    if most > of_block[image, wide, g]:
                        of_block[image, wide, g] = most
                    if most > of_gt[image, g]:
                        of_gt[image, g], limits[image, g] = most, limit_of(formula, most)
                        i = 0
                        while values[i] != most:
                            i += 1
                        prior_of_gt[image, g] = start + i
                for i in range(n):
                    of_prior[image, index(start + i)] = best[i] if best[i] < infinity else -infinity
                if of_gts:
                    for i in range(n):
                        gt_inds[image, index(start + i)] = number[i] + 1


@inlined
def first_of(holds: Host) -> int:
    """Return where the first of some flags holds; how many there are where none does."""
    i = 0
    while i < holds.shape[0] and not holds[i]:
        i += 1
    return i


@compiled
def attaining(
    formula: int, skips: bool, priors: Host, eligible: Host, alternatives: Host, masked: bool,
    gts: Host, eligible_gts: Host, knob: float, block: int,
    of_gt: Host, of_block: Host, last: Host,
) -> None:  # fmt: skip
    """Find the last eligible ground truth whose best overlap each prior attains, from 1, else 0.

    The arguments are those of :func:`best_both_ways`, and what it found. Of priors that do not count, nothing
    is said.
    """
    images, n_gts = gts.shape[:2]
    n_priors, kinds = priors.shape[1:3]
    dtype = priors.dtype.type
    zero, by = dtype(0), dtype(knob)
    nothing = zero if skips else dtype(-np.inf)
    c = np.empty((kinds, max(priors.shape[3], 5), BLOCK), priors.dtype)
    values, other = np.empty(BLOCK, priors.dtype), np.empty(BLOCK, priors.dtype)
    allowed = np.empty((kinds, BLOCK), np.bool_)
    for image in range(images):
        own = min(image, priors.shape[0] - 1)
        everywhere = 0
        for g in range(n_gts):
            if skips and eligible_gts[image, g] and of_gt[image, g] == zero:
                everywhere = g + 1
        for i in range(n_priors):
            last[image, i] = everywhere
        for wide in range(of_block.shape[1]):
            for start in range(wide * block, min((wide + 1) * block, n_priors), BLOCK):
                n = min(BLOCK, n_priors - start)
                is_loaded = False
                # What attains the best of a later one that overlaps nothing goes to that one.
                for g in range(everywhere, n_gts):
                    if not eligible_gts[image, g] or of_block[image, wide, g] != of_gt[image, g]:
                        continue
                    if not is_loaded:
                        for kind in range(kinds):
                            load_block(formula, by, priors, own, kind, start, n, c[kind])
                        if masked:
                            load_allowed(eligible, alternatives, image, start, n, allowed)
                        is_loaded = True
                    box = corners(gts, image, g)
                    if formula >= NORMALIZED_WASSERSTEIN:
                        sums = sums_of(formula, box, dtype(LEAST_SIDE))
                        fill_similarities(formula, sums, c[0], 0, n, by, values)
                    else:
                        fill_best_row(
                            formula, box, c, kinds, n, allowed, masked, zero, by, nothing, other, values
                        )
                    for i in range(n):
                        if values[i] == of_gt[image, g]:
                            last[image, index(start + i)] = g + 1


# -- The k most overlapping, and the k most similar ----------------------------------------------------------


@compiled
def k_most_overlapping(
    formula: int, skips: bool, priors: Host, eligible: Host, masked: bool, gts: Host, gt_valid: Host,
    integers: Host, knob: float, values: Host, places: Host,
) -> None:  # fmt: skip
    """Find the largest overlaps of each ground truth, the first of equal ones, and the priors that have them.

    The arguments are those of :func:`best_both_ways`; priors have no alternatives. What is found, overlaps
    negated and priors (B, G, K), comes from the largest on; where boxes that share no area overlap by 0, none
    of those is. Then come other priors, infinite.
    """
    images, n_gts = gts.shape[:2]
    n_priors = priors.shape[1]
    dtype = priors.dtype.type
    zero, by = dtype(0), dtype(knob)
    nothing = zero if skips else dtype(-np.inf)
    columns = np.empty((1, max(priors.shape[3], 5), BLOCK), integers.dtype)
    c = columns.view(priors.dtype)[0]
    words = np.empty(4, integers.dtype)
    sides = words.view(priors.dtype)
    row = np.empty(BLOCK, priors.dtype)
    counts = np.zeros((images, n_gts), np.int64)
    x1 = y1 = x2 = y2 = zero
    for start in range(0, n_priors, BLOCK):
        n = min(BLOCK, n_priors - start)
        for image in range(images):
            own_eligible = eligible[min(image, eligible.shape[0] - 1)]
            # Priors that images share are loaded once for all of them.
            if image < priors.shape[0]:
                load_block(formula, by, priors, image, 0, start, n, c)
                x1, y1, x2, y2 = bounds_of(columns, n, words, sides)
            for g in range(n_gts):
                if not gt_valid[image, g] or (skips and not touches(gts, image, g, x1, y1, x2, y2)):
                    continue
                box = corners(gts, image, g)
                fill_overlaps(formula, box, c, n, zero, by, row)
                counts[image, g] = insert_largest(
                    row, n, own_eligible, masked, start, nothing, values[image, g], places[image, g],
                    counts[image, g],
                )  # fmt: skip
    for image in range(images):
        for g in range(n_gts):
            fill_up(values[image, g], places[image, g], counts[image, g], 0)


@inlined
def insert_largest(
    row: Host, n: int, eligible: Host, masked: bool, start: int, nothing: Any,
    values: Host, places: Host, count: int,
) -> int:  # fmt: skip
    """Insert those of `n` values that are among the largest so far, negated; return how many there are."""
    k = values.shape[0]
    least = -values[k - 1] if count == k else nothing
    for i in range(n):
        if row[i] > least and (not masked or eligible[index(start + i)]):
            count = insert(values, places, count, -row[i], start + i)
            least = -values[k - 1] if count == k else nothing
    return count


@compiled
def k_most_similar(
    formula: int, priors: Host, eligible: Host, masked: bool, gts: Host, gt_valid: Host,
    integers: Host, knob: float, values: Host, places: Host,
) -> None:  # fmt: skip
    """Find the largest similarities of each ground truth, as :func:`k_most_overlapping` the largest overlaps.

    The block that may be nearest comes first: its k-th bounds the k-th of all.
    """
    images, n_gts, k = values.shape
    n_priors = priors.shape[1]
    dtype = priors.dtype.type
    by, scale, infinity = dtype(knob), scale_of(knob), dtype(np.inf)
    blocks = (n_priors + NEARBY - 1) // NEARBY
    columns = np.empty((5, ABREAST * NEARBY), integers.dtype)
    range_words = np.empty((8, blocks), integers.dtype)
    c, ranges = columns.view(priors.dtype), range_words.view(priors.dtype)
    distance_words = np.empty(blocks + 1, integers.dtype)
    distances = distance_words.view(priors.dtype)
    sums = np.empty((1, n_gts, 5), priors.dtype)
    row, apart_words = np.empty(NEARBY, priors.dtype), np.empty(NEARBY + 1, integers.dtype)
    apart = apart_words.view(priors.dtype)
    for image in range(images):
        own = min(image, priors.shape[0] - 1)
        own_eligible = eligible[min(image, eligible.shape[0] - 1)]
        if image < priors.shape[0]:
            for first in range(0, n_priors, ABREAST * NEARBY):
                width = min(ABREAST * NEARBY, n_priors - first)
                load_block(formula, by, priors, image, 0, first, width, c)
                set_ranges(columns, width, range_words, first // NEARBY)
        fill_sums(formula, gts, image, sums[0])
        for g in range(n_gts):
            own_values, own_places, count = values[image, g], places[image, g], 0
            if gt_valid[image, g]:
                own_sums = sums_at(sums, 0, g)
                nearest, limit = 0, infinity
                fill_least_distances(formula, own_sums, ranges, scale, blocks, distances)
                distance_words[blocks] = lowest(distance_words, blocks)
                while distances[nearest] != distances[blocks]:
                    nearest += 1
                for scan in range(2):
                    first, last = (nearest, nearest + 1) if scan == 0 else (0, blocks)
                    count = 0
                    for b in range(first, last):
                        if distances[b] > limit:
                            continue
                        start, n = b * NEARBY, min(NEARBY, n_priors - b * NEARBY)
                        load_block(formula, by, priors, own, 0, start, n, c)
                        add_logs(formula, c, n)
                        fill_distances(formula, own_sums, c, 0, n, scale, apart)
                        if smallest(apart, apart_words, n) > limit:
                            continue
                        fill_similarities(formula, own_sums, c, 0, n, by, row)
                        count = insert_largest(
                            row, n, own_eligible, masked, start, -infinity, own_values, own_places, count
                        )
                        if count == k:
                            limit = smaller(limit, limit_of(formula, -own_values[k - 1]))
            fill_up(own_values, own_places, count, 0)


# -- The pairwise array --------------------------------------------------------------------------------------


@compiled
def pairwise(formula: int, boxes: Host, priors: Host, knob: float, across: bool, overlaps: Host) -> None:
    """Fill `overlaps` (L, M, N) of `boxes` (L, M, 4) with `priors` (L or 1, N, 1, 4); `across`, (L, N, M)."""
    n_priors = priors.shape[1]
    dtype = priors.dtype.type
    zero, by = dtype(0), dtype(knob)
    c = np.empty((max(priors.shape[3], 5), BLOCK), priors.dtype)
    values = np.empty(BLOCK, priors.dtype)
    for image in range(boxes.shape[0]):
        own = min(image, priors.shape[0] - 1)
        for start in range(0, n_priors, BLOCK):
            n = min(BLOCK, n_priors - start)
            load_block(formula, by, priors, own, 0, start, n, c)
            for m in range(boxes.shape[1]):
                box = corners(boxes, image, m)
                if across:
                    fill_row(formula, box, c, n, zero, by, values)
                    for i in range(n):
                        overlaps[image, start + i, m] = values[i]
                else:
                    row = overlaps[image, m, start : start + n]
                    fill_row(formula, box, c, n, zero, by, row)


@compiled
def row_by_row(formula: int, boxes: Host, priors: Host, knob: float, overlaps: Host) -> None:
    """Fill `overlaps` (P,) of `boxes` and `priors` (1, P, 1, 4), each with its own."""
    dtype = priors.dtype.type
    zero, by = dtype(0), dtype(knob)
    a, c = np.empty((2, max(priors.shape[3], 5), BLOCK), priors.dtype)
    for start in range(0, overlaps.shape[0], BLOCK):
        n = min(BLOCK, overlaps.shape[0] - start)
        load_block(IOU, by, boxes, 0, 0, start, n, a)
        load_block(formula, by, priors, 0, 0, start, n, c)
        if formula >= NORMALIZED_WASSERSTEIN:
            for i in range(n):
                sums = sums_of(formula, (a[0, i], a[1, i], a[2, i], a[3, i]), dtype(LEAST_SIDE))
                overlaps[index(start + i)] = similarity(formula, sums, c, i, by)
        elif formula >= ROTATED_IOU:
            for i in range(n):
                g = a[0, i], a[1, i], a[2, i], a[3, i], a[4, i]
                others = a[5, i], a[6, i], a[7, i], a[8, i], a[9, i], a[10, i]
                overlaps[index(start + i)] = rotated_overlap(formula, g + others, c, i, zero)
        else:
            for i in range(n):
                g = a[0, i], a[1, i], a[2, i], a[3, i], a[4, i]
                overlaps[index(start + i)] = overlap(formula, g, c, i, zero, by)


@compiled
def pairwise_l1(rows: Host, others: Host, distances: Host) -> None:
    """Fill `distances` (L, N, G) of `rows` (L or 1, N, D) from `others` (L or 1, G, D)."""
    for image in range(distances.shape[0]):
        a = rows[min(image, rows.shape[0] - 1)]
        b = others[min(image, others.shape[0] - 1)].T.copy()
        for n in range(distances.shape[1]):
            row = distances[image, n]
            for g in range(row.shape[0]):
                row[g] = abs(a[n, 0] - b[0, g])
            for d in range(1, a.shape[1]):
                for g in range(row.shape[0]):
                    row[g] += abs(a[n, d] - b[d, g])


# -- The pairs that fulfil a relation ------------------------------------------------------------------------


@inlined
def fill_may_hold(relation: int, t: Host, g: Any, margin: Any, may: Host) -> None:
    """Tell in which blocks, whose bounds are `t` (8, blocks), any prior may fulfil a relation.

    Differences round monotonically, so that what no bound fulfils none of the priors does.
    """
    for b in range(t.shape[1]):
        x, y, beyond_x, beyond_y = t[0, b], t[1, b], t[4, b], t[5, b]
        if relation == INSIDE:
            may[b] = (beyond_x > g[0]) & (x < g[2]) & (beyond_y > g[1]) & (y < g[3])
        elif relation == INSIDE_BY_MARGIN:
            along = (beyond_x - g[0] > margin) & (g[2] - x > margin)
            may[b] = along & (beyond_y - g[1] > margin) & (g[3] - y > margin)
        elif relation == INSIDE_OR_ON:
            may[b] = (beyond_x >= g[0]) & (x <= g[2]) & (beyond_y >= g[1]) & (y <= g[3])
        elif relation == NEAR:
            along = (beyond_x > g[0] - t[6, b]) & (x < g[0] + t[6, b])
            may[b] = along & (beyond_y > g[1] - t[7, b]) & (y < g[1] + t[7, b])
        elif relation >= TURNED:
            reach = (g[2] + g[3]) * t.dtype.type(SLACK)
            along = (beyond_x - g[0] >= -reach) & (x - g[0] <= reach)
            may[b] = along & (beyond_y - g[1] >= -reach) & (y - g[1] <= reach)
        else:
            may[b] = (x < g[2]) & (t[6, b] > g[0]) & (y < g[3]) & (t[7, b] > g[1])


@inlined
def fill_holds(relation: int, c: Host, start: int, n: int, g: Any, margin: Any, holds: Host) -> None:
    """Tell which priors of a block, columns `c` (D, N), fulfil a relation."""
    for i in range(n):
        x, y = c[0, index(start + i)], c[1, index(start + i)]
        if relation == INSIDE:
            holds[i] = (x > g[0]) & (x < g[2]) & (y > g[1]) & (y < g[3])
        elif relation == INSIDE_BY_MARGIN:
            along = (x - g[0] > margin) & (g[2] - x > margin)
            holds[i] = along & (y - g[1] > margin) & (g[3] - y > margin)
        elif relation == INSIDE_OR_ON:
            holds[i] = (x >= g[0]) & (x <= g[2]) & (y >= g[1]) & (y <= g[3])
        elif relation == NEAR:
            rx, ry = c[2, index(start + i)], c[3, index(start + i)]
            holds[i] = (x > g[0] - rx) & (x < g[0] + rx) & (y > g[1] - ry) & (y < g[1] + ry)
        elif relation >= TURNED:
            dx, dy = x - g[0], y - g[1]
            along, across = abs(dx * g[4] + dy * g[5]), abs(dy * g[4] - dx * g[5])
            if relation == TURNED + INSIDE:
                holds[i] = (along < g[2]) & (across < g[3])
            elif relation == TURNED + INSIDE_OR_ON:
                holds[i] = (along <= g[2]) & (across <= g[3])
            else:
                holds[i] = (g[2] - along > margin) & (g[3] - across > margin)
        else:
            holds[i] = (
                (x < g[2]) & (c[2, index(start + i)] > g[0]) & (y < g[3]) & (c[3, index(start + i)] > g[1])
            )


@compiled
def list_pairs(
    relation: int, priors: Host, eligible: Host, masked: bool, gts: Host, gt_valid: Host, integers: Host,
    margin: float, most: int, rows: Host, places: Host,
) -> int:  # fmt: skip
    """List the pairs that fulfil a relation; return how many they are, or soon after they are too many.

    Parameters
    ----------
    relation : int
        Which.
    priors : array (B or 1, D, N)
        Points x, y; for `NEAR` how far is near along each axis too; for `TOUCHING` boxes.
    eligible, gt_valid : array (B or 1, N) and (B, G) of bool
        What counts.
    masked : bool
        Whether `eligible` is false somewhere.
    gts : array (B, G, 2, 4 or 6)
        Boxes; for `NEAR` centres; for oriented boxes what `TURNED` says.
    integers : array (0,)
        Of integers as wide as the priors' dtype.
    margin : float
        Of `INSIDE_BY_MARGIN`.
    most : int
        From how many on they are too many.
    rows, places : array (most + POINTS,) of integers
        Ground truths, through all images, and priors: what is found.
    """
    images, n_gts = gts.shape[:2]
    n_priors = priors.shape[2]
    by = priors.dtype.type(margin)
    blocks = (n_priors + POINTS - 1) // POINTS
    bounds = np.empty((8, blocks), integers.dtype)
    t, bits = bounds.view(priors.dtype), priors.view(integers.dtype)
    may = np.empty(blocks, np.uint8)
    holds = np.zeros(POINTS, np.uint8)
    words = holds.view(np.uint64)
    none = priors.dtype.type(0)
    count = 0
    for image in range(images):
        c = priors[min(image, priors.shape[0] - 1)]
        own_eligible = eligible[min(image, eligible.shape[0] - 1)]
        if image == 0 or priors.shape[0] > 1:
            for b in range(blocks):
                start, end = b * POINTS, min(n_priors, (b + 1) * POINTS)
                for column in range(c.shape[0]):
                    along, n = bits[image, column, start:end], end - start
                    bounds[column, b], bounds[4 + column, b] = lowest(along, n), highest(along, n)
        for g in range(n_gts):
            if not gt_valid[image, g]:
                continue
            first, own = count, gts[image, g]
            sides = (own[2], own[3]) if own.shape[0] > 2 else (none, none)
            turn = (own[4], own[5]) if own.shape[0] > 4 else (none, none)
            box = (own[0], own[1], *sides, *turn)
            fill_may_hold(relation, t, box, by, may)
            for b in range(blocks):
                if may[b] == 0:
                    continue
                start = b * POINTS
                n = min(POINTS, n_priors - start)
                fill_holds(relation, c, start, n, box, by, holds)
                if masked:
                    for i in range(n):
                        holds[i] &= own_eligible[index(start + i)]
                for i in range(n, POINTS):
                    holds[i] = 0
                # Where few hold, most words are zero.
                for w in range(POINTS // WORD):
                    if words[w] == 0:
                        continue
                    for i in range(w * WORD, (w + 1) * WORD):
                        places[count] = start + i
                        count += holds[i]
                if count > most:
                    return count
            rows[first:count] = image * n_gts + g
    return count


# -- The smallest of lists -----------------------------------------------------------------------------------


@compiled
def k_smallest_of_rows(values: Host, ends: Host, smallest: Host, places: Host) -> bool:
    """Find the smallest of each list, ascending, the first of equals; false where there is a NaN.

    `values` (P,) are the lists, which end before `ends` (R,). Of what a list has not, `smallest` (R, k) is
    infinite and `places` (R, k), counted from its first value, are the first others that it has, or 0.
    """
    start = 0
    infinity = values.dtype.type(np.inf)
    k = smallest.shape[1]
    for row in range(ends.shape[0]):
        count, last, broken = 0, infinity, False
        n = ends[row] - start
        for i in range(n):
            value = values[index(start + i)]
            broken |= value != value
            if value < last:
                count = insert(smallest[row], places[row], count, value, i)
                last = smallest[row, k - 1] if count == k else infinity
        if broken:
            return False
        if n >= k:
            fill_up(smallest[row], places[row], count, 0)
        else:
            for rank in range(count, k):
                smallest[row, rank], places[row, rank] = infinity, 0
        start = ends[row]
    return True


# -- The k nearest -------------------------------------------------------------------------------------------


@inlined
def over(offset: Any, unit: Any) -> Any:
    """Divide as :func:`assigncore.numerics.divided` does."""
    return offset / larger(unit, -abs(offset))


@compiled
def k_nearest_points(
    points: Host, eligible: Host, masked: bool, resort: Host, groups: Host, centers: Host, scale: Host,
    gt_groups: Host, integers: Host, last_resort: float, ends: Host, k: int, values: Host, places: Host,
) -> None:  # fmt: skip
    """Find the nearest points of each centre on each level, the first of equally near ones.

    A block of points whose bounds are farther away than k points of another is passed over. Subtracting,
    dividing, multiplying and adding round monotonically, so that a bound by the same operations is exact.

    Parameters
    ----------
    points : array (B or 1, 2, N)
        x and y.
    eligible, resort : array (B or 1, N) of bool
        Whether a point may be found; whether for want of others alone: its squared distance is `last_resort`.
        `resort` may be (0, 0).
    masked : bool
        Whether `eligible` is false somewhere.
    groups, gt_groups : array (B or 1, N) and (B, G) of integers, or (0, 0)
        A centre finds points of its own group alone.
    integers : array (0,)
        Of integers as wide as the points' dtype.
    centers, scale : array (B, G, 2), the second maybe (0, 0, 0)
        x and y, and the units of distances along them.
    last_resort : float
        See `resort`.
    ends : array (L,) of integers
        Where each level ends.
    k : int
        How many on each level, or all it has.
    values, places : arrays (B, G, K)
        What is found: squared distances and points, ascending on each level, one level after the other.
    """
    images, n_gts = centers.shape[:2]
    dtype = points.dtype.type
    zero, one, infinity, far = dtype(0), dtype(1), dtype(np.inf), dtype(last_resort)
    resorts, grouped, scaled = resort.shape[0] > 0, groups.shape[0] > 0, scale.shape[0] > 0
    most = begin = 0
    for level in range(ends.shape[0]):
        most = max(most, (ends[level] - begin + POINTS - 1) // POINTS)
        begin = ends[level]
    words = np.empty((4, most), integers.dtype)
    sides, bits = words.view(points.dtype), points.view(integers.dtype)
    reach_words = np.empty(most + 1, integers.dtype)
    reach, bound = reach_words.view(points.dtype), np.empty(most, points.dtype)
    distance = np.empty(POINTS, points.dtype)
    first_group, last_group = np.zeros(most, np.int64), np.zeros(most, np.int64)
    for image in range(images):
        own = min(image, points.shape[0] - 1)
        x, y = points[own, 0], points[own, 1]
        own_eligible = eligible[min(image, eligible.shape[0] - 1)]
        own_resort = resort[min(image, resort.shape[0] - 1)] if resorts else own_eligible
        begin = column = 0
        for level in range(ends.shape[0]):
            end = ends[level]
            found = min(k, end - begin)
            blocks = (end - begin + POINTS - 1) // POINTS
            for b in range(blocks):
                start, n = begin + b * POINTS, min(POINTS, end - begin - b * POINTS)
                for axis in range(2):
                    along = bits[own, axis, start : start + n]
                    words[2 * axis, b], words[2 * axis + 1, b] = lowest(along, n), highest(along, n)
                if grouped:
                    of_points = groups[min(image, groups.shape[0] - 1), start : start + n]
                    first_group[b], last_group[b] = of_points.min(), of_points.max()
            for g in range(n_gts):
                gx, gy = centers[image, g, 0], centers[image, g, 1]
                width, height = (scale[image, g, 0], scale[image, g, 1]) if scaled else (one, one)
                own_values = values[image, g, column : column + found]
                own_places = places[image, g, column : column + found]
                for b in range(blocks):
                    dx = outside(sides[0, b], sides[1, b], gx, zero)
                    dy = outside(sides[2, b], sides[3, b], gy, zero)
                    bound[b] = dx * dx + dy * dy
                if scaled:
                    for b in range(blocks):
                        dx = over(outside(sides[0, b], sides[1, b], gx, zero), width)
                        dy = over(outside(sides[2, b], sides[3, b], gy, zero), height)
                        bound[b] = dx * dx + dy * dy
                if resorts:
                    for b in range(blocks):
                        bound[b] = smaller(bound[b], far)
                # Bounds say little of a row's end with the next one's beginning: the farthest corner tells.
                for b in range(blocks):
                    dx = larger(abs(sides[0, b] - gx), abs(sides[1, b] - gx))
                    dy = larger(abs(sides[2, b] - gy), abs(sides[3, b] - gy))
                    reach[b] = dx * dx + dy * dy
                if grouped:
                    for b in range(blocks):
                        if not first_group[b] <= gt_groups[image, g] <= last_group[b]:
                            bound[b] = reach[b] = infinity
                reach_words[blocks] = lowest(reach_words, blocks)
                at = 0
                while reach[at] != reach[blocks]:
                    at += 1
                # The k-th of the closest block bounds the k-th of all; then all blocks in their order.
                limit = infinity
                count = 0
                for scan in range(2):
                    first, last = (
                        (at, min(blocks, at + 1 + (found - 1) // POINTS)) if scan == 0 else (0, blocks)
                    )
                    if scan == 1:
                        limit = own_values[found - 1] if count == found and found > 0 else infinity
                    count = 0
                    for b in range(first, last):
                        if bound[b] > limit or bound[b] == infinity:
                            continue
                        if count == found and (found == 0 or bound[b] >= own_values[found - 1]):
                            continue
                        start, n = begin + b * POINTS, min(POINTS, end - begin - b * POINTS)
                        for i in range(n):
                            dx, dy = x[index(start + i)] - gx, y[index(start + i)] - gy
                            distance[i] = dx * dx + dy * dy
                        if scaled:
                            for i in range(n):
                                dx, dy = (
                                    over(x[index(start + i)] - gx, width),
                                    over(y[index(start + i)] - gy, height),
                                )
                                distance[i] = dx * dx + dy * dy
                        if resorts:
                            for i in range(n):
                                distance[i] = far if own_resort[index(start + i)] else distance[i]
                        if masked:
                            for i in range(n):
                                distance[i] = distance[i] if own_eligible[index(start + i)] else infinity
                        if grouped:
                            of_points = groups[min(image, groups.shape[0] - 1), start : start + n]
                            for i in range(n):
                                distance[i] = distance[i] if of_points[i] == gt_groups[image, g] else infinity
                        last_value = own_values[found - 1] if count == found else infinity
                        near = 0
                        for i in range(n):
                            near += (distance[i] < last_value) & (distance[i] <= limit)
                        if near == 0:
                            continue
                        for i in range(n):
                            if distance[i] < last_value and distance[i] <= limit:
                                count = insert(own_values, own_places, count, distance[i], start + i)
                                last_value = own_values[found - 1] if count == found else infinity
                fill_up(own_values, own_places, count, begin)
            begin = end
            column += found


@compiled
def k_nearest_by_l1(shapes: Host, targets: Host, values: Host, places: Host) -> None:
    """Find the nearest `shapes` (B or 1, 4, N) of each of `targets` (B, G, 4), by the sum of differences.

    A shape that is infinite is none. `values` and `places` (B, G, K) are what is found, ascending, the first
    of equally near ones.
    """
    images, n_gts, found = values.shape
    n_priors = shapes.shape[2]
    infinity = shapes.dtype.type(np.inf)
    distance = np.empty(BLOCK, shapes.dtype)
    counts = np.zeros(n_gts, np.int64)
    for image in range(images):
        own = min(image, shapes.shape[0] - 1)
        a, b, c, d = shapes[own, 0], shapes[own, 1], shapes[own, 2], shapes[own, 3]
        counts[:] = 0
        for start in range(0, n_priors, BLOCK):
            n = min(BLOCK, n_priors - start)
            for g in range(n_gts):
                ga, gb, gc, gd = (
                    targets[image, g, 0], targets[image, g, 1], targets[image, g, 2], targets[image, g, 3]
                )  # fmt: skip
                last = values[image, g, found - 1] if counts[g] == found else infinity
                near = 0
                for i in range(n):
                    one = abs(ga - a[index(start + i)]) + abs(gb - b[index(start + i)])
                    one = (one + abs(gc - c[index(start + i)])) + abs(gd - d[index(start + i)])
                    distance[i] = one
                    near += one < last
                if near == 0:
                    continue
                for i in range(n):
                    if distance[i] < last:
                        counts[g] = insert(
                            values[image, g], places[image, g], counts[g], distance[i], start + i
                        )
                        last = values[image, g, found - 1] if counts[g] == found else infinity
        for g in range(n_gts):
            fill_up(values[image, g], places[image, g], counts[g], 0)
