"""Overlap calculators for the assigners under test, and the same for one pair of boxes in plain Python."""

from dataclasses import dataclass
from types import MappingProxyType

import array_api_compat
import numpy as np

from assigncore import RotatedIoU
from assigncore.conformance.reference.image import in_half, iof, iou


@dataclass(frozen=True)
class Closeness:
    """A calculator that makes no promise: values below 0, also where boxes do not touch."""

    def __call__(self, b1, b2, mode="iou"):
        """Compute (..., M, N) from (..., M, 4) and (..., N, 4)."""
        xp = array_api_compat.array_namespace(b1, b2)
        apart = xp.abs(b1[..., :, None, :] - b2[..., None, :, :])
        if mode == "iof":
            width = xp.abs(b1[..., 2] - b1[..., 0])[..., :, None]
            return 1.0 - ((apart[..., 0] + apart[..., 1]) + width) / 32.0
        x1, y1, x2, y2 = (apart[..., i] for i in range(4))
        return 1.0 - (((x1 + y1) + x2) + y2) / 32.0

    @staticmethod
    def of_pair(a, b):
        """Compute what a call does in the default mode, for one pair."""
        one, apart = type(a[0])(1), [abs(x - y) for x, y in zip(a, b, strict=True)]
        return one - (((apart[0] + apart[1]) + apart[2]) + apart[3]) / type(one)(32)

    @staticmethod
    def fraction_of_pair(a, b):
        """Compute what a call does with mode ``"iof"``, for one pair."""
        one = type(a[0])(1)
        return one - ((abs(a[0] - b[0]) + abs(a[1] - b[1])) + abs(a[2] - a[0])) / type(one)(32)


def _of_pair(mode):
    """Return the rotated overlap of one pair of boxes, alone."""

    def measure(a, b):
        return RotatedIoU()(*(np.array([box]) for box in (a, b)), mode=mode)[0, 0]

    return measure


ROTATED = MappingProxyType({"measure": _of_pair("iou"), "fraction": _of_pair("iof")})
CLOSENESS = MappingProxyType({"measure": Closeness.of_pair, "fraction": Closeness.fraction_of_pair})
IN_HALF = MappingProxyType({"measure": in_half(iou, 2.0), "fraction": in_half(iof, 2.0)})
HALF = MappingProxyType({"type": "BboxOverlaps2D", "scale": 2.0, "dtype": "fp16"})
