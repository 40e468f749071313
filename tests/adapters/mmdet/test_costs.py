"""Match costs and overlap calculators as MMDetection calls them, and a user's own among them."""

import pytest
import torch

from assigncore.adapters import mmdet, mmdet2

from ..instances import CONTAINERS, Instances, boxes, real_instances

PRIORS = boxes([0, 0, 10, 10], [20, 20, 30, 30], [5, 5, 15, 15])
GTS = boxes([0, 0, 10, 9], [20, 20, 31, 30])
LABELS = torch.tensor([3, 7])


class WidthCost:
    """A cost as a user writes it for MMDetection."""

    def __call__(self, pred_instances, gt_instances, img_meta=None, **kwargs):
        width = [x[:, 2] - x[:, 0] for x in (pred_instances.bboxes, gt_instances.bboxes)]
        return (width[0][:, None] - width[1][None, :]).abs()


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_costs_are_called_with_instances(container):
    pred = container(bboxes=PRIORS, scores=torch.zeros(3, 8))
    gt = container(bboxes=GTS, labels=LABELS)
    expected = -2.0 * mmdet.bbox_overlaps(PRIORS, GTS, mode="giou")
    torch.testing.assert_close(mmdet.IoUCost(weight=2.0)(pred, gt), expected)
    torch.testing.assert_close(mmdet.ClassificationCost()(pred, gt, {}), torch.full((3, 2), -0.125))
    distance = mmdet.BBoxL1Cost()(pred, gt, img_meta={"img_shape": (20, 40)})
    sides = torch.tensor([40.0, 20.0, 40.0, 20.0])
    torch.testing.assert_close(distance, torch.cdist(PRIORS / sides, GTS / sides, p=1))


def test_costs_of_version_2_are_called_with_tensors():
    corners = GTS / 40
    centres = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=-1)
    for box_format in ("xyxy", "xywh"):
        cost = mmdet2.BBoxL1Cost(2.0, box_format=box_format)(centres, corners)
        torch.testing.assert_close(cost.diagonal(), torch.zeros(2))
        assert cost[0, 1] > 0
    masks = torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]]])
    gt_masks = (masks > 0).long()
    for cost in (
        mmdet2.FocalLossCost(binary_input=True),
        mmdet2.DiceCost(pred_act=True),
        mmdet2.CrossEntropyLossCost(),
    ):
        values = cost(masks, gt_masks)
        torch.testing.assert_close(values, cost(masks.flatten(1), gt_masks.flatten(1)))
        assert values.argmin(dim=0).tolist() == [0, 1]


def test_a_foreign_cost_takes_part_in_the_matching():
    pred = real_instances(bboxes=boxes([0, 0, 9, 9], [0, 0, 4, 4], [0, 0, 6, 6]))
    gt = real_instances(bboxes=boxes([5, 5, 11, 8], [1, 1, 9, 2]), labels=LABELS)
    result = mmdet.HungarianAssigner([WidthCost(), {"type": "IoUCost", "weight": 0.01}]).assign(pred, gt)
    assert result.gt_inds.tolist() == [2, 0, 1]
    assert result.labels.tolist() == [7, -1, 3]


def test_a_foreign_calculator_decides_overlaps():
    def all_alike(bboxes1, bboxes2, mode="iou", is_aligned=False):
        return torch.ones((*bboxes1.shape[:-1], bboxes2.shape[-2]))

    assigner = mmdet.MaxIoUAssigner(0.5, 0.4, iou_calculator=all_alike, match_low_quality=False)
    result = assigner.assign(Instances(priors=PRIORS), Instances(bboxes=GTS, labels=LABELS))
    assert result.gt_inds.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("of_priors", "of_gts"), [(5, 5), (7, 7), (4, 5)])
