"""The rules of the assigners by regions of ground truths, read like those in `readings`."""

import numpy as np

from assigncore.conformance.reference.regions import region as read_region

from .readings import iof


def _without_overlaps(image, codes, **extras):
    found = image.outputs(codes, [image.dtype(0)] * len(codes), **extras)
    del found["max_overlaps"]
    return found


def _counted(image):
    return {n: box for n, box in enumerate(image.priors) if image.takes_part[n] and box is not None}


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def _center(box):
    half = type(box[0])(0.5)
    return (box[0] + box[2]) * half, (box[1] + box[3]) * half


def _scaled(box, scale):
    number = type(box[0])
    (x, y), half, scale = _center(box), number(0.5), number(scale)
    dx, dy = (box[2] - box[0]) * half * scale, (box[3] - box[1]) * half * scale
    return x - dx, y - dy, x + dx, y + dy


def _holds(box, point):
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


def center_region(image, pos_scale, neg_scale, min_pos_iof=0.01, foreground_dominate=False, **knobs):
    """Read the rule of cores and shadows."""
    thr, fraction = image.dtype(min_pos_iof), knobs.get("fraction", iof)
    codes = [0] * len(image.priors)
    shadow, outranked = (
        np.zeros((len(codes), len(image.arguments["gt_bboxes"])), dtype=bool) for _ in range(2)
    )
    for n, prior in _counted(image).items():
        cores = [
            g
            for g, gt in image.gts.items()
            if _holds(gt, _center(prior)) and fraction(prior, _scaled(gt, pos_scale)) > thr
        ]
        if cores:
            codes[n] = 1 + min(cores, key=lambda g: (_area(image.gts[g]), -g))
        for g, gt in image.gts.items():
            outranked[n, g] = g in cores and codes[n] != g + 1
            touches = g not in cores and fraction(prior, _scaled(gt, neg_scale)) > thr
            shadow[n, g] = touches or outranked[n, g]
        if any(_holds(_scaled(r, knobs.get("ignore_gt_scale", 0.5)), _center(prior)) for r in image.regions):
            codes[n] = -1
        labelled = codes[n] > 0 and "gt_labels" in image.arguments
        clashes = [
            g for g in image.gts if labelled and shadow[n, g] and image.label(g) == image.label(codes[n] - 1)
        ]
        if foreground_dominate:
            shadow[n, clashes] = outranked[n, clashes] = False
        elif clashes:
            codes[n] = 0
    ignored = [n for n, code in enumerate(codes) if code < 0]
    found = _without_overlaps(image, codes, shadow=shadow, outranked=outranked)
    # An image without ground truths has its ignored priors all the same.
    found["gt_inds"][ignored] = -1
    return found


def fcos(image, regress_ranges, center_sampling=False, center_sample_radius=1.5):
    """Read the rule of points in boxes, all of one level."""
    [(least, greatest)] = regress_ranges
    codes = [0] * len(image.priors)
    for n, (x, y, stride) in _counted(image).items():
        claims = []
        for g, (x1, y1, x2, y2) in image.gts.items():
            sides = (x - x1, y - y1, x2 - x, y2 - y)
            takes = min(sides) > 0 and image.dtype(least) <= max(sides) <= image.dtype(greatest)
            if takes and center_sampling:
                (cx, cy), reach = _center((x1, y1, x2, y2)), stride * image.dtype(center_sample_radius)
                takes = _holds((cx - reach, cy - reach, cx + reach, cy + reach), (x, y))
            if takes:
                claims.append(g)
        if claims:
            codes[n] = 1 + min(claims, key=lambda g: (_area(image.gts[g]), g))
    return _without_overlaps(image, codes)


def region(image, level, **knobs):
    """Read the rule of Guided Anchoring on one level, what does not count being left out."""
    counted, gts = _counted(image), list(image.gts)
    codes, count = [0] * len(image.priors), len(image.arguments["gt_bboxes"])
    if counted and gts:
        inputs = {
            "priors": np.array(list(counted.values())),
            "valid_flags": np.ones(len(counted), dtype=bool),
            "gt_bboxes": np.array([image.gts[g] for g in gts]),
        }
        call = {
            "anchor_scale": level["anchor_scale"],
            "anchor_strides": level["anchor_strides"],
            "featmap_sizes": level["featmap_sizes"],
            "num_level_anchors": (len(counted),),
            "img_shape": level["image_shape"],
            "allowed_border": level["allowed_border"],
        }
        for n, code in zip(counted, read_region(inputs, knobs, call)[0], strict=True):
            codes[n] = gts[code - 1] + 1 if code > 0 else int(code)
    found = image.outputs(codes, [image.dtype(0)] * len(codes))
    if codes and count:
        del found["max_overlaps"]
    if "labels" in found and gts:
        found["labels"] = np.where(found["gt_inds"] > 0, found["labels"], 0)
    return found
