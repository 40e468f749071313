"""The adapters add nothing that a compiler cannot follow: no reading of values, no shape that depends on them."""

import pytest
import torch

from assigncore.adapters import mmdet, mmdet2

from ..instances import Instances, boxes

N = 48
POINTS = torch.cartesian_prod(torch.arange(6.0), torch.arange(8.0)).flip(-1) * 8 + 4
PRIORS = torch.cat([POINTS - 12, POINTS + 12], dim=-1)
STRIDES = torch.full((N, 2), 8.0)
LOGITS = torch.linspace(-2, 2, N * 3).reshape(N, 3)
DENSE = {"priors": PRIORS, "bboxes": PRIORS + 1, "scores": LOGITS.sigmoid()}
BY_POINT = {**DENSE, "priors": torch.cat([POINTS, STRIDES], dim=-1)}
GT = Instances(bboxes=boxes([2, 2, 30, 26], [20, 10, 60, 44]), labels=torch.tensor([2, 0]))
IGNORE = Instances(bboxes=boxes([40, 30, 64, 48]))

CALLS = {
    "MaxIoU": (mmdet.MaxIoUAssigner(0.5, 0.4, ignore_iof_thr=0.5), {"priors": PRIORS}, (GT, IGNORE)),
    "ATSS": (mmdet.ATSSAssigner(5), {"priors": PRIORS}, ([32, 16], GT)),
    "TaskAligned": (mmdet.TaskAlignedAssigner(5), DENSE, (GT,)),
    "SimOTA": (mmdet.SimOTAAssigner(), BY_POINT, (GT,)),
    "DynamicSoftLabel": (mmdet.DynamicSoftLabelAssigner(), {**BY_POINT, "scores": LOGITS}, (GT,)),
    "Point": (mmdet.PointAssigner(), {"priors": BY_POINT["priors"][:, :3]}, (GT,)),
    "ApproxMaxIoU": (
        mmdet.ApproxMaxIoUAssigner(0.5, 0.4),
        {"priors": PRIORS, "approxs": torch.stack([PRIORS, PRIORS + 3], dim=1)},
        (GT,),
    ),
    "Grid": (
        mmdet.GridAssigner(0.5, 0.4),
        {"priors": PRIORS, "responsible_flags": (torch.arange(N) % 3 == 0).to(torch.uint8)},
        (GT,),
    ),
    "MultiInstance": (
        mmdet.MultiInstanceAssigner(2, pos_iou_thr=0.5, neg_iou_thr=0.4),
        {"priors": PRIORS},
        (GT, IGNORE),
    ),
    "Uniform": (mmdet.UniformAssigner(0.15, 0.7), {"priors": PRIORS, "decoder_priors": PRIORS + 1}, (GT,)),
    "Region": (
        mmdet.RegionAssigner(),
        {"priors": PRIORS, "valid_flags": torch.ones(N)},
        (GT, {"img_shape": (48, 64)}, [(6, 8)], [N], 4, [8], None, 4),
    ),
}


def test_all_but_those_with_lists_and_matchings_are_among_them():
    left = set(mmdet.ASSIGNERS) - {f"{name}Assigner" for name in CALLS}
    assert left == {"CenterRegionAssigner", "HungarianAssigner", "TopkHungarianAssigner"}


def fields(result):
    return [x for x in (result.gt_inds, result.max_overlaps, result.labels) if x is not None]


@pytest.mark.parametrize("name", CALLS)
def test_version_3_compiles_as_one_graph(name):
    assigner, pred, rest = CALLS[name]

    def assign(pred):
        return fields(assigner.assign(Instances(**pred), *rest))

    torch.compiler.reset()  # Each assigner counts as one more compilation of the same function, up to a limit.
    compiled = torch.compile(assign, fullgraph=True, dynamic=False, backend="eager")(pred)
    for got, expected in zip(compiled, assign(pred), strict=True):
        torch.testing.assert_close(got, expected)


def test_version_2_compiles_as_one_graph():
    assigner = mmdet2.MaxIoUAssigner(0.5, 0.4)

    def assign(bboxes, gt_bboxes, gt_labels):
        return fields(assigner.assign(bboxes, gt_bboxes, gt_labels=gt_labels))

    arguments = (PRIORS, GT.bboxes, GT.labels)
    compiled = torch.compile(assign, fullgraph=True, dynamic=False, backend="eager")(*arguments)
    assert [x.tolist() for x in compiled] == [x.tolist() for x in assign(*arguments)]


def test_the_core_behind_takes_a_batch():
    assigner = mmdet.MaxIoUAssigner(0.5, 0.4)
    several = boxes([2, 2, 30, 26], [20, 10, 60, 44], [30, 4, 50, 24], [0, 0, 0, 0]).reshape(2, 2, 4)
    valid = torch.tensor([[True, True], [True, False]])
    batch = assigner.core().assign(PRIORS, several, gt_valid=valid, gt_labels=torch.tensor([[1, 2], [3, 0]]))
    for image, count in enumerate((2, 1)):
        gt = Instances(bboxes=several[image, :count], labels=torch.tensor([[1, 2], [3, 0]])[image, :count])
        alone = assigner.assign(Instances(priors=PRIORS), gt)
        assert torch.equal(batch.gt_inds[image], alone.gt_inds)
        assert torch.equal(batch.labels[image], alone.labels)
