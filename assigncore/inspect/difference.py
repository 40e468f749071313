"""How two results over the same priors differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from assigncore.inspect.display import Table, html_page, plural, text_table

if TYPE_CHECKING:
    from assigncore.result import AssignResult

__all__ = ["Change", "ResultDiff", "compare"]

HostArray = np.ndarray[Any, Any]

SHOWN = 10
"""Changes that are printed one by one."""

KINDS = {
    "gained": "became positive",
    "lost": "no longer positive",
    "moved": "went to another ground truth",
    "newly_ignored": "background, now ignored",
    "no_longer_ignored": "ignored, now background",
}


@dataclass(frozen=True)
class Change:
    """One prior of which two results say different things.

    Attributes
    ----------
    index : tuple of int
        Where it stands in ``gt_inds``: the image's batch indices, then the prior.
    before, after : int
        Its codes: -1 ignored, 0 background, i + 1 assigned to ground truth i.
    """

    index: tuple[int, ...]
    before: int
    after: int

    @property
    def kind(self) -> str:
        """One of ``gained``, ``lost``, ``moved``, ``newly_ignored`` and ``no_longer_ignored``."""
        if self.before > 0:
            return "moved" if self.after > 0 else "lost"
        if self.after > 0:
            return "gained"
        return "newly_ignored" if self.after < 0 else "no_longer_ignored"

    def __str__(self) -> str:
        """Say it in one line."""
        *images, prior = self.index
        where = f"image {', '.join(map(str, images))}, " if images else ""
        return f"{where}prior {prior}: {code_name(self.before)} -> {code_name(self.after)}"


@dataclass(frozen=True, repr=False, eq=False)
class ResultDiff:
    """The priors that changed between two results, and what that means for the ground truths.

    Attributes
    ----------
    num_priors : int
        Priors compared, over all images.
    index : NumPy array (M, D) of integers
        Where the M changed priors stand in ``gt_inds``, ascending: the batch indices, then the prior.
    before, after : NumPy array (M,) of integers
        Their codes: -1 ignored, 0 background, i + 1 assigned to ground truth i.
    gts_left_without : tuple of tuple of int
        Ground truths (batch indices, then the row) that had positives and have none after.
    gts_newly_matched : tuple of tuple of int
        Ground truths that had none and have some after.
    """

    num_priors: int
    index: HostArray
    before: HostArray
    after: HostArray
    gts_left_without: tuple[tuple[int, ...], ...]
    gts_newly_matched: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        """Return how many priors changed."""
        return len(self.index)

    def __iter__(self) -> Iterator[Change]:
        """Go through the changes, one prior after another."""
        rows = zip(self.index.tolist(), self.before.tolist(), self.after.tolist(), strict=True)
        return (Change(tuple(place), before, after) for place, before, after in rows)

    @property
    def counts(self) -> dict[str, int]:
        """How many changes there are of each kind: gained, lost, moved, newly_ignored, no_longer_ignored."""
        before, after = self.before, self.after
        kinds = {
            "gained": (before <= 0) & (after > 0),
            "lost": (before > 0) & (after <= 0),
            "moved": (before > 0) & (after > 0),
            "newly_ignored": (before == 0) & (after < 0),
            "no_longer_ignored": (before < 0) & (after == 0),
        }
        return {kind: int(mask.sum()) for kind, mask in kinds.items()}

    def _title(self) -> str:
        if not len(self):
            return f"no difference over {plural(self.num_priors, 'prior')}"
        return f"{len(self):,} of {plural(self.num_priors, 'prior')} differ"

    def _counts(self) -> Table:
        rows = [(KINDS[kind], count) for kind, count in self.counts.items() if count]
        rows += [
            (text, len(gts))
            for text, gts in (
                ("ground truths left without positives", self.gts_left_without),
                ("ground truths that had no positives", self.gts_newly_matched),
            )
            if gts
        ]
        return [("", ""), *rows]

    def __repr__(self) -> str:
        """Write the counts and the first changes."""
        lines = [self._title()]
        if len(self):
            lines.append(text_table(self._counts()[1:]))
        lines += [f"  {change}" for change in islice(self, SHOWN)]
        if len(self) > SHOWN:
            lines.append(f"  and {len(self) - SHOWN:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not len(self):
            return html_page(self._title())
        rows: list[tuple[str, str, str]] = [
            (", ".join(map(str, c.index)), code_name(c.before), code_name(c.after))
            for c in islice(self, SHOWN)
        ]
        if len(self) > SHOWN:
            rows.append((f"and {len(self) - SHOWN:,} more", "", ""))
        return html_page(self._title(), self._counts(), [("where", "before", "after"), *rows])


def compare(before: AssignResult, after: Any) -> ResultDiff:
    """Find where two results differ; see :meth:`AssignResult.diff`."""
    if not isinstance(after, type(before)):
        raise TypeError(f"other: expected an AssignResult, got {type(after).__name__}")
    if tuple(after.gt_inds.shape) != tuple(before.gt_inds.shape):
        raise ValueError(
            f"other: expected gt_inds of shape {tuple(before.gt_inds.shape)}, over the same priors, "
            f"got {tuple(after.gt_inds.shape)}"
        )
    if after.num_gts != before.num_gts:
        raise ValueError(
            f"other: expected num_gts of {before.num_gts}, of the same ground truths, got {after.num_gts}"
        )
    old, new = before.to_numpy(), after.to_numpy()
    places = np.argwhere(old.gt_inds != new.gt_inds)
    at = tuple(places.T)
    had, have = old.positives_per_gt > 0, new.positives_per_gt > 0
    return ResultDiff(
        int(old.gt_inds.size),
        places,
        old.gt_inds[at],
        new.gt_inds[at],
        tuple(tuple(place) for place in np.argwhere(had & ~have).tolist()),
        tuple(tuple(place) for place in np.argwhere(have & ~had).tolist()),
    )


def code_name(code: int) -> str:
    """Say what a code of ``gt_inds`` means.

    Examples
    --------
    >>> [code_name(code) for code in (-1, 0, 3)]
    ['ignored', 'background', 'ground truth 2']
    """
    return ("ignored", "background")[code + 1] if code <= 0 else f"ground truth {code - 1}"
