"""What MMDetection's heads, samplers and configs rely on beside the answers themselves."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch

from assigncore.adapters import mmdet, mmdet2

from ..instances import CONTAINERS, Boxes, Instances, boxes, plain_values

THRESHOLDS = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.4}
PRIORS = boxes([0, 0, 10, 10], [20, 20, 30, 30], [5, 5, 15, 15])
GTS = boxes([0, 0, 10, 9], [20, 20, 31, 30])
LABELS = torch.tensor([3, 7])

EVERY = [
    mmdet.ATSSAssigner(9),
    mmdet.ApproxMaxIoUAssigner(0.5, 0.4),
    mmdet.CenterRegionAssigner(0.2, 0.8),
    mmdet.DynamicSoftLabelAssigner(),
    mmdet.GridAssigner(0.5, 0.5),
    mmdet.HungarianAssigner([{"type": "IoUCost"}, {"type": "ClassificationCost"}]),
    mmdet.MaxIoUAssigner(0.5, 0.4, perm_repeat_gt_cfg={"seed": 1}),
    mmdet.MultiInstanceAssigner(3, pos_iou_thr=0.5, neg_iou_thr=0.4),
    mmdet.PointAssigner(),
    mmdet.RegionAssigner(),
    mmdet.RotatedATSSAssigner(9, iou_calculator={"type": "RBboxOverlaps2D"}),
    mmdet.SimOTAAssigner(),
    mmdet.TaskAlignedAssigner(13),
    mmdet.TopkHungarianAssigner(4),
    mmdet.UniformAssigner(0.15, 0.7),
    mmdet.BboxOverlaps2D(scale=2.0),
    mmdet.BboxOverlaps2D_GLIP(),
    *(cls() for cls in mmdet.costs.COSTS.values()),
    mmdet2.AscendMaxIoUAssigner(0.5, 0.4),
    mmdet2.HungarianAssigner(),
    mmdet2.MaskHungarianAssigner(),
    mmdet2.SimOTAAssigner(),
    *(cls() for cls in mmdet2.costs.COSTS.values()),
]


@pytest.mark.parametrize("thing", EVERY, ids=lambda thing: f"{type(thing).__module__}.{type(thing).__name__}")
def test_each_can_be_pickled_and_copied_and_says_its_knobs(thing):
    for twin in (pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing)):
        assert type(twin) is type(thing)
        assert repr(twin) == repr(thing)
    assert repr(thing).startswith(f"{type(thing).__name__}(")


def test_every_assigner_is_among_them():
    there = {type(thing) for thing in EVERY}
    assert set(mmdet.ASSIGNERS.values()) <= there


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_boxes_may_be_objects_that_hold_a_tensor(container):
    gt, ignore = container(bboxes=Boxes(GTS), labels=LABELS), container(bboxes=Boxes(PRIORS[2:]))
    assigner = mmdet.MaxIoUAssigner(**THRESHOLDS, ignore_iof_thr=0.5)
    result = assigner.assign(container(priors=Boxes(PRIORS)), gt, ignore)
    assert result.gt_inds.tolist() == [1, 2, -1]
    assert torch.equal(mmdet.bbox_overlaps(Boxes(PRIORS), Boxes(GTS)), mmdet.bbox_overlaps(PRIORS, GTS))
    assert torch.equal(mmdet.BboxOverlaps2D()(Boxes(PRIORS), GTS), mmdet.bbox_overlaps(PRIORS, GTS))


def test_labels_may_be_whole_real_numbers_and_boxes_may_have_scores():
    pred = Instances(priors=torch.cat([PRIORS, torch.ones(3, 1)], dim=-1))
    result = mmdet.MaxIoUAssigner(**THRESHOLDS).assign(pred, Instances(bboxes=GTS, labels=LABELS.float()))
    assert result.labels.tolist() == [3, 7, -1]
    assert result.labels.dtype == torch.int64


def test_boxes_without_dimensions_are_none():
    result = mmdet2.MaxIoUAssigner(**THRESHOLDS).assign(PRIORS, torch.tensor([]), gt_labels=torch.tensor([]))
    assert result.gt_inds.tolist() == [0, 0, 0]
    assert result.num_gts == 0
    assert mmdet.bbox_overlaps(torch.tensor([]), GTS).shape == (0, 2)


def test_a_missing_attribute_is_named():
    with pytest.raises(AttributeError, match=r"pred_instances\.priors"):
        mmdet.MaxIoUAssigner(**THRESHOLDS).assign(
            Instances(bboxes=PRIORS), Instances(bboxes=GTS, labels=LABELS)
        )


@pytest.mark.parametrize(("hold", "expected"), [(torch.Tensor.clone, [0, 0]), (Boxes, [1, 0])])
def test_a_point_on_a_side_is_inside_boxes_that_are_an_object(hold, expected):
    pred = Instances(
        priors=torch.tensor([[8.0, 4, 8, 8], [9, 4, 8, 8]]),
        bboxes=boxes([0, 0, 8, 8], [0, 0, 8, 8]),
        scores=torch.zeros(2, 8),
    )
    gt = Instances(bboxes=hold(boxes([0, 0, 8, 8])), labels=LABELS[:1])
    assert mmdet.DynamicSoftLabelAssigner().assign(pred, gt).gt_inds.tolist() == expected


def test_knobs_can_be_changed_after_construction():
    assigner = mmdet.MaxIoUAssigner(**THRESHOLDS, match_low_quality=False)
    pred, gt = Instances(priors=PRIORS), Instances(bboxes=PRIORS[:1] + 3.0, labels=LABELS[:1])
    assert assigner.assign(pred, gt).gt_inds.tolist() == [0, 0, -1]
    assigner.pos_iou_thr = 0.45
    assert assigner.assign(pred, gt).gt_inds.tolist() == [0, 0, 1]


def test_predictions_get_no_gradient_from_the_assignment():
    predicted = PRIORS.clone().requires_grad_()
    pred = Instances(priors=PRIORS, bboxes=predicted, scores=torch.full((3, 8), 0.5, requires_grad=True))
    result = mmdet.TaskAlignedAssigner(1).assign(pred, Instances(bboxes=GTS, labels=LABELS))
    assert not result.max_overlaps.requires_grad
    assert not result.assign_metrics.requires_grad
    assert "assign_metrics" not in result.info


def test_predictions_that_are_not_used_are_told_of():
    pred = Instances(priors=PRIORS, scores=torch.zeros(3, 8), bboxes=PRIORS)
    with pytest.warns(UserWarning, match="without alpha"):
        mmdet.ATSSAssigner(9).assign(pred, [3], Instances(bboxes=GTS, labels=LABELS))


def test_eps_of_version_2_is_an_argument_of_the_call():
    points = torch.tensor([[8.0, 8.0, 8.0, 8.0], [9.0, 9.0, 8.0, 8.0]])
    decoded = boxes([0, 0, 16, 8], [0, 0, 16, 14.5])
    scores = torch.tensor([[0.9], [0.1]])
    gt = boxes([0, 0, 16, 16]), torch.tensor([0])
    assigner = mmdet2.SimOTAAssigner(candidate_topk=1)
    # The better box is the cheaper one, until the logarithms of overlaps are levelled.
    assert assigner.assign(scores, points, decoded, *gt).gt_inds.tolist() == [0, 1]
    assert assigner.assign(scores, points, decoded, *gt, eps=10.0).gt_inds.tolist() == [1, 0]


# What upstream asserts, or does not implement.


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: mmdet.TaskAlignedAssigner(0),
        lambda: mmdet.TopkHungarianAssigner(0),
        lambda: mmdet2.TaskAlignedAssigner(0),
        lambda: mmdet.HungarianAssigner([]),
        lambda: mmdet.BBoxL1Cost(box_format="cxcywh"),
        lambda: mmdet2.BBoxL1Cost(box_format="cxcywh"),
        lambda: mmdet2.CrossEntropyLossCost(use_sigmoid=False),
        lambda: mmdet.MaxIoUAssigner(0.5, 0.4, perm_repeat_gt_cfg=[0.97]),
        lambda: mmdet.bbox_overlaps(GTS, GTS, mode="diou"),
        lambda: mmdet.bbox_overlaps(torch.ones(2, 5), GTS),
        lambda: mmdet.BboxOverlaps2D()(torch.ones(2, 3), GTS),
        lambda: mmdet.bbox_overlaps(torch.ones(1, 2, 4), torch.ones(3, 2, 4)),
        lambda: mmdet.bbox_overlaps(PRIORS, GTS, is_aligned=True),
        lambda: mmdet.BBoxL1Cost()(Instances(bboxes=PRIORS), Instances(bboxes=GTS)),
        lambda: mmdet2.HungarianAssigner().assign(
            PRIORS, torch.ones(3, 8), GTS, LABELS, {"img_shape": (40, 40, 3)}, gt_bboxes_ignore=GTS
        ),
        lambda: mmdet2.MaskHungarianAssigner().assign(None, GTS, LABELS, GTS, {}, gt_bboxes_ignore=GTS),
        lambda: mmdet.HungarianAssigner({"type": "IoUCost"}).assign(
            Instances(bboxes=PRIORS), Instances(bboxes=GTS, labels=[3, 7])
        ),
    ],
)
def test_assertion_errors_are_raised_where_upstream_asserts(wrong):
    with pytest.raises(AssertionError) as caught:
        wrong()
    assert str(caught.value)


def test_what_upstream_does_not_implement_is_not_implemented():
    masks = Instances(masks=torch.ones(2, 4))
    cost = mmdet.CrossEntropyLossCost(use_sigmoid=False)
    with pytest.raises(NotImplementedError):
        cost(masks, masks)
    pred = Instances(priors=PRIORS, valid_flags=torch.ones(3))
    gt = Instances(bboxes=GTS, labels=LABELS)
    with pytest.raises(NotImplementedError, match="ignore"):
        mmdet.RegionAssigner().assign(pred, gt, {"img_shape": (40, 40)}, [(1, 3)], [3], 4, [8], gt)
    with pytest.raises(NotImplementedError, match="ignore"):
        mmdet2.RegionAssigner().assign(
            [PRIORS], [torch.ones(3)], GTS, {"img_shape": (40, 40, 3)}, [(1, 3)], 4, [8], GTS
        )


@pytest.mark.parametrize("version", ["3", "2"])
def test_anchors_beyond_the_border_are_background_without_ground_truths(version):
    flags, none, meta = torch.tensor([True, False, True]), boxes(), {"img_shape": (40, 40)}
    if version == "3":
        pred = Instances(priors=PRIORS, valid_flags=flags)
        gt = Instances(bboxes=none, labels=LABELS[:0])
        result = mmdet.RegionAssigner().assign(pred, gt, meta, [(1, 3)], [3], 4, [8])
    else:
        result = mmdet2.RegionAssigner().assign([PRIORS], [flags], none, meta, [(1, 3)], 4, [8])
    assert result.gt_inds.tolist() == [0, 0, 0]


# The result.


def test_ground_truths_are_added_in_place():
    result = mmdet.AssignResult(2, torch.tensor([0, 2]), torch.tensor([0.1, 0.9]), torch.tensor([-1, 7]))
    result.add_gt_(LABELS)
    assert {name: plain_values(x) for name, x in result.info.items()} == {
        "num_gts": 2,
        "num_preds": 4,
        "gt_inds": [1, 2, 0, 2],
        "max_overlaps": pytest.approx([1, 1, 0.1, 0.9]),
        "labels": [3, 7, -1, 7],
    }


def test_ground_truths_are_added_to_a_result_without_labels():
    result = mmdet.AssignResult(1, torch.tensor([0, 1]), torch.tensor([0.0, 1.0]))
    result.add_gt_(LABELS[:1])
    assert (result.gt_inds.tolist(), result.labels) == ([1, 0, 1], None)


def test_extra_properties():
    result = mmdet.AssignResult(0, torch.tensor([0]), None, None)
    result.set_extra_property("reliability", [0.5])
    assert result.get_extra_property("reliability") == [0.5]
    assert result.get_extra_property("absent") is None
    assert result.info["reliability"] == [0.5]
    for taken in ("reliability", "gt_inds", "num_preds"):
        with pytest.raises(AssertionError, match=taken):
            result.set_extra_property(taken, 1)


def test_results_are_written_as_upstream_writes_them():
    result = mmdet.AssignResult(1, torch.tensor([0, 1]), None, torch.tensor([-1, 3]))
    nice = "<AssignResult(num_gts=1, gt_inds.shape=(2,), max_overlaps=None, labels.shape=(2,))"
    assert str(result) == f"{nice}>"
    assert repr(result).startswith(f"{nice} at 0x")
    ascend = mmdet2.AscendAssignResult([1], torch.ones(1, 2), torch.zeros(1, 2), torch.ones(1, 2))
    assert str(ascend).startswith("<AscendAssignResult(batch_num_gts=[1], batch_pos_mask.shape=(1, 2), ")


def test_results_can_be_pickled_and_copied():
    result = mmdet.AssignResult(1, torch.tensor([0, 1]), None, torch.tensor([-1, 3]))
    result.set_extra_property("more", 1)
    for twin in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert {name: plain_values(x) for name, x in twin.info.items()} == {
            name: plain_values(x) for name, x in result.info.items()
        }


@pytest.mark.parametrize("seed", range(30))
def test_random_results_are_consistent_and_repeatable(seed):
    result = mmdet.AssignResult.random(rng=seed)
    twin = mmdet.AssignResult.random(rng=seed)
    assert torch.equal(result.gt_inds, twin.gt_inds)
    assert result.num_preds == len(result.gt_inds) == len(result.max_overlaps)
    assert result.gt_inds.dtype == torch.int64
    assert ((result.gt_inds >= -1) & (result.gt_inds <= result.num_gts)).all()
    if result.labels is not None:
        assert torch.equal(result.labels >= 0, result.gt_inds > 0)


def test_random_results_have_what_is_asked_for():
    result = mmdet.AssignResult.random(
        num_preds=50, num_gts=40, p_assigned=1.0, p_ignore=0.0, p_use_label=1.0, num_classes=2, rng=0
    )
    positive = result.gt_inds > 0
    assert int(positive.sum()) == 40
    assert set(result.labels[positive].tolist()) == {0, 1}
    assert mmdet.AssignResult.random(num_preds=3, num_gts=0, rng=0).gt_inds.tolist() == [0, 0, 0]


@pytest.mark.parametrize("module", ["mmdet", "mmdet2"])
def test_importing_the_adapter_imports_no_framework(module):
    code = f"import sys, assigncore.adapters.{module}; print(*[n for n in ('torch', 'mmengine') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("assign_all", [True, False])
@pytest.mark.parametrize("min_pos_iou", [-1, -2.5, -0.9])
def test_where_all_priors_are_ignored_a_least_overlap_of_minus_one_lets_the_last_ground_truth_take_them(
    min_pos_iou, assign_all
):
    knobs = {"min_pos_iou": min_pos_iou, "gt_max_assign_all": assign_all, "ignore_iof_thr": 0.5}
    assigner = mmdet2.MaxIoUAssigner(0.5, 0.4, **knobs)
    everywhere, somewhere = boxes([-50, -50, 50, 50]), boxes([-50, -50, 12, 12])
    result = assigner.assign(PRIORS, GTS, everywhere, LABELS)
    taken = [2, 2 if assign_all else -1, 2 if assign_all else -1] if min_pos_iou <= -1 else [-1, -1, -1]
    assert result.gt_inds.tolist() == taken
    assert result.labels.tolist() == [7 if code == 2 else -1 for code in taken]
    partly = assigner.assign(PRIORS, GTS, somewhere, LABELS)
    assert partly.gt_inds.tolist() == [-1, 2, 1]
