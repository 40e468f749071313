"""Golden cases of set matchers, of one decoder layer or several, in one form.

The files hold what the packages were called with; here it is put side by side: layers in the order in which
they were matched, ground truths image by image, and the answer as one code a prediction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.goldens.cases import GoldenCase

__all__ = ["SetCase", "codes_of_pairs", "problems", "read_set_case", "with_codes"]

AnyArray = NDArray[Any]

FOCAL = MappingProxyType({"alpha": 0.25, "gamma": 2.0})
OF_CONFIG = ("HFRTDetr", "HFRTDetrV2", "HFDFine", "HFDeimv2")
CLAMPED = ("HFDFine", "HFDeimv2")
LIKE_DABDETR = ("HFConditionalDetr", "HFDabDetr")


@dataclass(frozen=True, eq=False)
class SetCase:
    """What one call of a loss, or of a matcher, matches.

    Parameters
    ----------
    logits : numpy.ndarray
        (L, B, N, C), the layers in the order of the answer.
    boxes : numpy.ndarray or None
        (L, B, N, 4), centre and size relative to the image.
    masks : numpy.ndarray or None
        (L, B, N, h, w), logits.
    images : tuple of mapping
        Each image's ``labels``, and ``boxes``, ``masks``, ``maps`` (G, tokens) and ``points`` (P, 2) where
        there are such.
    weights : mapping of str to float
        Of ``class``, ``l1``, ``giou``, ``mask`` and ``dice``, in the order in which they are added.
    of_class : {"softmax", "focal", "tokens"}
        What a class costs.
    of_mask : {"cross entropy", "focal"}
        What a mask costs.
    focal : mapping of str to float
        ``alpha`` and ``gamma``.
    groups : int
        Equal groups of predictions, each matched on its own.
    """

    logits: AnyArray
    boxes: AnyArray | None
    masks: AnyArray | None
    images: tuple[Mapping[str, AnyArray], ...]
    weights: Mapping[str, float]
    of_class: str = "focal"
    of_mask: str = "cross entropy"
    focal: Mapping[str, float] = field(default_factory=lambda: FOCAL)
    groups: int = 1

    @property
    def grouped(self) -> int:
        """The number of predictions that are in a whole group."""
        queries = self.logits.shape[2]
        return int(queries - queries % self.groups)


def read_set_case(case: GoldenCase) -> SetCase:
    """Read a case whose variant begins with ``HF``."""
    x, init = case.inputs, case.init
    sizes = x["gt_sizes"].tolist()
    ends = np.cumsum(sizes)[:-1]
    parts = {"labels": "gt_labels", "boxes": "gt_bboxes", "masks": "gt_masks"}
    images: list[dict[str, AnyArray]] = [{} for _ in sizes]
    for part, name in parts.items():
        if name in x:
            for image, rows in zip(images, np.split(x[name], ends), strict=True):
                image[part] = rows
    if "label_maps" in x:
        maps = np.split(x["label_maps"], np.cumsum(x["label_map_sizes"])[:-1])
        for image, rows in zip(images, maps, strict=True):
            image["maps"] = rows[image["labels"]]
    masks = None if "pred_masks" not in x or case.call.get("segmentation") else x["pred_masks"][None]
    if masks is None:
        for image in images:
            image.pop("masks", None)
    elif case.variant != "HFMaskFormer":
        for image, points in zip(images, _points(case, len(images)), strict=True):
            image["points"] = points
    logits, boxes = _layers(case)
    read = SetCase(logits, boxes, masks, tuple(images), _weights(case))
    read = replace(read, groups=case.call.get("group_detr", 1))
    if case.variant == "HFMaskFormer":
        read = replace(read, of_mask="focal")
    if case.variant == "HFGroundingDino":
        return replace(read, of_class="tokens")
    if case.variant in OF_CONFIG and init.get("use_focal_loss", True):
        knobs = {name: init.get(f"matcher_{name}", value) for name, value in FOCAL.items()}
        return replace(read, focal=knobs)
    softmax = boxes is None or case.variant in ("HFDetr", *OF_CONFIG) or case.call.get("segmentation")
    return replace(read, of_class="softmax") if softmax else read


def _layers(case: GoldenCase) -> tuple[AnyArray, AnyArray | None]:
    """Put the layers into the order in which they were matched: the last one, the others, the encoder's."""
    x = case.inputs
    logits, boxes = x["logits"], x.get("pred_bboxes")
    if boxes is None or logits.ndim == 3:
        return logits[None], None if boxes is None else boxes[None]
    cut = case.call.get("dn_num_split", (0,))[0]
    both = [np.concatenate([part[-1:], part[:-1]])[:, :, cut:] for part in (logits, boxes)]
    if not case.init.get("auxiliary_loss", True):
        both = [part[:1] for part in both]
    elif "enc_logits" in x:
        both = [
            np.concatenate([part, x[name][None]])
            for part, name in zip(both, ("enc_logits", "enc_bboxes"), strict=True)
        ]
    return both[0], np.clip(both[1], 0, 1) if case.variant in CLAMPED else both[1]


