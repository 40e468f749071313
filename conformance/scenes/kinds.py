"""The kinds of generated scenes, each drawn from a seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import cycle, islice
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.scenes.scene import MASKS, Scene, scene_of

__all__ = ["KINDS", "around", "draw_scene", "draw_scenes"]

AnyArray = NDArray[Any]
Draw = Callable[[str, np.random.Generator], Scene]

COUNT = 8
"""Ground truths of a scene, where its kind is not about their number: libraries compile for each anew."""


def _boxes(rng: np.random.Generator, count: int = COUNT, median: float = 14.0) -> AnyArray:
    center = rng.uniform(0, 64, (count, 2))
    half = rng.lognormal(np.log(median), 0.7, (count, 2)) / 2
    return np.concatenate([center - half, center + half], axis=-1)


def _fpn(name: str, rng: np.random.Generator) -> Scene:
    """Objects of all sizes over a feature pyramid."""
    return scene_of(name, "fpn", _boxes(rng), rng)


def _points(name: str, rng: np.random.Generator) -> Scene:
    """Small objects, many of which hold no more than one cell's centre, or none."""
    return scene_of(name, "points", _boxes(rng, median=5.0), rng)


def _crowd(name: str, rng: np.random.Generator) -> Scene:
    """Objects that all want the same priors."""
    box = np.array([16.0, 16, 44, 48]) + rng.normal(0, 3, (COUNT, 4))
    return scene_of(name, "crowd", box, rng)


