"""What an assigner returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from assigncore.backend import Array, get_backend
from assigncore.checks import common_backend, spread
from assigncore.inspect.difference import ResultDiff, compare
from assigncore.inspect.display import Table, describe_array, html_page, is_readable, plural, text_table
from assigncore.inspect.summary import ResultSummary, summarize

__all__ = ["AssignResult", "check_result"]


@dataclass(frozen=True, eq=False, repr=False)
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
    compare their arrays, or ask :meth:`diff`.

    Shown at a prompt or in a notebook it tells shapes and dtypes, and the counts of positives, background and
    ignored priors where the host has the values: nothing waits for a device or stops a compiler.

    Examples
    --------
    >>> import numpy as np
    >>> result = AssignResult(np.array([0, 2, -1, 2]), None, np.array([-1, 7, -1, 7]), num_gts=2)
    >>> result
    AssignResult: 4 priors, 2 ground truths
      2 positives, 1 background, 1 ignored
      gt_inds       (4,) int64
      max_overlaps  none
      labels        (4,) int64
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
        TypeError
            If an input is no array of the result's library, or of a wrong kind of dtype.
        ValueError
            If the result has labels and none are given, a shape does not fit, or devices differ.
        """
        if self.labels is not None and labels is None:
            raise ValueError(
                "labels: expected the ground truths' classes, since the result has labels; got None"
            )
        given = {"gt_inds": self.gt_inds, "labels": labels, "gt_valid": gt_valid}
        backend = common_backend({name: x for name, x in given.items() if x is not None})
        xp, device = backend.xp, backend.device_of(self.gt_inds)
        lead, tail = tuple(self.gt_inds.shape[:-1]), (self.num_gts,)
        own = xp.arange(1, self.num_gts + 1, dtype=self.gt_inds.dtype, device=device)
        own = xp.broadcast_to(own, (*lead, *tail))
        if labels is not None:
            labels = spread("labels", labels, backend, lead, tail, "integral")
        if gt_valid is None:
            valid = xp.ones((*lead, *tail), dtype=xp.bool, device=device)
        else:
            valid = spread("gt_valid", gt_valid, backend, lead, tail, "bool")

        def prepend(head: Array, rest: Array | None, otherwise: int) -> Array | None:
            if rest is None:
                return None
            return xp.concat([xp.where(valid, xp.astype(head, rest.dtype), otherwise), rest], axis=-1)

        return AssignResult(
            prepend(own, self.gt_inds, -1),
            prepend(xp.ones_like(own), self.max_overlaps, 0),
            prepend(own if labels is None else labels, self.labels, -1),
            self.num_gts,
        )

    def summary(
        self,
        *,
        gt_valid: Array | None = None,
        gt_labels: Array | None = None,
        num_level_priors: Sequence[int] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> ResultSummary:
        """Count what became of the priors and what each ground truth got; on a device this waits for it.

        Parameters
        ----------
        gt_valid : array (..., G) of bool, optional
            False where a ground truth is padding, which then does not count as without positives. Not
            given: all true.
        gt_labels : array (..., G) of integers, optional
            Classes of the ground truths, for counts by class that include those without positives. Not
            given: the result's labels, where it has any, tell the classes of the others.
        num_level_priors : sequence of int, optional
            Priors of each feature level, for counts by level.
        class_names : sequence of str, optional
            What to call each class.

        Returns
        -------
        ResultSummary
            Frozen, of plain numbers; it prints as tables, and a notebook shows them.

        Raises
        ------
        TypeError
            If an input is no array, or of a wrong kind of dtype, or a name is no text.
        ValueError
            If a shape does not fit, or the levels do not sum to the number of priors.

        Examples
        --------
        >>> import numpy as np
        >>> result = AssignResult(np.array([0, 2, -1, 2]), None, np.array([-1, 7, -1, 7]), num_gts=2)
        >>> summary = result.summary(num_level_priors=(3, 1))
        >>> summary.positives, summary.without_positives, summary.levels[1].positives
        (2, 1, 1)
        >>> print(summary)
        4 priors, 2 ground truths
                      priors   share
          positives        2  50.00%
          background       1  25.00%
          ignored          1  25.00%
                                       min  median  mean  max  without any
          positives of a ground truth    0       1     1    2            1
          level  priors  positives  background  ignored  ground truths
          0           3          1           1        1              1
          1           1          1           0        0              1
          class  positives  ground truths with any
          7              2                       1
        """
        return summarize(
            self,
            gt_valid=gt_valid,
            gt_labels=gt_labels,
            num_level_priors=num_level_priors,
            class_names=class_names,
        )

    def diff(self, other: AssignResult) -> ResultDiff:
        """Tell which priors another result over the same priors decides otherwise; on a device this waits.

        Parameters
        ----------
        other : AssignResult
            What comes after, of any library, over the same priors and ground truths.

        Returns
        -------
        ResultDiff
            The changes from this result to `other`: empty and falsy where there are none. Iterate it, print
            it, or let a notebook show it.

        Raises
        ------
        TypeError
            If `other` is no result.
        ValueError
            If it has another shape or number of ground truths.

        Examples
        --------
        >>> import numpy as np
        >>> before = AssignResult(np.array([0, 2, -1, 2]), None, None, num_gts=2)
        >>> after = AssignResult(np.array([1, 2, 0, 1]), None, None, num_gts=2)
        >>> print(before.diff(after))
        3 of 4 priors differ
          became positive                      1
          went to another ground truth         1
          ignored, now background              1
          ground truths that had no positives  1
          prior 0: background -> ground truth 0
          prior 2: ignored -> background
          prior 3: ground truth 1 -> ground truth 0
        >>> bool(before.diff(before))
        False
        """
        return compare(self, other)

    def __repr__(self) -> str:
        """Say what there is in a few lines: counts where the host has the values, shapes everywhere."""
        title, counts = self._headline()
        return "\n".join([title, *(f"  {line}" for line in counts), text_table(self._fields())])

    def _repr_html_(self) -> str:
        title, counts = self._headline()
        return html_page("; ".join([title, *counts]), [("array", "shape and dtype"), *self._fields()])

    def _headline(self) -> tuple[str, list[str]]:
        """Give a title, and a line of counts where they can be had without waiting."""
        shape = tuple(getattr(self.gt_inds, "shape", ()))
        if not shape:
            # What a transformation of pytrees has put in the arrays' place.
            return "AssignResult", []
        batch = f"batch of {' x '.join(map(str, shape[:-1]))}, " if len(shape) > 1 else ""
        gts = plural(self.num_gts, "ground truth") if isinstance(self.num_gts, int) else "ground truths"
        title = f"AssignResult: {batch}{shape[-1]:,} {'prior' if shape[-1] == 1 else 'priors'}, {gts}"
        try:
            backend = get_backend(self.gt_inds, "gt_inds")
        except TypeError:
            return title, []
        device = backend.device_of(self.gt_inds)
        if backend.name != "numpy":
            title += f" ({backend.name}{'' if device is None else f', {device}'})"
        if not is_readable(backend, self.gt_inds):
            return title, []
        codes = backend.to_numpy(self.gt_inds)
        positives, ignored = int((codes > 0).sum()), int((codes < 0).sum())
        background = codes.size - positives - ignored
        return title, [f"{plural(positives, 'positive')}, {background:,} background, {ignored:,} ignored"]

    def _fields(self) -> Table:
        """Name the arrays, with their shapes and dtypes."""
        named = {"gt_inds": self.gt_inds, "max_overlaps": self.max_overlaps, "labels": self.labels}
        rows = [(name, describe_array(x)) for name, x in named.items()]
        return [*rows, *((f"extras[{name!r}]", describe_array(x)) for name, x in self.extras.items())]

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


def check_result(name: str, result: Any) -> None:
    """Check that an argument is a result.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not isinstance(result, AssignResult):
        raise TypeError(f"{name}: expected an AssignResult, got {type(result).__name__}")
