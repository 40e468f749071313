"""Priors that are no negatives, since they lie in an ignore region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from assigncore.conformance.reference.image import Box, Image, in_region, iof

__all__ = ["cell", "spare_negatives"]


def spare_negatives(image: Image, codes: Sequence[int], boxes: Iterable[Box | None], thr: Any) -> list[int]:
    """Give the codes with -1 in place of 0 where a region covers more than `thr` of a prior's box."""
    return [
        -1 if code == 0 and box is not None and in_region(image, box, thr, True, iof) else code
        for code, box in zip(codes, boxes, strict=True)
    ]


def cell(point: Any) -> Box:
    """Give the cell about a point x, y, with one stride or two."""
    x, y, wide, high = (*point, point[-1])[:4]
    half = type(x)(0.5)
    return x - wide * half, y - high * half, x + wide * half, y + high * half