def _ties(name: str, rng: np.random.Generator) -> Scene:
    """Corners on a coarse integer grid, copies among them, and predictions of few values."""
    low = rng.integers(0, 12, (COUNT, 2)) * 4
    boxes = np.concatenate([low, low + rng.integers(1, 7, (COUNT, 2)) * 4], axis=-1).astype(float)
    boxes[COUNT // 2 :: 2] = boxes[: (COUNT + 2) // 4]
    return scene_of(name, "ties", boxes, rng, coarse=True)


def _degenerate(name: str, rng: np.random.Generator) -> Scene:
    """Boxes without width or height, inverted ones, and one as large as the image."""
    boxes = _boxes(rng)
    boxes[0, 2:] = boxes[0, :2]
    boxes[1, 2] = boxes[1, 0]
    boxes[2] = boxes[2][[2, 3, 0, 1]]
    boxes[3] = (0, 0, 64, 64)
    scene = scene_of(name, "degenerate", boxes, rng)
    flat = np.where(rng.random((scene.n_priors, 1)) < 0.2, scene.arrays["pred_bboxes"][:, [0, 1, 0, 1]],
                    scene.arrays["pred_bboxes"])  # fmt: skip
    return scene.with_arrays(pred_bboxes=flat)


def _empty(name: str, rng: np.random.Generator) -> Scene:
    """No ground truth, not even a padded one."""
    return scene_of(name, "empty", np.zeros((0, 4)), rng, ignore_bboxes=_boxes(rng, 2))


def _all_padded(name: str, rng: np.random.Generator) -> Scene:
    """Rows that are all padding: the ground truths, the priors, or both."""
    scene = scene_of(name, "all padded", _boxes(rng), rng)
    which = rng.integers(0, 3)
    masks = {"gt_valid": np.zeros(COUNT, dtype=bool), "prior_valid": np.zeros(scene.n_priors, dtype=bool)}
    return scene.with_arrays(**dict(list(masks.items())[which % 2 : 2 if which else 1]))


def _scaled(scene: Scene, factor: float) -> Scene:
    places = ("priors", "approxs", "pred_bboxes", "gt_bboxes", "ignore_bboxes")
    return scene.with_arrays(**{name: scene.arrays[name] * factor for name in places})


def _huge(name: str, rng: np.random.Generator) -> Scene:
    """Coordinates far beyond any image; those of half precision overflow."""
    factor = 10.0 ** rng.integers(2, 15)
    return _scaled(scene_of(name, "huge", _boxes(rng), rng), factor)


def _subnormal(name: str, rng: np.random.Generator) -> Scene:
    """Coordinates whose products, or which themselves, are below the least normal number of float32."""
    factor = 10.0 ** -rng.integers(19, 43)
    return _scaled(scene_of(name, "subnormal", _boxes(rng), rng), factor)


def _half(name: str, rng: np.random.Generator) -> Scene:
    """Numbers that float16 holds exactly, so that all dtypes see the same ones."""
    scene = scene_of(name, "half", _boxes(rng), rng)
    rounded = {
        key: x.astype(np.float16).astype(float) for key, x in scene.arrays.items() if x.dtype.kind == "f"
    }
    return scene.with_arrays(**rounded)


def _non_finite(name: str, rng: np.random.Generator) -> Scene:
    """NaN and infinite numbers among all inputs."""
    scene = scene_of(name, "non-finite", _boxes(rng), rng)
    broken = {}
    for key, x in scene.arrays.items():
        if x.dtype.kind == "f":
            share = 0.08 if key.startswith(("gt", "ignore")) else 0.02
            some = rng.choice([np.nan, np.inf, -np.inf], x.shape)
            broken[key] = np.where(rng.random(x.shape) < share, some, x)
    return scene.with_arrays(**broken)


@cache
def _annotations() -> tuple[AnyArray, ...]:
    """Give the boxes of each image of the annotations that come with the package, in pixels."""
    text = (files("assigncore") / "data" / "neon_trees.json").read_text(encoding="utf-8")
    images: dict[int, list[list[float]]] = {}
    for entry in json.loads(text)["annotations"]:
        x, y, w, h = entry["bbox"]
        images.setdefault(entry["image_id"], []).append([x, y, x + w, y + h])
    return tuple(np.array(boxes, dtype=float) for boxes in images.values())


def _real(name: str, rng: np.random.Generator) -> Scene:
    """Cut a window out of an annotated aerial image, around a tree crown with its nearest neighbours."""
    images = _annotations()
    boxes = images[rng.integers(len(images))]
    one = boxes[rng.integers(len(boxes))]
    low = (one[:2] + one[2:]) / 2 - 32
    moved = boxes - np.tile(low, 2)
    distance = np.abs((moved[:, :2] + moved[:, 2:]) / 2 - 32).max(axis=1)
    return scene_of(name, "real", moved[np.argsort(distance, kind="stable")[:COUNT]], rng)


def _apart(name: str, rng: np.random.Generator) -> Scene:
    """Ground truths and ignore regions far apart, priors about them: nothing ties or is wanted twice."""
    low = 1000.0 * rng.permutation(COUNT + 2)[:, None] + rng.uniform(0, 50, (COUNT + 2, 2))
    boxes = np.concatenate([low, low + rng.uniform(30, 60, (COUNT + 2, 2))], axis=-1)
    scene = scene_of(name, "apart", boxes[:COUNT], rng, ignore_bboxes=boxes[COUNT:])
    return around(scene, boxes, rng)


def around(scene: Scene, boxes: AnyArray, rng: np.random.Generator) -> Scene:
    """Lay the priors of a scene about boxes, at least one about each, and let nothing be padding."""
    which = np.arange(scene.n_priors) % len(boxes)
    priors = boxes[rng.permutation(which)] + rng.uniform(-8, 8, (scene.n_priors, 4))
    masks = {mask: np.ones_like(scene.arrays[mask]) for mask in MASKS.values()}
    return scene.with_arrays(
        **masks,
        priors=priors,
        strides=np.full(scene.n_priors, 8.0),
        pred_bboxes=priors + rng.normal(0, 3, priors.shape),
        approxs=priors[:, None] + rng.uniform(-3, 3, scene.arrays["approxs"].shape),
    )


KINDS: Mapping[str, Draw] = MappingProxyType(
    {
        "fpn": _fpn,
        "ties": _ties,
        "crowd": _crowd,
        "non_finite": _non_finite,
        "all_padded": _all_padded,
        "real": _real,
        "degenerate": _degenerate,
        "points": _points,
        "huge": _huge,
        "subnormal": _subnormal,
        "half": _half,
        "empty": _empty,
        "apart": _apart,
    }
)
"""What draws each kind."""


def draw_scene(name: str) -> Scene:
    """Draw a scene by its name, such as ``"ties-0-17"``: kind, seed, number.

    Raises
    ------
    ValueError
        If there is no such kind, or the name is not of this form.

    Examples
    --------
    >>> draw_scene("ties-0-17").kind
    'ties'
    """
    kind, _, numbers = name.partition("-")
    seed, _, number = numbers.partition("-")
    if kind not in KINDS or not (seed.isdecimal() and number.isdecimal()):
        raise ValueError(f"scene {name!r}: expected KIND-SEED-NUMBER, with a kind of {', '.join(KINDS)}")
    order = list(KINDS).index(kind)
    return KINDS[kind](name, np.random.default_rng((int(seed), int(number), order)))


def draw_scenes(count: int, seed: int = 0, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Scene]:
    """Draw scenes of all kinds in turn.

    Parameters
    ----------
    count : int
        How many.
    seed : int, default 0
        The same seed gives the same scenes.
    kinds : sequence of str, optional
        The kinds; all by default.

    Examples
    --------
    >>> [scene.name for scene in draw_scenes(2, seed=3)]
    ['fpn-3-0', 'ties-3-1']
    """
    for number, kind in enumerate(islice(cycle(kinds), count)):
        yield draw_scene(f"{kind}-{seed}-{number}")
