"""The matchers of set predictors against SciPy on the published formulas, written out pair by pair."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from assigncore.adapters import detr

from .modules import check_module

QUERIES, CLASSES = 20, 7
SIZES = (3, 0, 6)


def draw(seed, layers=1, sizes=SIZES, queries=QUERIES, dtype=torch.float32):
    """Draw outputs of decoder layers, and lists of targets, by DETR's names."""
    generator = torch.Generator().manual_seed(seed)

    def boxes(*shape):
        center = torch.rand((*shape, 2), generator=generator, dtype=dtype) * 0.8 + 0.1
        return torch.cat(
            [center, torch.rand(center.shape, generator=generator, dtype=dtype) * 0.3 + 0.01], -1
        )

    outputs = [
        {
            "pred_logits": torch.randn((len(sizes), queries, CLASSES), generator=generator, dtype=dtype) * 2,
            "pred_boxes": boxes(len(sizes), queries),
        }
        for _ in range(layers)
    ]
    targets = [
        {"labels": torch.randint(CLASSES, (n,), generator=generator), "boxes": boxes(n)} for n in sizes
    ]
    return {**outputs[-1], "aux_outputs": outputs[:-1]}, targets


def corners(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def giou(a, b):
    a, b = corners(a), corners(b)
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    union = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - both
    hull = np.prod([max(a[i + 2], b[i + 2]) - min(a[i], b[i]) for i in (0, 1)])
    return both / union - (hull - union) / hull


def softmax_cost(logits, label):
    e = np.exp(logits - logits.max())
    return -e[label] / e.sum()


def focal_cost(logits, label, alpha=0.25, gamma=2.0):
    p = 1 / (1 + np.exp(-logits[label]))
    positive = alpha * (1 - p) ** gamma * -np.log(p + 1e-8)
    return positive - (1 - alpha) * p**gamma * -np.log(1 - p + 1e-8)


def box_table(outputs, targets, image, weights, of_class):
    """Write the cost of each pair of an image out, (N, G), in float64."""
    of_class_weight, of_l1, of_giou = weights
    target = {name: x.double().numpy() for name, x in targets[image].items()}
    logits, boxes = (outputs[name][image].double().numpy() for name in ("pred_logits", "pred_boxes"))
    return np.array(
        [
            [
                of_class_weight * of_class(logit, int(label))
                + of_l1 * np.abs(box - own).sum()
                - of_giou * giou(box, own)
                for label, own in zip(target["labels"], target["boxes"], strict=True)
            ]
            for logit, box in zip(logits, boxes, strict=True)
        ]
    ).reshape(len(boxes), len(target["labels"]))


def check_pairs(pairs, tables):
    """Each image has SciPy's pairs, in its order; they are unique in random costs."""
    assert len(pairs) == len(tables)
    for (i, j), table in zip(pairs, tables, strict=True):
        assert i.dtype == j.dtype == torch.int64
        assert i.device == j.device == torch.device("cpu")
        rows, columns = linear_sum_assignment(table)
        assert (i.tolist(), j.tolist()) == (rows.tolist(), columns.tolist())


WEIGHTS = (1, 5, 2)
WEIGHT_DICT = dict(zip(("cost_class", "cost_bbox", "cost_giou"), WEIGHTS, strict=True))
MATCHERS = {
    "detr": (detr.HungarianMatcher(*WEIGHTS), softmax_cost),
    "deformable": (detr.FocalHungarianMatcher(*WEIGHTS), focal_cost),
    "rtdetr": (detr.RTDETRMatcher(WEIGHT_DICT), softmax_cost),
    "rtdetr_focal": (
        detr.RTDETRMatcher(WEIGHT_DICT, use_focal_loss=True, alpha=0.4, gamma=1.5),
        lambda logits, label: focal_cost(logits, label, 0.4, 1.5),
    ),
}
each_matcher = pytest.mark.parametrize(("matcher", "of_class"), MATCHERS.values(), ids=MATCHERS)


@each_matcher
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairs_are_those_of_scipy_on_the_formula(matcher, of_class, dtype):
    for seed in range(5):
        outputs, targets = draw(seed, dtype=dtype)
        tables = [box_table(outputs, targets, i, WEIGHTS, of_class) for i in range(len(targets))]
        check_pairs(matcher(outputs, targets), tables)


@each_matcher
def test_more_targets_than_predictions_leave_some_out(matcher, of_class):
    outputs, targets = draw(0, sizes=(9, 2), queries=4)
    tables = [box_table(outputs, targets, i, WEIGHTS, of_class) for i in range(2)]
    pairs = matcher(outputs, targets)
    assert [len(i) for i, _ in pairs] == [4, 2]
    check_pairs(pairs, tables)


@pytest.mark.parametrize("weights", [(0, 5, 2), (1, 0, 0), (0, 0, 1)])
def test_a_weight_of_zero_leaves_its_term_out(weights):
    outputs, targets = draw(1)
    tables = [box_table(outputs, targets, i, weights, softmax_cost) for i in range(len(targets))]
    check_pairs(detr.HungarianMatcher(*weights)(outputs, targets), tables)


def test_layers_in_one_solve_are_the_layers_one_by_one():
    outputs, targets = draw(2, layers=6)
    matcher = detr.HungarianMatcher(*WEIGHTS)
    layers = matcher.match_layers(outputs, targets)
    expected = [matcher(layer, targets) for layer in (outputs, *outputs["aux_outputs"])]
    assert len(layers) == 6
    for got, due in zip(layers, expected, strict=True):
        for (i, j), (rows, columns) in zip(got, due, strict=True):
            assert torch.equal(i, rows)
            assert torch.equal(j, columns)


def test_layers_of_different_shapes_are_named():
    outputs, targets = draw(2, layers=2)
    outputs["aux_outputs"][0]["pred_boxes"] = outputs["aux_outputs"][0]["pred_boxes"][:, :5]
    with pytest.raises(ValueError, match="pred_boxes: expected one shape"):
        detr.HungarianMatcher().match_layers(outputs, targets)


def test_the_second_version_of_rtdetr_returns_a_dict():
    outputs, targets = draw(2, layers=2)
    plain, wrapped = detr.RTDETRMatcher(WEIGHT_DICT), detr.RTDETRv2Matcher(WEIGHT_DICT)
    assert list(wrapped(outputs, targets)) == ["indices"]
    for got, due in zip(wrapped(outputs, targets)["indices"], plain(outputs, targets), strict=True):
        assert torch.equal(got[0], due[0])
    assert [list(layer) for layer in wrapped.match_layers(outputs, targets)] == [["indices"]] * 2


def mask_table(logits, masks, pred, gt, weights):
    """Write the cost of masks at the same points out, (N, G)."""
    of_class, of_mask, of_dice = weights
    table = np.zeros((len(pred), len(gt)))
    for n, x in enumerate(pred):
        p = 1 / (1 + np.exp(-x))
        for g, m in enumerate(gt):
            entropy = np.mean(np.logaddexp(0, -x) * m + np.logaddexp(0, x) * (1 - m))
            dice = 1 - (2 * (p * m).sum() + 1) / (p.sum() + m.sum() + 1)
            table[n, g] = (
                of_class * softmax_cost(logits[n], int(masks[g])) + of_mask * entropy + of_dice * dice
            )
    return table


def draw_masks(seed, sizes=(3, 0, 2), side=6, of_targets=6):
    generator = torch.Generator().manual_seed(seed)
    outputs = {
        "pred_logits": torch.randn((len(sizes), 8, CLASSES), generator=generator),
        "pred_masks": torch.randn((len(sizes), 8, side, side), generator=generator) * 3,
    }
    targets = [
        {
            "labels": torch.randint(CLASSES, (n,), generator=generator),
            "masks": torch.rand((n, of_targets, of_targets), generator=generator) < 0.4,
        }
        for n in sizes
    ]
    return outputs, targets


def sampled(masks, points, **options):
    """Read masks (n, H, W) at points (P, 2) by PyTorch's own sampler."""
    grid = (2 * points - 1)[None, :, None].expand(len(masks), -1, -1, -1)
    read = torch.nn.functional.grid_sample(masks[:, None].float(), grid, align_corners=False, **options)
    return read[:, 0, :, 0]


@pytest.mark.parametrize("num_points", [0, 50])
def test_masks_are_compared_at_the_points_the_generator_draws(num_points):
    weights = (2, 5, 5)
    outputs, targets = draw_masks(0, of_targets=6 if num_points == 0 else 24)
    torch.manual_seed(7)
    pairs = detr.Mask2FormerMatcher(*weights, num_points=num_points)(outputs, targets)
    torch.manual_seed(7)
    tables = []
    for image, target in enumerate(targets):
        logits, pred, gt = outputs["pred_logits"][image], outputs["pred_masks"][image], target["masks"]
        if num_points:
            # Image after image, as published.
            points = torch.rand(1, num_points, 2)[0]
            pred = sampled(pred, points)
            gt = sampled(gt, points) if len(gt) else torch.zeros(0, num_points)
        rows = [x.flatten(1).double().numpy() for x in (pred, gt)]
        tables.append(mask_table(logits.double().numpy(), target["labels"], *rows, weights))
    check_pairs(pairs, tables)


def test_masks_of_several_sizes_are_named():
    outputs, targets = draw_masks(0)
    targets[0]["masks"] = targets[0]["masks"][:, :5]
    with pytest.raises(ValueError, match="masks: expected one shape"):
        detr.Mask2FormerMatcher()(outputs, targets)


def test_modules_have_no_state():
    outputs, targets = draw(4, layers=2)
    for matcher, _ in MATCHERS.values():
        check_module(matcher, lambda module: module(outputs, targets))
        check_module(matcher, lambda module: module.match_layers(outputs, targets))
    masks = detr.Mask2FormerMatcher(2, 5, 5)
    check_module(masks, lambda module: module(*draw_masks(1)))
    assert repr(masks) == "Matcher Mask2FormerMatcher\n    cost_class: 2\n    cost_mask: 5\n    cost_dice: 5"


def test_weights_are_attributes():
    matcher = detr.HungarianMatcher(2, 5, 3)
    assert (matcher.cost_class, matcher.cost_bbox, matcher.cost_giou) == (2, 5, 3)


def test_all_weights_zero_are_named():
    for build in (
        lambda: detr.HungarianMatcher(0, 0, 0),
        lambda: detr.RTDETRMatcher(dict.fromkeys(WEIGHT_DICT, 0)),
        lambda: detr.Mask2FormerMatcher(0, 0, 0),
    ):
        with pytest.raises(ValueError, match="at least one that is not 0"):
            build()


def test_a_cost_that_is_not_finite_names_its_pair_or_is_never_matched():
    outputs, targets = draw(5)
    outputs["pred_boxes"][2, 4] = float("nan")
    with pytest.raises(ValueError, match="image 2, prior 4 and ground truth 0"):
        detr.HungarianMatcher()(outputs, targets)
    pairs = detr.HungarianMatcher(nonfinite="forbid")(outputs, targets)
    assert [len(i) for i, _ in pairs] == list(SIZES)
    assert 4 not in pairs[2][0]


def test_half_precision_predictions_and_gradients_are_taken_as_they_are():
    outputs, targets = draw(6)
    half = {name: outputs[name].to(torch.bfloat16).requires_grad_() for name in ("pred_logits", "pred_boxes")}
    full = {name: x.detach().float() for name, x in half.items()}
    matcher = detr.HungarianMatcher(*WEIGHTS)
    for got, due in zip(matcher(half, targets), matcher(full, targets), strict=True):
        assert torch.equal(got[0], due[0])
        assert not got[1].requires_grad


def test_small_boxes_are_told_apart():
    """Boxes of a millionth of the image's area still overlap, as they do in pixels."""
    own = torch.tensor([[0.5, 0.5, 1e-4, 1e-4]])
    apart = torch.tensor([0.5, 0.5, 1e-4, 3e-4])
    outputs = {"pred_logits": torch.zeros(1, 2, 2), "pred_boxes": torch.stack([apart, own[0]])[None]}
    target = {"labels": torch.tensor([0]), "boxes": own}
    assert detr.HungarianMatcher(0, 0, 1)(outputs, [target])[0][0].tolist() == [1]


def test_no_images_and_no_predictions_have_no_pairs():
    matcher = detr.HungarianMatcher()
    assert matcher({"pred_logits": torch.zeros(0, 5, 2), "pred_boxes": torch.zeros(0, 5, 4)}, []) == []
    outputs, targets = draw(0, sizes=(0, 0))
    assert [len(i) for i, _ in matcher(outputs, targets)] == [0, 0]
    outputs, targets = draw(0, queries=0)
    assert [len(i) for i, _ in matcher(outputs, targets)] == [0, 0, 0]


def test_targets_that_do_not_fit_are_named():
    outputs, targets = draw(3)
    matcher, last = detr.HungarianMatcher(), dict(targets[2])
    for count in (0, 1, 4):
        with pytest.raises(ValueError, match=rf"^targets: expected 3, one for each image, got {count}$"):
            matcher(outputs, (targets * 2)[:count])
    with pytest.raises(KeyError, match="outputs: expected pred_boxes, got pred_logits"):
        matcher({"pred_logits": outputs["pred_logits"]}, targets)
    labels = last.pop("labels")
    with pytest.raises(KeyError, match=r"targets\[2\]: expected labels, got boxes"):
        matcher(outputs, [*targets[:2], last])
    with pytest.raises(
        ValueError, match=r"targets\[2\]: expected as many labels as boxes, got 4 of labels, 6"
    ):
        matcher(outputs, [*targets[:2], {"labels": labels[:4], **last}])


def iou(a, b):
    a, b = corners(a), corners(b)
    both = np.prod([max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1)])
    return both / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - both)