@pytest.mark.parametrize("version", ["3", "2"])
def test_a_foreign_calculator_sees_every_column(version, of_priors, of_gts):
    seen = set()

    def by_last_column(bboxes1, bboxes2, mode="iou", is_aligned=False):
        seen.add((mode, bboxes1.shape[-1], bboxes2.shape[-1]))
        return (bboxes1[..., :, None, -1] == bboxes2[..., None, :, -1]).float()

    priors, gts = torch.zeros(3, of_priors), torch.zeros(2, of_gts)
    priors[:, -1], gts[:, -1] = torch.tensor([5.0, 7.0, 6.0]), torch.tensor([7.0, 5.0])
    knobs = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.5, "ignore_iof_thr": 0.5, "iou_calculator": by_last_column}
    ignored = gts[:0].new_full((1, of_gts), 6.0)
    if version == "3":
        instances = Instances(bboxes=gts, labels=torch.tensor([0, 1]))
        result = mmdet.MaxIoUAssigner(**knobs).assign(
            Instances(priors=priors), instances, Instances(bboxes=ignored)
        )
    else:
        result = mmdet2.MaxIoUAssigner(**knobs).assign(priors, gts, ignored, torch.tensor([0, 1]))
    assert result.gt_inds.tolist() == [2, 1, -1]
    assert seen == {("iou", of_gts, of_priors), ("iof", of_priors, of_gts)}
    empty = Instances(bboxes=torch.empty(0), labels=torch.empty(0))
    assert mmdet.MaxIoUAssigner(**knobs).assign(Instances(priors=priors), empty).gt_inds.tolist() == [0, 0, 0]


def test_the_calculator_of_glip_counts_the_last_pixel():
    calculator = mmdet.BboxOverlaps2D_GLIP()
    left, right = boxes([0, 0, 9, 9]), boxes([9, 0, 18, 9])
    assert calculator(left, right).item() == pytest.approx(10 / 190)
    assert calculator(left, right, mode="giou").item() == pytest.approx(10 / 190)
    assert calculator(torch.tensor([]), right).shape == (0, 1)
    assigner = mmdet.MaxIoUAssigner(0.05, 0.01, iou_calculator={"type": "BboxOverlaps2D_GLIP"})
    result = assigner.assign(Instances(priors=right), Instances(bboxes=left, labels=LABELS[:1]))
    assert result.max_overlaps.item() == pytest.approx(10 / 190)


def test_the_caption_is_that_of_the_first_ground_truth():
    masks = torch.tensor([[True, True, False], [True, False, False]])
    pred = Instances(scores=torch.tensor([[1.0, -2.0, 3.0]]))
    fields = {"positive_maps": torch.eye(3)[:2]}
    cost = mmdet.BinaryFocalLossCost()
    both = cost(pred, Instances(text_token_mask=masks, **fields))
    assert torch.equal(both, cost(pred, Instances(text_token_mask=masks[:1].expand(2, 3), **fields)))
    assert not torch.equal(both, cost(pred, Instances(text_token_mask=masks[1:].expand(2, 3), **fields)))


def test_a_caption_may_be_shorter_than_the_scores():
    """Grounding DINO's head hands a mask of the caption's tokens over, with scores for 256."""
    scores = torch.tensor(
        [[1.0, -2.0, 0.5, -torch.inf, -torch.inf], [0.0, 1.0, -1.0, -torch.inf, -torch.inf]]
    )
    pred = Instances(scores=scores, bboxes=torch.rand(2, 4))
    fields = {"positive_maps": torch.eye(5)[:2], "labels": torch.tensor([0, 1])}
    short = Instances(text_token_mask=torch.ones(2, 3, dtype=torch.bool), **fields)
    whole = Instances(text_token_mask=(torch.arange(5) < 3).expand(2, 5), **fields)
    cost = mmdet.BinaryFocalLossCost()
    assert torch.equal(cost(pred, short), cost(pred, whole))
    assert torch.isfinite(cost(pred, short)).all()
    assigner = mmdet.HungarianAssigner([{"type": "BinaryFocalLossCost"}])
    assert assigner.assign(pred, short).gt_inds.tolist() == assigner.assign(pred, whole).gt_inds.tolist()


@pytest.mark.parametrize("assigner", [mmdet.MaxIoUAssigner(0.5, 0.4), mmdet.ATSSAssigner(2)])
def test_a_foreign_calculator_gets_tensors(assigner):
    """A function's class is a builtin: such calculators were handed NumPy's arrays."""
    kinds = set()

    def watching(bboxes1, bboxes2, mode="iou", is_aligned=False):
        kinds.update({type(bboxes1), type(bboxes2)})
        return mmdet.BboxOverlaps2D()(bboxes1, bboxes2, mode, is_aligned)

    levels = [[3]] if isinstance(assigner, mmdet.ATSSAssigner) else []
    given = Instances(priors=PRIORS), *levels, Instances(bboxes=GTS, labels=LABELS)
    expected = assigner.assign(*given).gt_inds.tolist()
    assigner.iou_calculator = watching
    assert assigner.assign(*given).gt_inds.tolist() == expected
    assert kinds == {torch.Tensor}
