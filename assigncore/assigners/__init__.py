"""The assigners, one module an algorithm."""

from assigncore.assigners.approx_max_iou import ApproxMaxIoUAssigner
from assigncore.assigners.ascend_max_iou import AscendMaxIoUAssigner
from assigncore.assigners.atss import ATSSAssigner
from assigncore.assigners.grid import GridAssigner
from assigncore.assigners.max_iou import MaxIoUAssigner

__all__ = ["ATSSAssigner", "ApproxMaxIoUAssigner", "AscendMaxIoUAssigner", "GridAssigner", "MaxIoUAssigner"]