def crowded(seed):
    """Draw large boxes, so that every prediction overlaps every target."""
    outputs, targets = draw(seed)
    for boxes in (outputs["pred_boxes"], *(target["boxes"] for target in targets)):
        boxes[..., 2:] += 0.8
    return outputs, targets


@pytest.mark.parametrize("epoch", [0, 30])
def test_dfine_changes_its_cost_when_the_epoch_says_so(epoch):
    matcher = detr.DFINEMatcher(
        WEIGHT_DICT, use_focal_loss=True, change_matcher=True, iou_order_alpha=4.0, matcher_change_epoch=30
    )
    outputs, targets = crowded(5)
    tables = [box_table(outputs, targets, i, WEIGHTS, focal_cost) for i in range(len(targets))]
    for image, (target, table) in enumerate(zip(targets, tables, strict=True)):
        for n, g in np.ndindex(table.shape if epoch else (0, 0)):
            logit = float(outputs["pred_logits"][image, n, target["labels"][g]])
            boxes = (x.double().numpy() for x in (outputs["pred_boxes"][image, n], target["boxes"][g]))
            table[n, g] = -1 / (1 + np.exp(-logit)) * iou(*boxes) ** 4
    check_pairs(matcher(outputs, targets, epoch=epoch)["indices"], tables)


