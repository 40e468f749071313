"""Positives for ground truths that have too few, asked for one round after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["add_positives"]

REACH = 8


def add_positives(
    codes: list[int],
    gts: Iterable[int],
    least: int,
    distance: Callable[[int, int], Any],
    by: Callable[[int, int], Any] | None = None,
    *,
    eligible: Iterable[int],
    last: bool = False,
) -> dict[int, int]:
    """Write the ground truths' further positives to `codes`, and give who gets which prior.

    Parameters
    ----------
    codes : list of int
        Index + 1 of the ground truth of each prior, or 0 or -1.
    gts : iterable of int
        The ground truths.
    least : int
        Positives that each is to have.
    distance : callable
        Of a ground truth and a prior; None where it cannot have the prior.
    by : callable, optional
        What ground truths compete for a prior by, the largest first. Not given: the least distance.
    eligible : iterable of int
        The priors that can be had where nobody has them.
    last : bool, default False
        Whether of equals the last wins.
    """
    lacks = {g: max(least - codes.count(g + 1), 0) for g in gts}
    free = [n for n in eligible if codes[n] <= 0]
    near = {g: _nearest(g, free, distance, REACH * least) if lacks[g] else [] for g in lacks}
    added: dict[int, int] = {}
    while True:
        asked: dict[int, list[int]] = {}
        for g, own in near.items():
            for n in [n for n in own if n not in added and lacks[g] > 0][:1]:
                asked.setdefault(n, []).append(g)
        if not asked:
            break
        for n, askers in asked.items():
            neediest = [g for g in askers if lacks[g] == max(lacks[each] for each in askers)]
            values = {g: by(g, n) if by else -distance(g, n) for g in neediest}
            winners = [g for g in neediest if values[g] == max(values.values())]
            added[n] = winners[-1 if last else 0]
        for g in added.values():
            lacks[g] = max(least - codes.count(g + 1), 0) - list(added.values()).count(g)
    for n, g in added.items():
        codes[n] = g + 1
    return added


def _nearest(g: int, free: list[int], distance: Callable[[int, int], Any], k: int) -> list[int]:
    apart = {n: distance(g, n) for n in free}
    return sorted((n for n in free if apart[n] is not None), key=lambda n: apart[n])[:k]
