"""Scenes to assign: Hypothesis strategies for the arguments of one image, and what the laws do to them.

The arguments of an assigner are named as its signature names them, and each has its rows along the first
axis: rows of priors (``N``), of ground truths (``G``) or of ignore regions (``I``). A new kind of argument is
a line in `ROWS`.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import strategies as st

from assigncore.priors import AnchorGenerator

ROWS = {
    "priors": "N",
    "prior_valid": "N",
    "approxs": "N",
    "responsible_flags": "N",
    "pred_bboxes": "N",
    "pred_scores": "N",
    "pred_logits": "N",
    "pred_objectness": "N",
    "pred_masks": "N",
    "gt_bboxes": "G",
    "gt_labels": "G",
    "gt_masks": "G",
    "gt_valid": "G",
    "ignore_bboxes": "I",
    "ignore_valid": "I",
}
MASKS = {"N": "prior_valid", "G": "gt_valid", "I": "ignore_valid"}
PREDICTIONS = ("pred_bboxes", "pred_scores", "pred_logits", "pred_objectness", "pred_masks")
NOT_BOXES = PREDICTIONS[1:]
FLOATS = ("priors", "approxs", "gt_bboxes", "ignore_bboxes", *PREDICTIONS)

CLASSES = 10
"""Labels are below it, and predictions have as many classes."""

MASK_SHAPE = (8, 6)
"""Height and width of masks."""

BROKEN = (np.nan, np.inf, -np.inf)

GRID = 7
"""Places of a corner along an axis."""


@dataclass(frozen=True)
class Sizes:
    """How many rows of each kind a scene has. Few different ones are in use: JAX compiles for each anew."""

    priors: int = 12
    gts: int = 4
    regions: int = 2
    approxs: int = 2


FULL = Sizes()
SMALLER = Sizes(9, 3, 1)


def _corners_to_boxes(corners, rng):
    """Order the corners of most boxes; the rest stays inverted. Equal corners are degenerate boxes."""
    low, high = np.minimum(corners[..., :2], corners[..., 2:]), np.maximum(corners[..., :2], corners[..., 2:])
    ordered = np.concatenate([low, high], axis=-1)
    return np.where(rng.random(corners.shape[:-1])[..., None] < 0.9, ordered, corners)


@st.composite
def grids(draw, sizes=FULL, dtype=np.float32):
    """Boxes with corners on a coarse integer grid: full of ties, empty boxes, inverted boxes, and copies."""
    count = sizes.priors + sizes.gts + sizes.regions
    # Bytes are drawn at once, which takes a tenth of the time of as many numbers, and shrink as numbers do.
    corners = np.frombuffer(draw(st.binary(min_size=4 * count, max_size=4 * count)), np.uint8) % GRID
    corners = corners.reshape(count, 4).astype(np.int8)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    boxes = _corners_to_boxes(corners, rng).astype(dtype)
    near = boxes[: sizes.priors, None] + rng.integers(-2, 3, (sizes.priors, sizes.approxs, 4))
    return _scene(boxes, near.astype(dtype), sizes, rng, tied=True)


@st.composite
def floats(draw, sizes=FULL, dtype=np.float32):
    """Boxes at random places of random sizes, most of which overlap something."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = sizes.priors + sizes.gts + sizes.regions
    corner = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corner, corner + rng.lognormal(3, 0.8, (count, 2))], axis=-1).astype(dtype)
    near = boxes[: sizes.priors, None] + rng.normal(0, 5, (sizes.priors, sizes.approxs, 4))
    return _scene(boxes, near.astype(dtype), sizes, rng)


@cache
def _pyramid():
    generator = AnchorGenerator(strides=(8, 16, 32), ratios=(0.5, 1.0, 2.0), scales=(2.0,))
    return generator.grid(generator.featmap_sizes((64, 96))).priors


@st.composite
def anchors(draw, sizes=FULL, dtype=np.float32):
    """Anchors of a feature pyramid in their order, and objects some of which are anchors themselves."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pyramid = _pyramid()
    start = rng.integers(0, len(pyramid) - 3 * sizes.priors)
    priors = pyramid[start : start + 3 * sizes.priors : 3]
    others = pyramid[rng.integers(0, len(pyramid), sizes.gts + sizes.regions)]
    others[: sizes.gts // 2] = priors[rng.integers(0, sizes.priors, sizes.gts // 2)]
    others[sizes.gts // 3 :] += np.round(rng.normal(0, 6, (len(others) - sizes.gts // 3, 4)), 1)
    boxes = np.concatenate([priors, others]).astype(dtype)
    near = boxes[: sizes.priors, None] * rng.uniform(0.8, 1.2, (1, sizes.approxs, 4))
    return _scene(boxes, near.astype(dtype), sizes, rng)


@st.composite
def apart(draw, sizes=FULL):
    """Ground truths and ignore regions far apart, priors about them: nothing ties or is wanted twice."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = sizes.gts + sizes.regions
    corner = 1000.0 * rng.permutation(count)[:, None] + rng.uniform(0, 50, (count, 2))
    others = np.concatenate([corner, corner + rng.uniform(30, 60, (count, 2))], axis=-1)
    about = rng.permutation(np.concatenate([np.arange(count), rng.integers(0, count, sizes.priors - count)]))
    priors = others[about] + rng.uniform(-8, 8, (sizes.priors, 4))
    boxes = np.concatenate([priors, others]).astype(np.float32)
    near = boxes[: sizes.priors, None] + rng.uniform(-3, 3, (sizes.priors, sizes.approxs, 4))
    scene = _scene(boxes, near.astype(np.float32), sizes, rng)
    return {**scene, **{mask: np.ones_like(scene[mask]) for mask in MASKS.values()}}


