"""Where the priors of a batch come from: a grid, or proposals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from assigncore.audit.coco import Dataset
from assigncore.audit.errors import AuditError
from assigncore.audit.frames import Batch, pad_boxes
from assigncore.audit.proposals import ProposalFile, Proposals, fpn_levels
from assigncore.backend import Array, ArrayBackend
from assigncore.priors import PriorGenerator, PriorGrid, inside_image

MAX_PRIORS = 20_000_000


@dataclass(frozen=True)
class Laid:
    """The priors of one batch.

    Attributes
    ----------
    priors : array, shape (N, K) or (B, N, K)
        On the backend's device.
    valid : array of bool, shape (B, N), or None
        On the backend's device. None: all take part.
    num_level_priors : tuple of int or None
        Priors of each level, where they come level by level.
    host_priors : NumPy array
        The same priors.
    level : NumPy array of int, shape (N,) or (B, N)
        Level of each prior.
    counts : tuple of int
        Number of priors of each image, padding not counted.
    """

    priors: Array
    valid: Array | None
    num_level_priors: tuple[int, ...] | None
    host_priors: Any
    level: Any
    counts: tuple[int, ...]


class Layout(Protocol):
    """Lays priors over the images of a batch."""

    @property
    def level_names(self) -> tuple[str, ...]:
        """What to call the levels."""

    def lay(self, batch: Batch, backend: ArrayBackend, device: Any) -> Laid:
        """Give the priors of a batch."""


@dataclass
class GridLayout:
    """The same grid of priors over every image, kept while the padded size stays."""

    generator: PriorGenerator
    allowed_border: float
    _kept: tuple[Any, PriorGrid, Any, Any] | None = field(default=None, init=False)

    @property
    def level_names(self) -> tuple[str, ...]:
        """Strides of the levels."""
        return tuple(f"stride {x}" if x == y else f"stride {x}x{y}" for x, y in self.generator.stride_pairs)

    def lay(self, batch: Batch, backend: ArrayBackend, device: Any) -> Laid:
        """Lay the grid, and leave out what reaches over the image's edge if the setting says so."""
        key = (batch.padded, backend.name, device)
        if self._kept is None or self._kept[0] != key:
            sizes = self.generator.featmap_sizes(batch.padded)
            self._check_count(sum(self.generator.num_level_priors(sizes)), batch)
            grid = self.generator.grid(sizes, xp=backend.xp, device=device)
            level = np.repeat(np.arange(len(grid.strides)), grid.num_level_priors)
            self._kept = (key, grid, backend.to_numpy(grid.priors), level)
        _, grid, host, level = self._kept
        valid = None
        if self.allowed_border >= 0:
            shapes = backend.from_numpy(np.asarray([f.shape for f in batch.frames], dtype=np.float32), device)
            valid = inside_image(grid.priors, shapes, allowed_border=self.allowed_border)
        counts = (len(level),) * len(batch.frames)
        return Laid(grid.priors, valid, grid.num_level_priors, host, level, counts)

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
    source: ProposalFile | None
    seed: int
    level_names: tuple[str, ...] = ("P2", "P3", "P4", "P5")

    def lay(self, batch: Batch, backend: ArrayBackend, device: Any) -> Laid:
        """Collect the proposals at training size."""
        rows = []
        for frame in batch.frames:
            if self.source is None:
                boxes = self.proposals.simulate(self.dataset, frame.image, self.seed)
            else:
                boxes = self.source.of(frame.image, self.proposals.max_per_image)
            rows.append(frame.scale(boxes))
        boxes, valid = pad_boxes(rows)
        return Laid(
            backend.from_numpy(boxes, device),
            backend.from_numpy(valid, device),
            None,
            boxes,
            fpn_levels(boxes),
            tuple(map(len, rows)),
        )
