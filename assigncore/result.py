"""What an assigner returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from assigncore.backend import Array, get_backend

__all__ = ["AssignResult"]


@dataclass(frozen=True, eq=False)
class AssignResult:
    """Which ground truth each prior learns from.

    Parameters
    ----------
    gt_inds : array (..., N) of integers
        -1 ignored, 0 background, i + 1 assigned to ground truth i, in the library's default integer dtype.
    max_overlaps : array (..., N), optional
        The overlap the assigner decided by, as the assigner documents it; None where its method has none.
    labels : array (..., N) of integers, optional
        Class of the assigned ground truth, -1 elsewhere; None where no ground-truth labels were given.
    num_gts : int
        Rows of ground truth the assigner was given, padding included: G.
    extras : mapping of str to array
        Further outputs of the assigner, by name. Read-only.

    Notes
    -----
    A pytree in JAX and in PyTorch. It can be pickled and deep-copied, and what ``torch.save`` has written is
    read by ``torch.load(weights_only=True)`` once ``assigncore.load_backend("torch")`` has been called. A
    result of a batch has a length and is iterated image by image. Two results are never equal by ``==``:
    compare their arrays.

    Examples
    --------
    >>> import numpy as np
    >>> result = AssignResult(np.array([0, 2, -1, 2]), None, np.array([-1, 7, -1, 7]), num_gts=2)
    >>> result.matched_gt
    array([-1,  1, -1,  1])
    >>> result.positives_per_gt
    array([0, 2])
    """

    gt_inds: Array
    max_overlaps: Array | None
    labels: Array | None
    num_gts: int
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "extras", MappingProxyType(dict(self.extras)))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.gt_inds, self.max_overlaps, self.labels, self.num_gts, dict(self.extras))
        return AssignResult, fields

    @property
    def num_priors(self) -> int:
        """Number of priors: N."""
        return int(self.gt_inds.shape[-1])

    @property
    def pos_mask(self) -> Array:
        """True where a prior learns from a ground truth, (..., N)."""
        return self.gt_inds > 0

    @property
    def neg_mask(self) -> Array:
        """True where a prior is background, (..., N)."""
        return self.gt_inds == 0

    @property
    def ignored_mask(self) -> Array:
        """True where a prior takes no part in training, (..., N)."""
        return self.gt_inds < 0

    @property
    def matched_gt(self) -> Array:
        """Index of the assigned ground truth counted from 0, -1 elsewhere, (..., N)."""
        xp = get_backend(self.gt_inds, "gt_inds").xp
        return xp.where(self.gt_inds > 0, self.gt_inds - 1, -1)

    @property
    def positives_per_gt(self) -> Array:
        """Number of priors assigned to each ground truth, (..., G); 0 for padding."""
        backend = get_backend(self.gt_inds, "gt_inds")
        xp, lead = backend.xp, self.gt_inds.shape[:-1]
        rows = 1
        for length in lead:
            rows *= length
        matched = xp.reshape(self.matched_gt, (rows, self.num_priors))
        return xp.reshape(backend.count(matched, self.num_gts), (*lead, self.num_gts))

    def __getitem__(self, index: Any) -> AssignResult:
        """Pick images out of a batch: `index` goes to the leading dimensions of every array.

        Raises
        ------
        IndexError
            If the result is of one image, which has no batch dimension to index, or there are more indices
            than batch dimensions.
        """
        lead = self.gt_inds.ndim - 1
        if lead == 0:
            raise IndexError("this result is of one image; only a batched result can be indexed")
        each = index if isinstance(index, tuple) else (index,)
        if len(each) > lead:
            raise IndexError(f"index: expected at most {lead}, one a batch dimension, got {len(each)}")

        def pick(x: Array | None) -> Array | None:
            return None if x is None else x[(*each, ...)]

        return AssignResult(
            pick(self.gt_inds),
            pick(self.max_overlaps),
            pick(self.labels),
            self.num_gts,
            {name: pick(x) for name, x in self.extras.items()},
        )

    def __bool__(self) -> bool:
        """Be true, whatever the length is."""
        return True

    def __len__(self) -> int:
        """Return the length of the first batch dimension.

        Raises
        ------
        TypeError
            If the result is of one image.
        """
        return self._batch_length("has a length")

    def __iter__(self) -> Iterator[AssignResult]:
        """Go through the first batch dimension: image by image where it is the only one.

        Raises
        ------
        TypeError
            If the result is of one image.
        """
        length = self._batch_length("can be iterated")
        return (self[image] for image in range(length))

    def _batch_length(self, wanted: str) -> int:
        if self.gt_inds.ndim == 1:
            raise TypeError(f"this result is of one image; only a batched result {wanted}")
        return int(self.gt_inds.shape[0])

    def with_gts_prepended(
        self, labels: Array | None = None, *, gt_valid: Array | None = None
    ) -> AssignResult:
        """Put the ground truths themselves before the priors, each assigned to itself.

        Two-stage detectors do this so that the second stage never starts without a positive.

        Parameters
        ----------
        labels : array (..., G) of integers, optional
            Classes of the ground truths. Required where the result has labels.
        gt_valid : array (..., G) of bool, optional
            False where a ground truth is padding: its row is ignored. Not given: all true.

        Returns
        -------
        AssignResult
            Over G + N rows; the extras, which belong to the priors alone, are left out.

        Raises
        ------
        ValueError
            If the result has labels and none are given.
        """
        if self.labels is not None and labels is None:
            raise ValueError(
                "labels: expected the ground truths' classes, since the result has labels; got None"
            )
        backend = get_backend(self.gt_inds, "gt_inds")
        xp, device = backend.xp, backend.device_of(self.gt_inds)
        shape = (*self.gt_inds.shape[:-1], self.num_gts)
        own = xp.arange(1, self.num_gts + 1, dtype=self.gt_inds.dtype, device=device)
        own = xp.broadcast_to(own, shape)
        valid = xp.ones(shape, dtype=xp.bool, device=device) if gt_valid is None else gt_valid

        def prepend(head: Array, tail: Array | None, otherwise: int) -> Array | None:
            if tail is None:
                return None
            head = xp.broadcast_to(xp.astype(head, tail.dtype), shape)
            return xp.concat([xp.where(valid, head, otherwise), tail], axis=-1)

        return AssignResult(
            prepend(own, self.gt_inds, -1),
            prepend(xp.ones_like(own), self.max_overlaps, 0),
            prepend(own if labels is None else labels, self.labels, -1),
            self.num_gts,
        )

    def to_numpy(self) -> AssignResult:
        """Return the same result in NumPy arrays; on a device this waits for it."""
        backend = get_backend(self.gt_inds, "gt_inds")

        def convert(x: Any) -> Any:
            return None if x is None else backend.to_numpy(x)

        return AssignResult(
            convert(self.gt_inds),
            convert(self.max_overlaps),
            convert(self.labels),
            self.num_gts,
            {name: convert(x) for name, x in self.extras.items()},
        )

    def tree_flatten(self) -> tuple[list[Any], tuple[int, tuple[str, ...]]]:
        """Split into arrays and static parts, for the pytrees of JAX and PyTorch."""
        arrays = [self.gt_inds, self.max_overlaps, self.labels, *self.extras.values()]
        return arrays, (self.num_gts, tuple(self.extras))

    @classmethod
    def tree_unflatten(cls, static: tuple[int, tuple[str, ...]], arrays: Iterable[Any]) -> AssignResult:
        """Join what :meth:`tree_flatten` split."""
        num_gts, names = static
        gt_inds, max_overlaps, labels, *extras = arrays
        return cls(gt_inds, max_overlaps, labels, num_gts, dict(zip(names, extras, strict=True)))
