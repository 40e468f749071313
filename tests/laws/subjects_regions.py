"""The assigners by regions of ground truths. All priors are of one level, so that they may change places."""

from functools import partial

from assigncore.conformance.reference import regions

from .calculators import CLOSENESS, Closeness
from .subject import PAIRS, Subject


def _all_in_one_level(arrays):
    return {"num_level_priors": (arrays["priors"].shape[-2],)}


LEVEL = {
    "featmap_sizes": ((8192, 8192),),
    "anchor_scale": 4,
    "anchor_strides": (1,),
    "image_shape": (80, 60),
}


def _region(name, allowed_border=-1, **knobs):
    level = {**LEVEL, "allowed_border": allowed_border}
    return Subject(
        name,
        {"type": "RegionAssigner", **knobs},
        regions.region,
        reading_knobs={"level": level},
        others=lambda arrays: {**_all_in_one_level(arrays), **level},
    )


def _fcos(name, **knobs):
    config = {"type": "FCOSAssigner", "regress_ranges": ((-1, 40),), **knobs}
    return Subject(name, config, regions.fcos, others=_all_in_one_level)


_center = partial(
    Subject,
    rule=regions.center_region,
    extras={"shadow": PAIRS, "outranked": PAIRS},
    ignores_without_gts=True,
)


def _center_region(name, reading_knobs=None, **knobs):
    return _center(name, {"type": "CenterRegionAssigner", **knobs}, reading_knobs=reading_knobs or {})


REGION_SUBJECTS = (
    _center_region("center_region", pos_scale=0.5, neg_scale=0.8),
    _center_region("center_region-dominate", pos_scale=0.4, neg_scale=0.4, foreground_dominate=True),
    _center_region(
        "center_region-calculator", pos_scale=0.5, neg_scale=1.0, min_pos_iof=0.3,
        iou_calculator=Closeness(), reading_knobs=CLOSENESS,
    ),
    _fcos("fcos"),
    _fcos("fcos-center_sampling", center_sampling=True, center_sample_radius=0.8),
    _region("region"),
    _region("region-larger_center", center_ratio=0.8, ignore_ratio=0.4),
)  # fmt: skip
