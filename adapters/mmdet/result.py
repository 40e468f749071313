"""The result of an assigner as MMDetection's samplers and heads read it."""

from __future__ import annotations

from typing import Any

from assigncore import result as core
from assigncore.backend import Array, get_backend

__all__ = ["AssignResult", "NiceRepr"]

CODE_NAMES = ("gt_inds", "max_overlaps", "labels")


def shape_or_value(x: Any) -> str:
    """Write an array as ``.shape=(3, 4)`` and anything else as ``=value``."""
    return f".shape={tuple(x.shape)!r}" if hasattr(x, "shape") else f"={x!r}"


class NiceRepr:
    """Writes an object as its class and a summary, which a subclass gives in ``__nice__``."""

    def __nice__(self) -> str:
        raise NotImplementedError(type(self).__name__)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.__nice__()}) at {hex(id(self))}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__}({self.__nice__()})>"


class AssignResult(NiceRepr):
    """Which ground truth each prior learns from, in MMDetection's form: it can be written to.

    Parameters
    ----------
    num_gts : int
        Number of ground truths.
    gt_inds : tensor (N,) of integers
        -1 ignored, 0 background, i + 1 assigned to ground truth i.
    max_overlaps : tensor (N,) or None
        The overlap the assigner decided by.
    labels : tensor (N,) of integers or None
        Class of the assigned ground truth, -1 elsewhere.

    Examples
    --------
    >>> import torch
    >>> gt_inds, labels = torch.tensor([0, 2, 1]), torch.tensor([-1, 7, 3])
    >>> result = AssignResult(2, gt_inds, torch.tensor([0.0, 0.5, 0.9]), labels)
    >>> result.num_preds
    3
    >>> result.add_gt_(torch.tensor([3, 7]))
    >>> print(result)
    <AssignResult(num_gts=2, gt_inds.shape=(5,), max_overlaps.shape=(5,), labels.shape=(5,))>
    """

    def __init__(
        self, num_gts: int, gt_inds: Array, max_overlaps: Array | None, labels: Array | None = None
    ) -> None:
        self.num_gts = num_gts
        self.gt_inds = gt_inds
        self.max_overlaps = max_overlaps
        self.labels = labels
        self._extra_properties: dict[str, Any] = {}

    @classmethod
    def of(cls, result: core.AssignResult) -> AssignResult:
        """Return a result of the core in this form, without its extras."""
        return cls(result.num_gts, result.gt_inds, result.max_overlaps, result.labels)

    @property
    def num_preds(self) -> int:
        """Number of rows that are assigned."""
        return len(self.gt_inds)

    def set_extra_property(self, key: str, value: Any) -> None:
        """Add a property to `info`.

        Raises
        ------
        AssertionError
            If `info` has it already.
        """
        if key in self.info:
            raise AssertionError(f"{key!r} is a property already")
        self._extra_properties[key] = value

    def get_extra_property(self, key: str) -> Any:
        """Return an added property, or None."""
        return self._extra_properties.get(key, None)

    @property
    def info(self) -> dict[str, Any]:
        """All properties, the added ones too, by name."""
        own = {"num_gts": self.num_gts, "num_preds": self.num_preds}
        own.update((name, getattr(self, name)) for name in CODE_NAMES)
        return own | self._extra_properties

    def add_gt_(self, gt_labels: Array) -> None:
        """Put the ground truths themselves before the priors, each assigned to itself.

        Parameters
        ----------
        gt_labels : tensor (G,) of integers
            Their classes.
        """
        xp = get_backend(self.gt_inds, "gt_inds").xp
        n, device = len(gt_labels), self.gt_inds.device
        own = xp.arange(1, n + 1, dtype=self.gt_inds.dtype, device=device)
        self.gt_inds = xp.concat([own, self.gt_inds])
        if self.max_overlaps is not None:
            ones = xp.ones(n, dtype=self.max_overlaps.dtype, device=device)
            self.max_overlaps = xp.concat([ones, self.max_overlaps])
        if self.labels is not None:
            self.labels = xp.concat([xp.astype(gt_labels, self.labels.dtype), self.labels])

    def __nice__(self) -> str:
        parts = [f"num_gts={self.num_gts!r}"]
        parts += [name + shape_or_value(getattr(self, name)) for name in CODE_NAMES]
        return ", ".join(parts)

    @classmethod
    def random(
        cls,
        *,
        num_preds: int | None = None,
        num_gts: int | None = None,
        p_ignore: float = 0.3,
        p_assigned: float = 0.7,
        p_use_label: float = 0.5,
        num_classes: int = 3,
        rng: Any = None,
    ) -> AssignResult:
        """Make up a result on the CPU, for tests of what reads one.

        Parameters
        ----------
        num_preds, num_gts : int, optional
            Numbers of rows and of ground truths; random where not given.
        p_ignore, p_assigned : float
            Probability that an assigned row is ignored instead, and that a row is assigned.
        p_use_label : float
            Probability that there are labels.
        num_classes : int, default 3
            Labels are below it.
        rng : int, numpy.random.Generator or numpy.random.RandomState, optional
            Seed or source of chance.

        Notes
        -----
        The same seed gives the same result, not the one MMDetection would give.
        """
        import numpy as np
        import torch

        if isinstance(rng, np.random.RandomState):
            rng = int(rng.randint(2**31))
        chance = np.random.default_rng(rng)
        gts = int(chance.integers(0, 8)) if num_gts is None else num_gts
        rows = int(chance.integers(0, 16)) if num_preds is None else num_preds
        overlaps = chance.random(rows, dtype=np.float32) if gts else np.zeros(rows, dtype=np.float32)
        gt_inds = np.zeros(rows, dtype=np.int64)
        assigned = chance.permutation(np.flatnonzero(chance.random(rows) < p_assigned))[:gts]
        gt_inds[assigned] = chance.permutation(gts)[: len(assigned)] + 1
        gt_inds[assigned[chance.random(len(assigned)) < p_ignore]] = -1
        labels = None
        if chance.random() < p_use_label:
            classes = chance.integers(0, max(1, num_classes), size=rows)
            labels = torch.from_numpy(np.where(gt_inds > 0, classes, -1))
        return cls(gts, torch.from_numpy(gt_inds), torch.from_numpy(overlaps), labels)