def predictions(boxes, rng, *, tied):
    """Give what might be predicted from priors that are these boxes (N, 4), and masks of as many objects.

    Where it is `tied`, boxes are shifted on the grid and numbers are few, of which some are extreme.
    """
    count, dtype = len(boxes), boxes.dtype
    shift = rng.integers(-1, 2, (count, 4)) if tied else rng.normal(0, 4, (count, 4))
    # Few kinds of rows, so that what ties does so number by number.
    kinds = rng.integers(0, 5, (3, CLASSES)) / 4 if tied else rng.uniform(0.02, 0.98, (count, CLASSES))
    scores = kinds[rng.integers(0, len(kinds), count)] if tied else kinds
    objectness = rng.integers(-1, 2, count) if tied else rng.normal(0, 2, count)
    masks = rng.integers(-1, 2, (count, *MASK_SHAPE)) if tied else rng.normal(0, 2, (count, *MASK_SHAPE))
    found = {
        "pred_bboxes": boxes + shift,
        "pred_scores": scores,
        "pred_logits": 8 * scores - 4,
        "pred_objectness": objectness,
        "pred_masks": masks,
    }
    return {name: x.astype(dtype) for name, x in found.items()}


def _scene(boxes, approxs, sizes, rng, *, tied=False):
    cuts = np.cumsum([sizes.priors, sizes.gts])
    priors, gts, regions = np.split(boxes, cuts)
    return {
        "priors": priors,
        "prior_valid": rng.random(sizes.priors) < 0.9,
        "approxs": approxs,
        "responsible_flags": rng.random(sizes.priors) < 0.6,
        "gt_bboxes": gts,
        "gt_labels": rng.integers(0, CLASSES, sizes.gts),
        "gt_valid": rng.random(sizes.gts) < 0.8,
        "ignore_bboxes": regions,
        "ignore_valid": rng.random(sizes.regions) < 0.7,
        "gt_masks": rng.random((sizes.gts, *MASK_SHAPE)) < 0.4,
        **predictions(priors, rng, tied=tied),
    }


@st.composite
def with_broken_rows(draw, scenes):
    """Put NaN, infinities and overflowing numbers into some rows of a scene."""
    scene = dict(draw(scenes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for name in FLOATS:
        huge = np.finfo(scene[name].dtype).max
        array = scene[name].copy()
        rows = np.flatnonzero(rng.random(len(array)) < (0.1 if name in PREDICTIONS else 0.3))
        if name in NOT_BOXES:
            # An infinite logit means something, and a NaN matters only to ground truths of its class.
            array[rows], scene[name] = np.nan, array
            continue
        places = tuple(rng.integers(0, length, len(rows)) for length in array.shape[1:])
        array[(rows, *places)] = rng.choice([*BROKEN, huge, -huge], len(rows)).astype(array.dtype)
        scene[name] = array
    return scene


def any_scenes(sizes=FULL, *, tied=True):
    """Scenes of every kind, with padding and with broken rows; most are full of ties unless told otherwise."""
    kinds = [grids(sizes), grids(sizes), anchors(sizes), floats(sizes)] if tied else [floats(sizes)]
    return st.one_of(*kinds, *map(with_broken_rows, kinds))


def take_rows(arguments, kind, index):
    """Keep the rows of one kind that `index` names, in its order."""
    return {name: array[index] if ROWS[name] == kind else array for name, array in arguments.items()}


def scatter_rows(arguments, kind, places, count, rng):
    """Move the rows of one kind to `places` among `count`, all others padding of the most harmful values."""
    padded = {}
    for name, array in arguments.items():
        if ROWS[name] != kind:
            padded[name] = array
            continue
        spread = _garbage(name, (count, *array.shape[1:]), array.dtype, rng)
        spread[places] = array
        padded[name] = spread
    mask = np.zeros(count, dtype=bool)
    mask[places] = arguments.get(MASKS[kind], True)
    return {**padded, MASKS[kind]: mask}


def _garbage(name, shape, dtype, rng):
    if dtype.kind == "f":
        return rng.choice([np.nan, np.inf, 0.0, 3.0, 6.0, 50.0], shape).astype(dtype)
    return rng.random(shape) < 0.5 if dtype.kind == "b" else rng.integers(-5, 99, shape).astype(dtype)


def stack(images, lead):
    """Batch the arguments of several images, with the leading dimensions `lead`."""
    batch = {name: np.stack([image[name] for image in images]) for name in images[0]}
    return {name: array.reshape(*lead, *array.shape[1:]) for name, array in batch.items()}
