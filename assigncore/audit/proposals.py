"""Proposals: the priors of a second stage, read from a results file or simulated."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assigncore.audit.coco import Dataset, Image, read_json
from assigncore.audit.errors import AuditError

POSITION_NOISE = 0.2
SIZE_NOISE = 0.3
SMALLEST_BACKGROUND = 16.0


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
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}")

    def simulate(self, dataset: Dataset, image: Image, seed: int) -> Any:
        """Draw proposals around the objects of an image, and background, shape (n, 4), x1 y1 x2 y2.

        Every object has ``per_object`` copies with centres moved by ``POSITION_NOISE`` of its sides and sides
        scaled by ``exp(SIZE_NOISE)``, each times a standard normal number; the rest are boxes of log-uniform
        sizes anywhere. The same seed and image id give the same boxes, whatever else is in the data set.
        """
        rng = np.random.default_rng([seed, *str(image.id).encode()])
        boxes = np.asarray([a.bbox for a in dataset.objects(image)], dtype=np.float64).reshape(-1, 4)
        around = np.repeat(boxes, self.per_object, axis=0)
        sides = around[:, 2:] - around[:, :2]
        centers = (around[:, :2] + around[:, 2:]) / 2 + sides * rng.normal(0, POSITION_NOISE, sides.shape)
        sides = sides * np.exp(rng.normal(0, SIZE_NOISE, sides.shape))
        count = max(0, self.max_per_image - len(around))
        extent = np.asarray([image.width, image.height], dtype=np.float64)
        smallest = np.minimum(SMALLEST_BACKGROUND, extent)
        background = np.exp(rng.uniform(np.log(smallest), np.log(extent), (count, 2)))
        centers = np.concatenate([centers, rng.uniform(0, 1, (count, 2)) * extent])
        sides = np.concatenate([sides, background])
        drawn = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
        return np.clip(drawn, 0, np.tile(extent, 2))

    def describe(self, source: ProposalFile | None, seed: int) -> str:
        """Say in one sentence where the proposals come from."""
        if source is not None:
            unused = f"; {source.num_unusable:,} of its entries are not used" if source.num_unusable else ""
            return f"proposals: the {self.max_per_image} best of each image in {source.path}{unused}"
        return (
            f"proposals are SIMULATED (no --proposals): {self.per_object} jittered copies of every object "
            f"(centre noise {POSITION_NOISE:g} of a side, side noise {SIZE_NOISE:g} in log) and random "
            f"background up to {self.max_per_image} an image, seed {seed}: the counts show the rule at work, "
            f"not your detector"
        )


@dataclass(frozen=True)
class ProposalFile:
    """Proposals from a COCO results file.

    Attributes
    ----------
    path : Path
    boxes : mapping of image id to array, shape (n, 4)
        x1 y1 x2 y2 in original pixels, best score first, equal scores in the file's order.
    num_unusable : int
        Entries without a usable box or of an image that is not in the data set.
    """

    path: Path
    boxes: Mapping[int | str, Any]
    num_unusable: int

    def of(self, image: Image, max_per_image: int) -> Any:
        """Best proposals of an image, shape (n, 4)."""
        return self.boxes.get(image.id, np.zeros((0, 4)))[:max_per_image]


def load_proposals(path: Path, dataset: Dataset) -> ProposalFile:
    """Read a COCO results file: a list of objects with image_id, bbox (x y width height) and score.

    Raises
    ------
    AuditError
        If the file cannot be read, is no such list, or has no usable box for the data set's images.
    """
    document = read_json(path)
    if not isinstance(document, list):
        raise AuditError(
            f"--proposals {path}: expected a COCO results file, a list of boxes with image_id and score"
        )
    known = {image.id for image in dataset.images}
    found: dict[int | str, list[tuple[float, tuple[float, ...]]]] = {}
    for entry in document:
        read = _read_box(entry)
        if read is not None and entry.get("image_id") in known:
            found.setdefault(entry["image_id"], []).append(read)
    if not found:
        raise AuditError(
            f"--proposals {path}: none of the {len(document)} entries is a box of an image of this run"
        )
    boxes = {}
    for image_id, scored in found.items():
        scored.sort(key=lambda pair: -pair[0])
        boxes[image_id] = np.asarray([box for _, box in scored])
    return ProposalFile(path, boxes, len(document) - sum(map(len, found.values())))


def fpn_levels(boxes: Any) -> Any:
    """Pyramid level that a proposal's features are taken from, counted from P2, shape (..., n).

    Lin et al., "Feature Pyramid Networks" (2017), equation 1: ``floor(4 + log2(sqrt(w h) / 224))`` in 2 .. 5.
    """
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    size = np.maximum(np.sqrt(sides[..., 0] * sides[..., 1]), 1e-6)
    return np.clip(np.floor(4 + np.log2(size / 224)), 2, 5).astype(np.int64) - 2


def _read_box(entry: Any) -> tuple[float, tuple[float, ...]] | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("image_id"), int | str):
        return None
    box: Any = entry.get("bbox")
    score: Any = entry.get("score")
    if not isinstance(box, list) or len(box) != 4:
        return None
    if not all(isinstance(v, int | float) and abs(v) <= sys.float_info.max for v in (*box, score)):
        return None
    x, y, width, height = box
    if width < 0 or height < 0 or not math.isfinite(x + width + y + height):
        return None
    return score, (x, y, x + width, y + height)