def test_dfine_matches_in_rounds_with_what_is_left():
    matcher = detr.DFINEMatcher(WEIGHT_DICT)
    outputs, targets = draw(6)
    found = matcher(outputs, targets, return_topk=3)["indices_o2m"]
    for image, (i, j) in enumerate(found):
        table = box_table(outputs, targets, image, WEIGHTS, softmax_cost)
        expected = []
        for _ in range(3):
            rows, columns = linear_sum_assignment(table)
            expected += zip(rows.tolist(), columns.tolist(), strict=True)
            table[rows] = 1e6
        assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected


def softplus_focal(logits, label, alpha=0.25):
    x = logits[label]
    p = 1 / (1 + np.exp(-x))
    return alpha * (1 - p) ** 2 * np.logaddexp(0, -x) - (1 - alpha) * p**2 * np.logaddexp(0, x)


def test_rfdetr_matches_boxes_in_groups_and_reads_no_further_arguments():
    matcher = detr.RFDETRMatcher(*WEIGHTS, focal_alpha=0.4, use_pos_only=True)
    outputs, targets = draw(7)
    got = matcher(outputs, targets, 3, object())
    size = QUERIES // 3
    for group in range(3):
        part = {name: outputs[name][:, group * size :][:, :size] for name in ("pred_logits", "pred_boxes")}
        for image, (i, j) in enumerate(got):
            table = box_table(part, targets, image, WEIGHTS, lambda x, label: softplus_focal(x, label, 0.4))
            rows, columns = linear_sum_assignment(table)
            own = (i >= group * size) & (i < (group + 1) * size)
            assert (i[own] - group * size).tolist() == rows.tolist()
            assert j[own].tolist() == columns.tolist()
    assert max(int(i.max()) for i, _ in got if len(i)) < 3 * size


