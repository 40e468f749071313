"""Scenes that Hypothesis draws: few rows, full of ties, of broken numbers, or of neither."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from hypothesis import strategies as st

from assigncore.conformance.scenes.kinds import around
from assigncore.conformance.scenes.scene import BOXES, SCORES, Level, scene_of
from assigncore.priors import AnchorGenerator

BROKEN = (np.nan, np.inf, -np.inf)

GRID = 7
"""Places of a corner along an axis."""


@dataclass(frozen=True)
class Sizes:
    """How many rows of each kind a scene has. One size is in use: JAX compiles for each anew."""

    levels: tuple[Level, ...] = (Level(2, 4, 8), Level(1, 2, 16), Level(1, 2, 32))
    gts: int = 4
    regions: int = 2

    @property
    def priors(self):
        """Number of priors."""
        return sum(level.cells for level in self.levels)

    @property
    def boxes(self):
        """Number of boxes of all kinds."""
        return self.priors + self.gts + self.regions


FULL = Sizes()


def _corners_to_boxes(corners, rng):
    """Order the corners of most boxes; the rest stays inverted. Equal corners are degenerate boxes."""
    low, high = np.minimum(corners[..., :2], corners[..., 2:]), np.maximum(corners[..., :2], corners[..., 2:])
    ordered = np.concatenate([low, high], axis=-1)
    return np.where(rng.random(corners.shape[:-1])[..., None] < 0.9, ordered, corners).astype(float)


@st.composite
def grids(draw, sizes=FULL):
    """Boxes with corners on a coarse integer grid: full of ties, empty boxes, inverted boxes, and copies."""
    # Bytes are drawn at once, which takes a tenth of the time of as many numbers, and shrink as numbers do.
    count = 4 * sizes.boxes
    corners = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), np.uint8) % GRID
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    boxes = _corners_to_boxes(corners.reshape(-1, 4).astype(np.int8), rng)
    near = boxes[: sizes.priors, None] + rng.integers(-2, 3, (sizes.priors, 3, 4))
    scene = scene_from("grid", boxes, near, sizes, rng, coarse=True)
    # Few kinds of rows, so that what ties does so number by number.
    kinds = rng.integers(0, 5, (3, scene.arrays["pred_logits"].shape[-1])) / 4
    scores = kinds[rng.integers(0, len(kinds), sizes.priors)]
    shifted = scene.arrays["priors"] + rng.integers(-1, 2, (sizes.priors, 4))
    return scene.with_arrays(pred_bboxes=shifted, pred_scores=scores, pred_logits=8 * scores - 4)


@st.composite
def floats(draw, sizes=FULL):
    """Boxes at random places of random sizes, most of which overlap something."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corner = rng.uniform(0, 100, (sizes.boxes, 2))
    boxes = np.concatenate([corner, corner + rng.lognormal(3, 0.8, (sizes.boxes, 2))], axis=-1)
    near = boxes[: sizes.priors, None] + rng.normal(0, 5, (sizes.priors, 3, 4))
    return scene_from("floats", boxes, near, sizes, rng)


@cache
def _pyramid():
    generator = AnchorGenerator(strides=(8, 16, 32), ratios=(0.5, 1.0, 2.0), scales=(2.0,))
    return generator.grid(generator.featmap_sizes((64, 96))).priors.astype(float)


@st.composite
def anchors(draw, sizes=FULL):
    """Anchors of a feature pyramid in their order, and objects some of which are anchors themselves."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pyramid = _pyramid()
    start = rng.integers(0, len(pyramid) - 3 * sizes.priors)
    priors = pyramid[start : start + 3 * sizes.priors : 3]
    others = pyramid[rng.integers(0, len(pyramid), sizes.gts + sizes.regions)]
    others[: sizes.gts // 2] = priors[rng.integers(0, sizes.priors, sizes.gts // 2)]
    others[sizes.gts // 3 :] += np.round(rng.normal(0, 6, (len(others) - sizes.gts // 3, 4)), 1)
    near = priors[:, None] * rng.uniform(0.8, 1.2, (1, 3, 4))
    return scene_from("anchors", np.concatenate([priors, others]), near, sizes, rng)


@st.composite
def apart(draw, sizes=FULL):
    """Ground truths and ignore regions far apart, priors about them: nothing ties or is wanted twice."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = sizes.gts + sizes.regions
    corner = 1000.0 * rng.permutation(count)[:, None] + rng.uniform(0, 50, (count, 2))
    others = np.concatenate([corner, corner + rng.uniform(30, 60, (count, 2))], axis=-1)
    priors = np.zeros((sizes.priors, 4))
    scene = scene_from(
        "apart", np.concatenate([priors, others]), priors[:, None] + np.zeros((3, 1)), sizes, rng
    )
    return around(scene, others, rng)


def scene_from(kind, boxes, approxs, sizes, rng, *, coarse=False):
    """Give the scene of a kind whose priors, ground truths and ignore regions are these boxes, in this order."""
    priors, gts, regions = np.split(boxes, np.cumsum([sizes.priors, sizes.gts]))
    scene = scene_of(kind, kind, gts, rng, levels=sizes.levels, ignore_bboxes=regions, coarse=coarse)
    return scene.with_arrays(
        priors=priors,
        strides=np.full(sizes.priors, 8.0),
        approxs=approxs,
        ignore_bboxes=regions,
        pred_bboxes=priors + rng.normal(0, 4, priors.shape),
    )


@st.composite
def with_broken_rows(draw, scenes):
    """Put NaN, infinities and overflowing numbers into some rows of a scene."""
    scene = draw(scenes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    huge, broken = float(np.finfo(np.float32).max), {}
    for name in (*BOXES, *SCORES):
        x = scene.arrays[name].copy()
        predicted = name.startswith("pred_")
        rows = np.flatnonzero(rng.random(len(x)) < (0.1 if predicted else 0.3))
        if name in SCORES:
            # An infinite logit means something, and a NaN matters only to ground truths of its class.
            x[rows] = np.nan
        else:
            places = tuple(rng.integers(0, length, len(rows)) for length in x.shape[1:])
            x[(rows, *places)] = rng.choice([*BROKEN, huge, -huge], len(rows))
        broken[name] = x
    return replace(scene.with_arrays(**broken), kind="broken")


def sound_scenes(subject):
    """Scenes without broken numbers that a subject can be held to the laws on; most are full of ties."""
    return st.one_of(grids(), grids(), anchors(), floats()) if subject.tied else floats()


def any_scenes(subject):
    """Scenes of every kind that a subject can be held to the laws on, with padding and with broken rows."""
    return st.one_of(sound_scenes(subject), with_broken_rows(sound_scenes(subject)))


def crowd(n_priors, n_gts, seed):
    """Give small boxes in rows across an image, as anchors lie, and objects that few of them touch."""
    rng = np.random.default_rng(seed)

    def small(count):
        corner = np.stack([rng.integers(0, 90, count), np.sort(rng.integers(0, 90, count))], axis=-1)
        return np.concatenate([corner, corner + rng.integers(0, 12, (count, 2))], axis=-1).astype(float)

    sizes = Sizes((Level(1, n_priors - 2, 8), Level(1, 1, 16), Level(1, 1, 32)), n_gts, 5)
    boxes = np.concatenate([small(n_priors), rng.permutation(small(n_gts)), small(5)])
    near = boxes[:n_priors, None] + rng.integers(-2, 3, (n_priors, 3, 4))
    return scene_from(f"crowd-{seed}", boxes, near, sizes, rng)
