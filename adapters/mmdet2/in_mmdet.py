"""Importing this puts the assigners into MMDetection 2, for its own: name it in ``custom_imports``."""

from importlib import import_module

from assigncore.adapters.mmdet2 import register

register(
    import_module("mmdet.core.bbox.builder").BBOX_ASSIGNERS,
    iou_calculators=import_module("mmdet.core.bbox.iou_calculators.builder").IOU_CALCULATORS,
    match_costs=import_module("mmdet.core.bbox.match_costs.builder").MATCH_COST,
    force=True,
)
