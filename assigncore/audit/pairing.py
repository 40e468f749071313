"""Which assigners can work on which priors."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from assigncore.assigners import MultiInstanceAssigner
from assigncore.audit.queries import Queries
from assigncore.priors import PointGenerator
from assigncore.registry import ASSIGNERS

__all__ = ["OF_STRIDED_POINTS", "check_pairing"]

OF_STRIDED_POINTS = frozenset({"DynamicSoftLabelAssigner", "SimOTAAssigner", "SinkhornAssigner"})
"""Assigners whose priors are x, y, stride_x, stride_y: as many columns as a box, so that no shape tells."""


def check_pairing(assigner: Any, priors: Any, parameters: Container[str]) -> None:
    """Refuse an assigner whose result cannot be counted, or that cannot work on such priors.

    Parameters
    ----------
    assigner : object
        The assigner.
    priors : object
        What lays its priors.
    parameters : container of str
        Names of what it is called with.

    Raises
    ------
    ValueError
        With what would work in its place.
    """
    kind, given = type(assigner).__name__, type(priors).__name__
    if isinstance(assigner, MultiInstanceAssigner):
        raise ValueError(
            f"assigner: expected one that gives a prior one object at most, got {kind}, which gives several"
        )
    if isinstance(priors, Queries) and "priors" in parameters:
        raise ValueError(
            f"priors: {kind} needs priors, got {given}, which have none; expected another base, as 'rpn'"
        )
    # A sum of costs is for queries; what else takes no priors is for the predictions that dense heads make.
    if hasattr(assigner, "match_costs") and not isinstance(priors, Queries):
        raise ValueError(
            f"priors: {kind} matches queries, got {given}; expected Queries, as the base 'detr' has them"
        )
    strided = isinstance(priors, PointGenerator) and priors.stride_xy
    if kind in OF_STRIDED_POINTS and not strided:
        raise ValueError(
            f"priors: {kind} takes points with two strides, got {given}; expected a PointGenerator with "
            "stride_xy true, as the base 'yolox' has it"
        )
    if strided and "priors" in parameters and kind in ASSIGNERS.names() and kind not in OF_STRIDED_POINTS:
        raise ValueError(
            f"priors: {kind} would take points with two strides for boxes; expected another base, as 'rpn', "
            "or stride_xy false"
        )