def projected(features, queries, bias, points):
    """Read features (D, H, W) at points (P, 2), and return their products with those of queries (N, D)."""
    read = sampled(features, points, padding_mode="border")
    return queries.double() @ read.double() + bias.double()


@pytest.mark.parametrize("products", [False, True], ids=["masks", "products"])
def test_rfdetr_compares_masks_at_one_point_for_so_many_pixels(products):
    matcher = detr.RFDETRMatcher(*WEIGHTS, mask_point_sample_ratio=4, cost_mask_ce=5, cost_mask_dice=2)
    outputs, targets = draw(8, queries=8)
    masks, of_targets = draw_masks(8, sizes=SIZES, side=6, of_targets=12)
    outputs["pred_masks"] = masks["pred_masks"]
    if products:
        outputs["pred_masks"] = {
            "spatial_features": torch.randn(len(SIZES), 5, 6, 6),
            "query_features": torch.randn(len(SIZES), 8, 5, requires_grad=True),
            "bias": torch.randn(1),
        }
    for target, own in zip(targets, of_targets, strict=True):
        target["masks"] = own["masks"]
    torch.manual_seed(3)
    got = matcher(outputs, targets)
    torch.manual_seed(3)
    points = torch.rand(1, 36 // 4, 2)[0]
    tables = []
    for image, target in enumerate(targets):
        table = box_table(outputs, targets, image, WEIGHTS, softplus_focal)
        read = sampled(target["masks"], points, mode="nearest", padding_mode="border")
        given = outputs["pred_masks"]
        if products:
            of_image = (given["spatial_features"][image], given["query_features"][image], given["bias"])
            pred = projected(*of_image, points).detach().numpy()
        else:
            pred = sampled(given[image], points, padding_mode="border").double().numpy()
        logits, labels = outputs["pred_logits"][image].double().numpy(), target["labels"].numpy()
        tables.append(table + mask_table(logits, labels, pred, read.numpy(), (0, 5, 2)))
    check_pairs(got, tables)


@pytest.mark.parametrize("groups", [1, 2])
def test_rfdetr_matches_products_as_it_does_the_masks_they_make(groups):
    matcher = detr.RFDETRMatcher(*WEIGHTS, mask_point_sample_ratio=1, cost_mask_ce=5, cost_mask_dice=2)
    outputs, targets = draw(9, queries=9)
    for target in targets:
        target["masks"] = torch.rand(len(target["labels"]), 12, 12) > 0.5
    parts = {
        "spatial_features": torch.randn(len(SIZES), 5, 6, 6),
        "query_features": torch.randn(len(SIZES), 9, 5),
        "bias": torch.randn(1),
    }
    made = torch.einsum("bdhw,bnd->bnhw", parts["spatial_features"], parts["query_features"]) + parts["bias"]
    answers = []
    for masks in (parts, made):
        torch.manual_seed(3)
        with matcher.ahead([{**outputs, "pred_masks": masks}], targets, groups):
            answers.append(matcher({**outputs, "pred_masks": masks}, targets, groups))
    for one, other in zip(*answers, strict=True):
        assert [x.tolist() for x in one] == [x.tolist() for x in other]


PER_CLASS = [2, 0, 3]
KEYPOINT_WEIGHTS = {
    "keypoint_l1_loss_coef": 2.0,
    "keypoint_findable_loss_coef": 1.5,
    "keypoint_visible_loss_coef": 3.0,
    "keypoint_nll_loss_coef": 0.5,
}


def draw_keypoints(seed, dtype=torch.float32):
    """Draw scenes with keypoints of three of the classes, at most four an object."""
    outputs, targets = draw(seed, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.rand(shape, generator=generator, dtype=dtype)

    predicted = drawn(len(SIZES), QUERIES, len(PER_CLASS) * 4, 8)
    outputs["pred_keypoints"] = torch.cat([predicted[..., :2], 2 * predicted[..., 2:] - 1], dim=-1)
    for target, size in zip(targets, SIZES, strict=True):
        target["labels"] %= 4
        visibility = torch.randint(0, 3, (size, 4, 1), generator=generator).to(dtype)
        target["keypoints"] = torch.cat([drawn(size, 4, 2), visibility], dim=-1)
    return outputs, targets


def keypoint_costs(predicted, keypoints, label, box):
    """Write the four costs of one pair out, by the definition of rfdetr 1.11."""
    number = PER_CLASS[label] if label < len(PER_CLASS) else 0
    side, seen = np.sqrt(box[2] * box[3]), 0
    apart = labelled = visible = likelihood = 0.0
    for place in range(number):
        x, y, v = keypoints[place]
        px, py, of_label, of_sight, a, b, c = predicted[4 * label + place, :7]
        labelled += np.logaddexp(0, of_label) - (v > 0) * of_label
        visible += np.logaddexp(0, of_sight) - (v > 1) * of_sight
        if v > 0:
            seen += 1
            dx, dy = (px - x) / side, (py - y) / side
            apart += abs(dx) + abs(dy)
            likelihood += ((np.exp(a) * dx + b * dy) ** 2 + (np.exp(c) * dy) ** 2) / 2 - a - c
    seen, number = max(seen, 1), max(number, 1)
    return apart / seen, labelled / number, visible / number, likelihood / seen


def keypoint_table(outputs, targets, image, weights):
    target = {name: x.double().numpy() for name, x in targets[image].items()}
    predicted = outputs["pred_keypoints"][image].double().numpy()
    rows = list(zip(target["keypoints"], target["labels"].astype(int), target["boxes"], strict=True))
    costs = [[np.dot(weights, keypoint_costs(one, *row)) for row in rows] for one in predicted]
    return np.array(costs).reshape(len(predicted), len(rows))


@pytest.mark.parametrize("term", [*KEYPOINT_WEIGHTS, "all"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rfdetr_compares_the_keypoints_of_each_class(term, dtype):
    weights = {name: w if term in (name, "all") else 0.0 for name, w in KEYPOINT_WEIGHTS.items()}
    matcher = detr.RFDETRMatcher(0.1, 0.1, 0.1, num_keypoints_per_class=PER_CLASS, **weights)
    outputs, targets = draw_keypoints(10, dtype)
    check_pairs(
        matcher(outputs, targets),
        [
            box_table(outputs, targets, image, (0.1, 0.1, 0.1), softplus_focal)
            + keypoint_table(outputs, targets, image, list(weights.values()))
            for image in range(len(targets))
        ],
    )


def test_rfdetr_does_not_read_keypoints_without_a_weight_or_without_a_target():
    outputs, targets = draw_keypoints(11)
    expected = detr.RFDETRMatcher(*WEIGHTS)(*draw_keypoints(11))
    matcher = detr.RFDETRMatcher(*WEIGHTS, num_keypoints_per_class=PER_CLASS, **KEYPOINT_WEIGHTS)
    for target in targets:
        del target["keypoints"]
    for got, own in zip(matcher(outputs, targets), expected, strict=True):
        assert [x.tolist() for x in got] == [x.tolist() for x in own]


def test_rfdetr_matches_keypoints_beside_masks_in_groups_and_layers():
    outputs, targets = draw_keypoints(12)
    matcher = detr.RFDETRMatcher(
        *WEIGHTS, cost_mask_ce=0, cost_mask_dice=0, num_keypoints_per_class=PER_CLASS, **KEYPOINT_WEIGHTS
    )
    expected = matcher(outputs, targets, 2)
    outputs["pred_masks"] = torch.zeros(len(SIZES), QUERIES, 4, 4)
    for target, size in zip(targets, SIZES, strict=True):
        target["masks"] = torch.zeros(size, 4, 4, dtype=torch.bool)
    of_layers = matcher.match_layers({**outputs, "aux_outputs": [outputs]}, targets)
    assert [i.tolist() for i, _ in of_layers[0]] == [i.tolist() for i, _ in of_layers[1]]
    for got, own in zip(matcher(outputs, targets, 2), expected, strict=True):
        assert [x.tolist() for x in got] == [x.tolist() for x in own]


def test_rfdetr_never_matches_a_prediction_with_a_keypoint_that_is_not_finite():
    outputs, targets = draw_keypoints(13)
    matcher = detr.RFDETRMatcher(*WEIGHTS, num_keypoints_per_class=PER_CLASS, **KEYPOINT_WEIGHTS)
    matched = int(matcher(outputs, targets)[0][0][0])
    outputs["pred_keypoints"][0, matched, 0, 0] = torch.nan
    found = matcher(outputs, targets)[0][0]
    assert matched not in found
    assert len(found) == SIZES[0]


def test_rfdetr_takes_images_without_an_object_in_whatever_shape_their_keypoints_come():
    outputs, targets = draw_keypoints(14)
    matcher = detr.RFDETRMatcher(*WEIGHTS, num_keypoints_per_class=PER_CLASS, **KEYPOINT_WEIGHTS)
    expected = matcher(outputs, targets)
    targets[1]["keypoints"] = torch.empty(0)
    for got, own in zip(matcher(outputs, targets), expected, strict=True):
        assert [x.tolist() for x in got] == [x.tolist() for x in own]


def test_rfdetr_says_what_numbers_of_keypoints_do_not_fit():
    outputs, targets = draw_keypoints(15)
    with pytest.raises(
        ValueError, match="num_keypoints_per_class: expected a number for each class, got none"
    ):
        detr.RFDETRMatcher(**KEYPOINT_WEIGHTS)(outputs, targets)
    with pytest.raises(ValueError, match=r"pred_keypoints: expected \(B, N, 2 K, at least 7\), K at least 7"):
        detr.RFDETRMatcher(num_keypoints_per_class=[1, 7], **KEYPOINT_WEIGHTS)(outputs, targets)
    targets[0]["keypoints"] = targets[0]["keypoints"][:, :2]
    with pytest.raises(ValueError, match=r"targets\[0\]: expected keypoints \(G, K, 3\), K at least 3"):
        detr.RFDETRMatcher(num_keypoints_per_class=PER_CLASS, **KEYPOINT_WEIGHTS)(outputs, targets)


@pytest.mark.parametrize("kind", [detr.DFINEMatcher, detr.RFDETRMatcher])
def test_the_forks_matchers_are_modules_without_state(kind):
    matcher = kind(WEIGHT_DICT) if kind is detr.DFINEMatcher else kind(*WEIGHTS)
    arguments = draw(4)
    check_module(matcher, lambda module: module(*arguments))


@pytest.mark.parametrize("boxes", [torch.zeros(0, 4), torch.empty(0)], ids=["(0, 4)", "(0,)"])
@pytest.mark.parametrize("labels", [torch.zeros(0, dtype=torch.int64), torch.empty(0), torch.zeros(0, 2)])
def test_targets_without_an_object_match_nothing_in_whatever_shape_they_come(boxes, labels):
    outputs, targets = draw(9, sizes=(3, 2))
    (expected, _), nothing = (
        detr.HungarianMatcher(*WEIGHTS)(outputs, targets),
        {"labels": labels, "boxes": boxes},
    )
    found = detr.HungarianMatcher(*WEIGHTS)(outputs, [targets[0], nothing])
    assert torch.equal(found[0][0], expected[0])
    assert [len(x) for x in found[1]] == [0, 0]
    assert [len(i) for i, _ in detr.HungarianMatcher(*WEIGHTS)(outputs, [nothing] * 2)] == [0, 0]
