"""The settings of SimOTA that published pose detectors train with."""

from __future__ import annotations

from typing import Any

from assigncore.assigners.sim_ota import SimOTAAssigner
from assigncore.steps.keypoints import COCO_SIGMAS

__all__ = ["rtmo", "yolox_pose"]


def yolox_pose(**knobs: Any) -> SimOTAAssigner:
    """Return the assigner of YOLOX-Pose: SimOTA whose costs compare poses too.

    Parameters
    ----------
    **knobs
        Knobs of :class:`SimOTAAssigner` in place of the published ones, among which are the tolerances of
        COCO's keypoints.

    Notes
    -----
    MMYOLO, which published it, measures distances by half the diagonal of the box:
    ``gt_areas = (w**2 + h**2) / 4``. Its drop-in does so.

    References
    ----------
    Maji et al., "YOLO-Pose: Enhancing YOLO for Multi Person Pose Estimation Using Object Keypoint Similarity
    Loss", 2022.

    Examples
    --------
    >>> yolox_pose().oks_weight, len(yolox_pose().sigmas)
    (3.0, 17)
    """
    return SimOTAAssigner(**{"sigmas": COCO_SIGMAS, **knobs})


def rtmo(**knobs: Any) -> SimOTAAssigner:
    """Return the assigner of RTMO: poses also say how many priors there are, and where the centre is.

    Parameters
    ----------
    **knobs
        Knobs of :class:`SimOTAAssigner` in place of the published ones, which are those of `yolox_pose` but
        for these two.

    Notes
    -----
    `gt_areas` are those of the annotations. The cost counts overlaps of boxes too.

    References
    ----------
    Lu et al., "RTMO: Towards High-Performance One-Stage Real-Time Multi-Person Pose Estimation", 2024.

    Examples
    --------
    >>> rtmo().dynamic_k_indicator, rtmo().use_keypoints_for_center
    ('oks', True)
    """
    return yolox_pose(**{"dynamic_k_indicator": "oks", "use_keypoints_for_center": True, **knobs})
