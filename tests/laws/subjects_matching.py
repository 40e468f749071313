"""The assigners that match predictions with ground truths by cost."""

from functools import partial

from .subject import OTHER, Subject

COSTS = (
    {"type": "FocalLossCost", "weight": 2.0},
    {"type": "BBoxL1Cost", "weight": 5.0},
    {"type": "IoUCost", "weight": 2.0},
)


def _image_shape(arrays):
    return {"image_shape": (60, 80)}


_matching = partial(
    Subject,
    rule=None,
    needs=("gt_bboxes", "gt_labels", "pred_bboxes", "pred_logits"),
    others=_image_shape,
    tied=False,
    rtol=1e-5,
)


def _hungarian(name, **knobs):
    return _matching(
        name, {"type": "HungarianAssigner", "match_costs": COSTS, "nonfinite": "forbid", **knobs}
    )


def _greedy(name, **knobs):
    config = {"type": "GreedyMatcher", "match_costs": COSTS, **knobs}
    return _matching(name, config)


MATCHING_SUBJECTS = (
    _hungarian("hungarian"),
    _hungarian("hungarian-repeat", repeat=2),
    _matching(
        "mask_hungarian", {"type": "MaskHungarianAssigner", "nonfinite": "forbid"},
        others=lambda _arrays: {}, needs=("gt_labels",),
    ),
    _matching(
        "topk_hungarian",
        {"type": "TopkHungarianAssigner", "topk": 3, "nonfinite": "forbid"},
        extras={"assign_metrics": OTHER},
        counts_broken=("N", "G"),
    ),
    _greedy("greedy"),
    _greedy("greedy-repeat", repeat=2, max_cost=2.0),
)  # fmt: skip
