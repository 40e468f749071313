"""MMYOLO's assigner of YOLOX-Pose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from assigncore.adapters.containers import array_of, as_many_as_predictions, points_of, required
from assigncore.adapters.errors import also_assertion
from assigncore.adapters.mmdet import AssignResult, SimOTAAssigner
from assigncore.adapters.mmdet.inputs import ground_truths
from assigncore.adapters.mmyolo.soft_label import calculator_of
from assigncore.backend import Array, get_backend
from assigncore.numerics import sigmoid

__all__ = ["PoseSimOTAAssigner", "sigmas_of"]

BOX = 4
"""Columns of a box, in front of its keypoints."""


def sigmas_of(oks_calculator: Any) -> tuple[float, ...] | None:
    """Return the tolerances that a calculator of similarities has, or its config names.

    Parameters
    ----------
    oks_calculator : mapping or object
        What has ``sigmas``; or a config with ``metainfo``, a file whose ``dataset_info`` has them, also
        relative to the files that come with MMYOLO or MMPose.

    Returns
    -------
    tuple of float, or None
        None where nothing names any.

    Raises
    ------
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> sigmas_of({"type": "OksLoss", "sigmas": [0.1, 0.2]})
    (0.1, 0.2)
    """
    if not isinstance(oks_calculator, Mapping):
        own = getattr(oks_calculator, "sigmas", None)
    elif oks_calculator.get("metainfo") is not None:
        config = import_module("mmengine.config").Config.fromfile(str(_found(oks_calculator["metainfo"])))
        own = config["dataset_info"]["sigmas"]
    else:
        own = oks_calculator.get("sigmas")
    return None if own is None else tuple(float(sigma) for sigma in own)


def _found(name: str) -> Path:
    specs = [spec for spec in map(find_spec, ("mmyolo", "mmpose")) if spec is not None]
    installed = [Path(place) / ".mim" for spec in specs for place in spec.submodule_search_locations or ()]
    for place in (Path(), *installed):
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(f"oks_calculator: expected a metainfo that is a file, got {name!r}")


@dataclass(eq=False)
class PoseSimOTAAssigner(SimOTAAssigner):
    """SimOTA whose costs compare poses too, as YOLOX-Pose trains: see :class:`assigncore.SimOTAAssigner`.

    Parameters
    ----------
    center_radius, candidate_topk, iou_weight, cls_weight, iou_calculator
        As of :class:`assigncore.SimOTAAssigner`. A scope in the calculator's type is left out.
    oks_weight, vis_weight : float, default 0.0
        Weights of the similarity's cost, and of that of visibilities.
    oks_calculator : mapping or object, optional
        Has the tolerances of the keypoints: see :func:`sigmas_of`. Where none are named they are 1.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> assigner = PoseSimOTAAssigner(oks_weight=3.0, oks_calculator={"type": "OksLoss", "sigmas": [0.1]})
    >>> assigner.assign(
    ...     SimpleNamespace(
    ...         priors=torch.tensor([[4.0, 4, 8, 8], [12, 4, 8, 8]]),
    ...         bboxes=torch.tensor([[0.0, 0, 16, 8, 3, 3, 0], [0, 0, 16, 8, 9, 4, 0]]),
    ...         scores=torch.full((2, 1), 0.5),
    ...     ),
    ...     SimpleNamespace(
    ...         bboxes=torch.tensor([[0.0, 0, 16, 8]]),
    ...         labels=torch.tensor([0]),
    ...         keypoints=torch.tensor([[[9.0, 4]]]),
    ...         keypoints_visible=torch.ones(1, 1),
    ...     ),
    ... ).max_overlaps
    tensor([0.0555, 1.0000])
    """

    oks_weight: float = 0.0
    vis_weight: float = 0.0
    oks_calculator: Any = None

    @also_assertion
    def __post_init__(self) -> None:
        if isinstance(self.iou_calculator, Mapping):
            self.iou_calculator = calculator_of(self.iou_calculator)
        self._sigmas = sigmas_of(self.oks_calculator)
        super().__post_init__()

    def build(self, **options: Any) -> Any:
        """Build the core's assigner, for one keypoint until their number is known."""
        return self.core_class(**{**self.core_knobs(), "sigmas": self._sigmas or (1.0,), **options})

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **kwargs: Any
    ) -> AssignResult:
        """Assign ``priors`` (N, 4), points with strides, by ``bboxes`` (N, 4 + 3 K) and ``scores`` (N, C).

        In ``bboxes`` x, y and the logit of the visibility of each keypoint come behind the box, as published.
        The ground truths have ``keypoints`` (G, K, 2) and ``keypoints_visible`` (G, K), 0 where a keypoint
        does not count; every other number counts as 1. Ignore regions are without effect.

        Returns
        -------
        AssignResult
            Its ``max_overlaps`` are the roots of the similarities of positive priors' poses, as published.
        """
        rows = array_of(required(pred_instances, "bboxes", "pred_instances"))
        scores = required(pred_instances, "scores", "pred_instances")
        points = points_of(required(pred_instances, "priors", "pred_instances"), rows)
        named = ground_truths(gt_instances).named(self.boxes_of, needs_labels=True)
        boxes = named["gt_bboxes"]
        points, predictions = as_many_as_predictions(
            points, boxes, pred_bboxes=rows[:, :BOX], pred_scores=scores
        )
        if 0 in (*boxes.shape, *points.shape):
            without_poses = self.core(sigmas=None, vis_weight=0.0)
            return AssignResult.of(without_poses.assign(points, **named, **predictions))
        xp, count = get_backend(rows, "bboxes").xp, (int(rows.shape[1]) - BOX) // 3
        keypoints = xp.reshape(rows[:, BOX:], (int(rows.shape[0]), count, 3))
        sides = boxes[:, 2:] - boxes[:, :2]
        result = self.core(sigmas=self._sigmas or (1.0,) * count).assign(
            points,
            **named,
            **predictions,
            pred_keypoints=keypoints[..., :2],
            gt_keypoints=_annotated(gt_instances),
            # Distances are measured by half the diagonal of the box.
            gt_areas=xp.sum(sides * sides, axis=-1) / 4,
            pred_visibility=sigmoid(keypoints[..., 2]),
        )
        published, roots = AssignResult.of(result), xp.sqrt(result.extras["oks"])
        published.max_overlaps = xp.where(result.pos_mask, roots, result.max_overlaps)
        return published


def _annotated(gt_instances: Any) -> Array:
    """Return x, y and visibility of the ground truths' keypoints, (G, K, 3)."""
    keypoints = array_of(required(gt_instances, "keypoints", "gt_instances"))
    xp = get_backend(keypoints, "keypoints").xp
    visible = array_of(required(gt_instances, "keypoints_visible", "gt_instances"))
    return xp.concat([keypoints, xp.astype(visible, keypoints.dtype)[..., None]], axis=-1)
