"""Setting ground truths with equal boxes a little apart, so that each gets priors of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assigncore.adapters.errors import also_assertion
from assigncore.backend import Array

__all__ = ["RepeatJitter"]

TRIES = 6
NARROWER = 0.001
NARROWEST = 0.001


class RepeatJitter:
    """Scale the coordinates of repeated boxes by random factors near 1.

    Parameters
    ----------
    iou_thr : float, default 0.97
        Least overlap of a box with its scaled self. After six draws that miss it, the last one is taken.
    perm_range : float, default 0.01
        Factors are at most so far from 1. It shrinks with each draw.
    seed : int, optional
        Start a generator of its own, which goes on from call to call. Not given: PyTorch's global one.
    generator : torch.Generator, optional
        Draw from this one.

    Raises
    ------
    AssertionError
        If a config of it is no mapping: see :meth:`of`.
    """

    @also_assertion
    def __init__(
        self,
        iou_thr: float = 0.97,
        perm_range: float = 0.01,
        seed: int | None = None,
        generator: Any = None,
    ) -> None:
        import torch

        self.iou_thr = iou_thr
        self.perm_range = perm_range
        self.generator = generator
        if seed is not None:
            self.generator = torch.Generator().manual_seed(seed)

    @classmethod
    def of(cls, config: Any) -> RepeatJitter | None:
        """Return one of a config mapping, and None of None."""
        if config is None or isinstance(config, cls):
            return config
        if not isinstance(config, Mapping):
            raise TypeError(f"perm_repeat_gt_cfg: expected a mapping, got {type(config).__name__}")
        return cls(**config)

    def __repr__(self) -> str:
        return f"RepeatJitter(iou_thr={self.iou_thr}, perm_range={self.perm_range})"

    def __call__(self, bboxes: Array, iou_calculator: Any) -> Array:
        """Return boxes (G, 4) with those that occur more than once scaled."""
        import torch

        count = len(bboxes)
        if count < 2:
            return bboxes
        equal = torch.ones((count, count), dtype=torch.bool, device=bboxes.device)
        for column in bboxes.unbind(-1):
            equal &= column[:, None] == column[None, :]
        repeated = equal.sum(dim=-1) > 1
        device = bboxes.device if self.generator is None else self.generator.device
        jittered = bboxes
        done = ~repeated
        for attempt in range(TRIES):
            width = max(self.perm_range - attempt * NARROWER, NARROWEST)
            draw = torch.rand((count, 4), generator=self.generator, device=device).to(bboxes)
            scaled = bboxes * (1 + width * (2 * draw - 1))
            jittered = torch.where(done[:, None], jittered, scaled)
            sound = (scaled[:, 2:] > scaled[:, :2]).all(dim=-1)
            done |= sound & (iou_calculator(bboxes, scaled, is_aligned=True) >= self.iou_thr)
        return jittered
