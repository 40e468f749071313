"""Where the priors of a batch come from: a grid, or proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from assigncore.audit.errors import AuditError
from assigncore.audit.frames import Batch, pad_boxes
from assigncore.audit.proposals import Proposals, fpn_levels
from assigncore.audit.results import Results
from assigncore.backend import Array, ArrayBackend
from assigncore.datasets import Dataset
from assigncore.priors import AnchorGenerator, BoxGenerator, PriorGenerator, PriorGrid, inside_image

MAX_PRIORS = 20_000_000


@dataclass(frozen=True)
class Predicted:
    """What a detector predicts at the priors of one batch, NumPy arrays.

    Attributes
    ----------
    boxes : array, shape (B, N, 4)
        x1 y1 x2 y2 at training size.
    scores : array, shape (B, N, C)
        Probabilities of the classes.
    oriented : array, shape (B, N, 5), or None
        Oriented boxes in place of the boxes, at training size. None: they are not asked for.
    keypoints : array, shape (B, N, K, 2), or None
        x, y at training size. None: they are not asked for.
    """

    boxes: Any
    scores: Any
    oriented: Any = None
    keypoints: Any = None


@dataclass(frozen=True)
class Laid:
    """The priors of one batch.

    Attributes
    ----------
    priors : array, shape (N, K) or (B, N, K)
        On the backend's device.
    valid : array of bool, shape (B, N), or None
        On the backend's device. None: all take part.
    static : mapping
        What else is known of the priors before any image is, hashable, by the name assigners call it.
    host_priors : NumPy array
        The same priors.
    level : NumPy array of int, shape (N,) or (B, N)
        Level of each prior.
    counts : tuple of int
        Number of priors of each image, padding not counted.
    by_level : NumPy array of int, shape (B, L)
        Number of them on each level.
    approxs : array, shape (N, A, 4), or None
        Boxes that stand for each prior, on the backend's device.
    predicted : Predicted or None
        Predictions at the priors, where the assigner reads any.
    """

    priors: Array
    valid: Array | None
    static: Mapping[str, Any]
    host_priors: Any
    level: Any
    counts: tuple[int, ...]
    by_level: Any
    approxs: Array | None = None
    predicted: Predicted | None = None


class Layout(Protocol):
    """Lays priors over the images of a batch."""

    @property
    def level_names(self) -> tuple[str, ...]:
        """What to call the levels."""

    def lay(self, batch: Batch, backend: ArrayBackend, device: Any) -> Laid:
        """Give the priors of a batch."""


@dataclass(frozen=True)
class _KeptGrid:
    """The priors of one padded size, and what is known with them; as in `Laid`."""

    key: tuple[Any, ...]
    grid: PriorGrid
    approxs: Array | None
    static: Mapping[str, Any]
    host: Any
    level: Any


@dataclass
class GridLayout:
    """The same grid of priors over every image, kept while the padded size stays.

    Parameters
    ----------
    generator : PriorGenerator
    allowed_border : float
        As in `Preset`. With approximations a prior takes part if any of its approximations does.
    approxs : BoxGenerator or None
        Lays the approximations of each prior, of which there is one in a cell.
    """

    generator: PriorGenerator
    allowed_border: float
    approxs: BoxGenerator | None = None
    _kept: _KeptGrid | None = field(default=None, init=False)

    @property
    def level_names(self) -> tuple[str, ...]:
        """Strides of the levels."""
        return tuple(f"stride {x}" if x == y else f"stride {x}x{y}" for x, y in self.generator.stride_pairs)

    def lay(self, batch: Batch, backend: ArrayBackend, device: Any) -> Laid:
        """Lay the grid, and leave out what reaches over the image's edge if the setting says so."""
        key = (batch.padded, backend.name, device)
        if self._kept is None or self._kept.key != key:
            self._kept = self._lay_grid(key, batch, backend, device)
        kept, valid = self._kept, None
        if self.allowed_border >= 0:
            shapes = backend.from_numpy(batch.image_shapes, device)
            valid = self._inside(kept, shapes, backend.xp)
        images = len(batch.frames)
        counts = (len(kept.level),) * images
        by_level = np.tile(kept.grid.num_level_priors, (images, 1))
        return Laid(
            kept.grid.priors, valid, kept.static, kept.host, kept.level, counts, by_level, kept.approxs
        )

    def _lay_grid(self, key: tuple[Any, ...], batch: Batch, backend: ArrayBackend, device: Any) -> _KeptGrid:
        sizes, approxs = self.generator.featmap_sizes(batch.padded), None
        self._check_count(sum((self.approxs or self.generator).num_level_priors(sizes)), batch)
        grid = self.generator.grid(sizes, xp=backend.xp, device=device)
        if self.approxs is not None:
            boxes = self.approxs.grid(sizes, xp=backend.xp, device=device).priors
            approxs = backend.xp.reshape(boxes, (grid.priors.shape[0], -1, 4))
        static: dict[str, Any] = {
            "num_level_priors": grid.num_level_priors,
            "featmap_sizes": sizes,
            "allowed_border": self.allowed_border,
        }
        if all(x == y for x, y in grid.strides):
            static["anchor_strides"] = tuple(x for x, _ in grid.strides)
            static["featmap_strides"] = static["anchor_strides"]
        if isinstance(self.generator, AnchorGenerator):
            static["anchor_scale"] = min(self.generator.all_scales)
        level = np.repeat(np.arange(len(grid.strides), dtype=np.int8), grid.num_level_priors)
        return _KeptGrid(key, grid, approxs, static, backend.to_numpy(grid.priors), level)

    def _inside(self, kept: _KeptGrid, shapes: Array, xp: Any) -> Array:
        """Tell which priors take part, (B, N)."""
        if kept.approxs is None:
            return inside_image(kept.grid.priors, shapes, allowed_border=self.allowed_border)
        count, each = kept.approxs.shape[:2]
        boxes = xp.reshape(kept.approxs, (count * each, 4))
        inside = inside_image(boxes, shapes, allowed_border=self.allowed_border)
        return xp.any(xp.reshape(inside, (-1, count, each)), axis=-1)

    def _check_count(self, count: int, batch: Batch) -> None:
        """Refuse a grid that no training could hold, before the memory is taken."""
        if count > MAX_PRIORS:
            height, width = batch.padded
            raise AuditError(
                f"image {batch.frames[0].image.id}: at {width} x {height} pixels it has {count:,} priors, "
                f"more than the {MAX_PRIORS:,} that are handled; choose a smaller --image-scale"
            )


@dataclass(frozen=True)
class ProposalLayout:
    """Every image's own proposals, padded to the longest list of the batch."""

    dataset: Dataset
    proposals: Proposals
    source: Results | None
    seed: int
    level_names: tuple[str, ...] = ("P2", "P3", "P4", "P5")

    def lay(self, batch: Batch, backend: ArrayBackend, device: Any) -> Laid:
        """Collect the proposals at training size."""
        rows = []
        for frame in batch.frames:
            if self.source is None:
                boxes = self.proposals.simulate(self.dataset, frame.image, self.seed)
            else:
                boxes = self.source.of(frame.image).boxes[: self.proposals.max_per_image]
            rows.append(frame.scale(boxes))
        boxes, valid = pad_boxes(rows)
        level, counts = fpn_levels(boxes), tuple(map(len, rows))
        num_levels = len(self.level_names)
        by_level = [np.bincount(own[:n], minlength=num_levels) for own, n in zip(level, counts, strict=True)]
        return Laid(
            backend.from_numpy(boxes, device),
            backend.from_numpy(valid, device),
            {},
            boxes,
            level,
            counts,
            np.stack(by_level),
        )
