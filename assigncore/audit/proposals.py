"""Proposals: the priors of a second stage, read from a results file or simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assigncore.audit.results import Results
from assigncore.checks import shortened
from assigncore.datasets import Dataset, Image
from assigncore.inspect.display import plural

POSITION_NOISE = 0.2
SIZE_NOISE = 0.3
SMALLEST_BACKGROUND = 16.0

MOST_BOXES = 100_000
"""Proposals or queries of an image; detectors have some thousands."""


def check_count(name: str, value: Any) -> None:
    """Refuse a number of boxes of an image that leaves nothing, or that no training could hold."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}")
    if value > MOST_BOXES:
        raise ValueError(f"{name}: expected at most {MOST_BOXES:,}, got {shortened(value)}")


@dataclass(frozen=True)
class Proposals:
    """How many boxes a region proposal network hands to the second stage, and how they are simulated.

    Parameters
    ----------
    max_per_image : int
        Proposals of an image: the best scored of a results file, or as many simulated ones. Default 1000.
    per_object : int
        Simulated proposals around each object; more than ``max_per_image`` in all if there are many objects.
        Default 8.
    """

    max_per_image: int = 1000
    per_object: int = 8

    def __post_init__(self) -> None:
        """Refuse counts that leave nothing."""
        for name in ("max_per_image", "per_object"):
            check_count(name, getattr(self, name))

    def simulate(self, dataset: Dataset, image: Image, seed: int) -> Any:
        """Draw proposals around the objects of an image, and background, shape (n, 4), x1 y1 x2 y2.

        Every object has ``per_object`` copies with centres moved by ``POSITION_NOISE`` of its sides and sides
        scaled by ``exp(SIZE_NOISE)``, each times a standard normal number; the rest are boxes of log-uniform
        sizes anywhere. The same seed and image id give the same boxes, whatever else is in the data set.
        """
        rng = drawing(seed, image)
        boxes = dataset.objects(image).bboxes
        around = np.repeat(boxes, self.per_object, axis=0)
        sides = around[:, 2:] - around[:, :2]
        centers = (around[:, :2] + around[:, 2:]) / 2 + sides * rng.normal(0, POSITION_NOISE, sides.shape)
        sides = sides * np.exp(rng.normal(0, SIZE_NOISE, sides.shape))
        drawn = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
        background = draw_background(rng, image, max(0, self.max_per_image - len(around)))
        return np.concatenate([clip_to(image, drawn), background])

    def describe(self, source: Results | None, seed: int) -> str:
        """Say in one sentence where the proposals come from."""
        if source is not None:
            used = f"proposals: the {self.max_per_image} best of each image in {source.path}"
            unused = source.num_unusable
            return used + (f"; {plural(unused, 'entry', 'entries')} not used" if unused else "")
        return (
            f"proposals are SIMULATED (no --proposals): {self.per_object} jittered copies of every object "
            f"(centre noise {POSITION_NOISE:g} of a side, side noise {SIZE_NOISE:g} in log) and random "
            f"background up to {self.max_per_image} an image, seed {seed}: the counts show the rule at work, "
            f"not your detector"
        )


def drawing(seed: int, image: Image, purpose: bytes = b"") -> np.random.Generator:
    """Give the random numbers of an image for some purpose: its own, whatever else is in the data set."""
    # JSON may hold halves of surrogate pairs.
    return np.random.default_rng([seed, *purpose, *str(image.id).encode(errors="surrogatepass")])


def draw_background(rng: np.random.Generator, image: Image, count: int) -> Any:
    """Draw boxes of log-uniform sizes anywhere on an image, shape (count, 4), x1 y1 x2 y2."""
    extent = np.asarray([image.width, image.height], dtype=np.float64)
    smallest = np.minimum(SMALLEST_BACKGROUND, extent)
    sides = np.exp(rng.uniform(np.log(smallest), np.log(extent), (count, 2)))
    centers = rng.uniform(0, 1, (count, 2)) * extent
    return clip_to(image, np.concatenate([centers - sides / 2, centers + sides / 2], axis=1))


def clip_to(image: Image, boxes: Any) -> Any:
    """Cut boxes (n, 4) off at the image's edges."""
    return np.clip(boxes, 0, [image.width, image.height] * 2)


def fpn_levels(boxes: Any) -> Any:
    """Pyramid level that a proposal's features are taken from, counted from P2, shape (..., n).

    Lin et al., "Feature Pyramid Networks" (2017), equation 1: ``floor(4 + log2(sqrt(w h) / 224))`` in 2 .. 5.
    """
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    size = np.maximum(np.sqrt(sides[..., 0] * sides[..., 1]), 1e-6)
    return np.clip(np.floor(4 + np.log2(size / 224)), 2, 5).astype(np.int64) - 2