def _points(case: GoldenCase, images: int) -> AnyArray:
    """Return the points of each image; ours where the package failed before it used any."""
    points = case.inputs.get("points", case.expected.get("points"))
    if points is None:
        return np.random.default_rng(0).random((images, 48, 2)).astype(case.dtype)
    return np.broadcast_to(points, (images, *points.shape[-2:]))


def _weights(case: GoldenCase) -> dict[str, float]:
    init = case.init
    if case.variant in OF_CONFIG:
        defaults = {"class": 2, "bbox": 5, "giou": 2}
        return _of_boxes({name: init.get(f"matcher_{name}_cost", x) for name, x in defaults.items()})
    if "pred_bboxes" not in case.inputs:
        return {name: init.get(f"cost_{name}", 1.0) for name in ("mask", "class", "dice")}
    usual = (2, 5, 2) if case.variant in LIKE_DABDETR else (1, 1, 1)
    names = ("class", "bbox", "giou")
    weights = _of_boxes({name: init.get(f"{name}_cost", x) for name, x in zip(names, usual, strict=True)})
    if case.variant == "HFRfDetr":
        weights["mask"] = init.get("cost_mask_class_cost", 1.0)
        weights["dice"] = init.get("cost_mask_dice_cost", 1.0)
    return weights


def _of_boxes(given: Mapping[str, float]) -> dict[str, float]:
    return {"l1": given["bbox"], "class": given["class"], "giou": given["giou"]}


def codes_of_pairs(pred: AnyArray, gt: AnyArray, sizes: AnyArray, queries: int) -> AnyArray:
    """Write pairs of several matchings, one after the other, as codes (..., N), as many as `sizes` (...)."""
    codes = np.zeros((sizes.size, queries), dtype=np.int64)
    ends = np.cumsum(sizes.reshape(-1))
    for matching, rows, columns in zip(
        codes, np.split(pred, ends[:-1]), np.split(gt, ends[:-1]), strict=True
    ):
        matching[rows] = columns + 1
    return codes.reshape(*sizes.shape, queries)


def with_codes(case: GoldenCase) -> GoldenCase:
    """Give a case with its answer as codes: ``gt_inds`` (L, B, N), and ``union`` (B, N) if it has one."""
    read = read_set_case(case)
    layers, images, queries = read.logits.shape[:3]
    x = case.expected
    codes = codes_of_pairs(x["pred"], x["gt"], x["sizes"], queries).reshape(layers, images, queries)
    expected = {"gt_inds": codes}
    if "union_pred" in x:
        expected["union"] = codes_of_pairs(x["union_pred"], x["union_gt"], x["union_sizes"], queries)
    return replace(case, expected=MappingProxyType(expected))


def problems(read: SetCase) -> Iterator[tuple[int, int, slice]]:
    """List what is matched on its own, in the order of the files: layer, group, image."""
    size = read.grouped // read.groups
    for layer in range(read.logits.shape[0]):
        for group in range(read.groups):
            for image in range(read.logits.shape[1]):
                yield layer, image, slice(group * size, (group + 1) * size)
