"""The priors of published detectors, for an image size: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import array_api_compat.numpy as default_namespace

from assigncore.priors.anchors import AnchorGenerator
from assigncore.priors.grid import PriorGrid, Size
from assigncore.priors.points import PointGenerator

__all__ = ["atss_anchors", "fcos_points", "retinanet_anchors", "rfla_fields", "rpn_anchors", "yolo_points"]

FROM_P2 = (4, 8, 16, 32, 64)
FROM_P3 = (8, 16, 32, 64, 128)

RPN: Mapping[str, Any] = {"strides": FROM_P2, "ratios": (0.5, 1.0, 2.0), "scales": (8.0,)}
RFLA: Mapping[str, Any] = {
    "strides": FROM_P2,
    "ratios": (0.5, 1.0, 2.0),
    "scales": (0.5,),
    "base_sizes": (35, 91, 267, 427, 555),
}
RETINANET: Mapping[str, Any] = {
    "strides": FROM_P3,
    "ratios": (0.5, 1.0, 2.0),
    "octave_base_scale": 4.0,
    "scales_per_octave": 3,
}
ATSS: Mapping[str, Any] = {
    "strides": FROM_P3,
    "ratios": (1.0,),
    "octave_base_scale": 8.0,
    "scales_per_octave": 1,
}
FCOS: Mapping[str, Any] = {"strides": FROM_P3, "offset": 0.5}
YOLO: Mapping[str, Any] = {"strides": (8, 16, 32), "offset": 0.5}


def rpn_anchors(
    image_shape: Size,
    *,
    size_divisor: int = 32,
    xp: Any = default_namespace,
    dtype: Any = None,
    device: Any = None,
) -> PriorGrid:
    """Lay the anchors of a region proposal network on a feature pyramid: strides 4 to 64, three in a cell.

    Parameters
    ----------
    image_shape : (int, int)
        Height and width of the image in pixels.
    size_divisor : int, default 32
        The image is padded to multiples of this, as detectors pad it; 1 where it is padded already.
    xp, dtype, device
        As in :meth:`PriorGenerator.grid`. Default: float32 arrays of NumPy.

    Returns
    -------
    PriorGrid
        ``priors`` (N, 4) and ``num_level_priors``, as assigners take them.

    References
    ----------
    Ren et al., "Faster R-CNN" (2015); Lin et al., "Feature Pyramid Networks for Object Detection" (2017).

    Examples
    --------
    >>> rpn_anchors((800, 1333)).priors.shape
    (268569, 4)
    """
    return AnchorGenerator(**RPN).for_image(
        image_shape, size_divisor=size_divisor, xp=xp, dtype=dtype, device=device
    )


def retinanet_anchors(
    image_shape: Size,
    *,
    size_divisor: int = 32,
    xp: Any = default_namespace,
    dtype: Any = None,
    device: Any = None,
) -> PriorGrid:
    """Lay RetinaNet's anchors: strides 8 to 128, three ratios times three scales in a cell.

    Parameters
    ----------
    image_shape, size_divisor, xp, dtype, device
        As in :func:`rpn_anchors`.

    Returns
    -------
    PriorGrid
        ``priors`` (N, 4) and ``num_level_priors``, as assigners take them.

    References
    ----------
    Lin et al., "Focal Loss for Dense Object Detection" (2017).

    Examples
    --------
    >>> import numpy as np
    >>> from assigncore import MaxIoUAssigner
    >>> anchors = retinanet_anchors((800, 1333))
    >>> anchors.num_level_priors
    (151200, 37800, 9450, 2457, 693)
    >>> gt_bboxes = np.array([[400, 300, 470, 360]], dtype=np.float32)
    >>> MaxIoUAssigner(0.5, 0.4).assign(anchors.priors, gt_bboxes).positives_per_gt
    array([33])
    """
    return AnchorGenerator(**RETINANET).for_image(
        image_shape, size_divisor=size_divisor, xp=xp, dtype=dtype, device=device
    )


def rfla_fields(
    image_shape: Size,
    *,
    size_divisor: int = 32,
    xp: Any = default_namespace,
    dtype: Any = None,
    device: Any = None,
) -> PriorGrid:
    """Lay RFLA's receptive fields for a region proposal network: strides 4 to 64, three ratios in a cell.

    They are half as wide as the theoretical receptive fields of ResNet-50's feature pyramid.

    Parameters
    ----------
    image_shape, size_divisor, xp, dtype, device
        As in :func:`rpn_anchors`.

    Returns
    -------
    PriorGrid
        ``priors`` (N, 4) and ``num_level_priors``, as assigners take them.

    References
    ----------
    Xu et al., "RFLA: Gaussian Receptive Field based Label Assignment for Tiny Object Detection" (2022).

    Examples
    --------
    >>> import numpy as np
    >>> from assigncore import RFLAAssigner
    >>> fields = rfla_fields((800, 800))
    >>> fields.priors[1].tolist()
    [-8.75, -8.75, 8.75, 8.75]
    >>> gt_bboxes = np.array([[400, 300, 406, 305]], dtype=np.float32)
    >>> RFLAAssigner().assign(fields.priors, gt_bboxes).positives_per_gt
    array([3])
    """
    return AnchorGenerator(**RFLA).for_image(
        image_shape, size_divisor=size_divisor, xp=xp, dtype=dtype, device=device
    )


def atss_anchors(
    image_shape: Size,
    *,
    size_divisor: int = 32,
    xp: Any = default_namespace,
    dtype: Any = None,
    device: Any = None,
) -> PriorGrid:
    """Lay the anchors of ATSS, TOOD and VarifocalNet: strides 8 to 128, one square in a cell.

    Parameters
    ----------
    image_shape, size_divisor, xp, dtype, device
        As in :func:`rpn_anchors`.

    Returns
    -------
    PriorGrid
        ``priors`` (N, 4) and ``num_level_priors``, as assigners take them.

    References
    ----------
    Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection" (2020).

    Examples
    --------
    >>> atss_anchors((640, 640)).num_level_priors
    (6400, 1600, 400, 100, 25)
    """
    return AnchorGenerator(**ATSS).for_image(
        image_shape, size_divisor=size_divisor, xp=xp, dtype=dtype, device=device
    )


def fcos_points(
    image_shape: Size,
    *,
    size_divisor: int = 32,
    xp: Any = default_namespace,
    dtype: Any = None,
    device: Any = None,
) -> PriorGrid:
    """Lay the points of FCOS: strides 8 to 128, one in the centre of each cell.

    Parameters
    ----------
    image_shape, size_divisor, xp, dtype, device
        As in :func:`rpn_anchors`.

    Returns
    -------
    PriorGrid
        ``priors`` (N, 3), x y stride, and ``num_level_priors``, as assigners take them.

    References
    ----------
    Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection" (2019).

    Examples
    --------
    >>> fcos_points((640, 640)).priors.shape
    (8525, 3)
    """
    return PointGenerator(**FCOS).for_image(
        image_shape, size_divisor=size_divisor, xp=xp, dtype=dtype, device=device
    )


def yolo_points(
    image_shape: Size,
    *,
    size_divisor: int = 32,
    xp: Any = default_namespace,
    dtype: Any = None,
    device: Any = None,
) -> PriorGrid:
    """Lay the points of anchor-free YOLOs (YOLOX, YOLOv6, YOLOv8 ...): strides 8 16 32, centred in each cell.

    Parameters
    ----------
    image_shape, size_divisor, xp, dtype, device
        As in :func:`rpn_anchors`.

    Returns
    -------
    PriorGrid
        ``priors`` (N, 3), x y stride, and ``num_level_priors``, as assigners take them.

    References
    ----------
    Ge et al., "YOLOX: Exceeding YOLO Series in 2021" (2021).

    Examples
    --------
    >>> yolo_points((640, 640)).priors.shape
    (8400, 3)
    """
    return PointGenerator(**YOLO).for_image(
        image_shape, size_divisor=size_divisor, xp=xp, dtype=dtype, device=device
    )
