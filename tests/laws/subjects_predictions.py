"""The assigners of priors that read predictions."""

from dataclasses import fields
from functools import partial

import array_api_compat

from assigncore.assigners import yolov6, yolov8
from assigncore.conformance.reference import nearest
from assigncore.conformance.reference.multi_instance import multi_instance

from .subject import BOX, BY_INDEX, IN_TURN, OF_GTS, OF_IMAGE, OTHER, Subject, all_outputs
from .subjects_regions import _all_in_one_level

ROUNDING = 1e-5
"""What exponentials, logarithms and sums of single precision may differ by."""


def _config(assigner):
    """Give the config of an assigner that a function has built."""
    knobs = {field.name: getattr(assigner, field.name) for field in fields(assigner)}
    return {"type": type(assigner).__name__, **knobs}


def _uniform(name, **knobs):
    return Subject(
        name,
        {"type": "UniformAssigner", **knobs},
        _uniform_of_positives,
        extras={
            "max_overlaps": OF_GTS,
            "pos_idx": IN_TURN,
            "pos_predicted_boxes": IN_TURN,
            "target_boxes": IN_TURN,
        },
        outputs=_of_positives,
        all_or_none=True,
    )


def _uniform_of_positives(image, **knobs):
    """Blank what the reference says of candidates that are not positive."""
    found = nearest.uniform(image, **knobs)
    positive = found["pos_idx"][:, None]
    return {**found, **{name: found[name] * positive for name in ("pos_predicted_boxes", "target_boxes")}}


def _of_positives(result, arrays):
    """Blank what the extras say of candidates that are not positive, of which nothing is promised."""
    xp = array_api_compat.array_namespace(result.gt_inds)
    outputs = all_outputs(result)
    # An index is another one where priors are moved about: what lies there is compared.
    del outputs["pos_prior"]
    positive = outputs["pos_idx"][..., None]
    for name in ("pos_predicted_boxes", "target_boxes"):
        outputs[name] = xp.where(positive, outputs[name], 0.0)
    return outputs


_aligned = partial(
    Subject,
    rule=None,
    extras={"assign_metrics": OTHER},
    rtol=ROUNDING,
)


def _task_aligned(name, **knobs):
    return _aligned(name, {"type": "TaskAlignedAssigner", **knobs})


_by_cost = partial(Subject, rule=None, rtol=ROUNDING)


def _sim_ota(name, **knobs):
    return _by_cost(name, {"type": "SimOTAAssigner", **knobs})


def _soft_label(name, also=(), **knobs):
    return _by_cost(name, {"type": "DynamicSoftLabelAssigner", **knobs}, also=also)


def _one_map(arrays):
    """Lay the priors out as the cells of one map, with one anchor."""
    boxes = arrays["pred_bboxes"]
    xp, device = array_api_compat.array_namespace(boxes), array_api_compat.device(boxes)
    n_priors = boxes.shape[-2]
    height = max(n for n in range(1, n_priors + 1) if n_priors % n == 0 and n * n <= n_priors)
    return {
        "base_sizes": xp.full((1, 1, 2), 4.0, dtype=boxes.dtype, device=device),
        "featmap_strides": (2,),
        "featmap_sizes": ((height, n_priors // height),),
    }


def _rows_first(result, arrays):
    """Give outputs (M, R) of instances and rows as (N, M) of priors and instances, without the other rows."""
    xp = array_api_compat.array_namespace(result.gt_inds)
    n_priors = arrays["priors"].shape[-2]
    return {name: xp.matrix_transpose(x)[..., :n_priors, :] for name, x in all_outputs(result).items()}


def _of_priors(image, **knobs):
    """Leave out the rows of the boxes themselves."""
    return multi_instance(image, **{**knobs, "append_boxes": False})


def _multi_instance(name, **knobs):
    return Subject(
        name,
        {"type": "MultiInstanceAssigner", **knobs},
        _of_priors,
        extras={"box_inds": BOX, "box_labels": BY_INDEX},
        outputs=_rows_first,
        ignores_without_gts=True,
    )


def _of_warm_up(name, **knobs):
    config = {"type": "ATSSAssigner", **knobs}
    return Subject(name, config, nearest.atss, others=_all_in_one_level)


PREDICTION_SUBJECTS = (
    _uniform("uniform", pos_ignore_thr=0.15, neg_ignore_thr=0.7, match_times=3),
    _uniform("uniform-one", pos_ignore_thr=0.5, neg_ignore_thr=0.4, match_times=1),
    _task_aligned("task_aligned", topk=4),
    _task_aligned("task_aligned-all", topk=3, alpha=2, beta=3, topk_inside=True, conflicts="all"),
    _aligned("task_aligned-yolov6", _config(yolov6(topk=5))),
    _aligned("task_aligned-yolov8", _config(yolov8(topk=4, smallest_side=4.0))),
    _aligned("task_aligned-one_to_one", _config(yolov8(topk=5, topk2=1, smallest_side=0))),
    _sim_ota("sim_ota", center_radius=0.25),
    _sim_ota("sim_ota-sqrt_scores", center_radius=1.5, candidate_topk=4, cls_weight=2.0, sqrt_scores=True),
    _soft_label("soft_label"),
    _soft_label("soft_label-outside", own_class_only=True, select_outside=True, topk=4),
    _soft_label("soft_label-masks", also=("gt_masks",), soft_center_radius=1.0),
    Subject(
        "yolov7",
        {"type": "YOLOv7Assigner", "candidate_topk": 4},
        rule=None,
        outputs=lambda result, _arrays: {
            name: x for name, x in all_outputs(result).items() if "candidate" not in name
        },
        others=_one_map,
        rtol=ROUNDING,
        fixed=("N",),
    ),
    Subject(
        "sinkhorn",
        {"type": "SinkhornAssigner", "center_radius": 0.5, "num_iters": 20},
        rule=None,
        extras={"iterations": OF_IMAGE, "marginal_error": OF_IMAGE, "supply": OF_GTS},
        rtol=ROUNDING,
        tied=False,
        counts_broken=("N",),
    ),
    Subject(
        "atss-alpha",
        {"type": "ATSSAssigner", "topk": 6, "alpha": 0.8},
        rule=None,
        also=("pred_logits", "pred_bboxes"),
        others=_all_in_one_level,
        rtol=ROUNDING,
    ),
    _of_warm_up("atss-batched", topk=5, strictly_above=True, inside_margin=1e-9, conflicts="all"),
    _multi_instance("multi_instance", num_instance=2, append_boxes=False),
    _multi_instance("multi_instance-three", num_instance=3, pos_iou_thr=0.4, neg_iou_thr=0.2),
)
