"""Where there is nothing to assign, whatever shape nothing has come in is background, as upstream takes it."""

import itertools

import pytest
import torch

from assigncore.adapters import mmdet, mmdet2, mmyolo, ultralytics

from .instances import Instances

N = 84
POINTS = torch.cartesian_prod(torch.arange(12.0), torch.arange(7.0)) * 8
BOXES = torch.cat([POINTS - 8, POINTS + 8], dim=1)
STRIDED = torch.cat([POINTS, torch.full((N, 2), 8.0)], dim=1)
SCORES = torch.full((N, 3), 0.5)
GT = torch.tensor([[0.0, 0, 30, 30]])

NO_BOXES = {"(0, 4)": torch.zeros(0, 4), "(0,)": torch.empty(0)}
NO_LABELS = {
    "(0,)": torch.zeros(0, dtype=torch.int64),
    "float": torch.zeros(0),
    "(0, 2)": torch.zeros(0, 2, dtype=torch.int64),
    "None": None,
}
LEFT_OVER = {
    "as they are": (BOXES, SCORES),
    "(2, 1, 4)": (torch.zeros(2, 1, 4), torch.zeros(2, 1, 3)),
    "of two images": (BOXES.repeat(2, 1), SCORES.repeat(2, 1)),
    "none": (torch.zeros(0, 4), torch.zeros(0, 3)),
}
"""Predictions that are left where there is no ground truth."""


def instances(priors, bboxes, scores, **further):
    return Instances(priors=priors, bboxes=bboxes, scores=scores, decoder_priors=bboxes, **further)


def version_3(name, priors, boxes, labels, bboxes, scores):
    gt = Instances(bboxes=boxes, labels=labels)
    build, flags = getattr(mmdet, f"{name}Assigner"), {"responsible_flags": torch.ones(len(priors)).bool()}
    knobs = {"MaxIoU": (0.5, 0.4), "Grid": (0.5, 0.4), "ApproxMaxIoU": (0.5, 0.4), "CenterRegion": (0.2, 0.2),
             "Uniform": (0.15, 0.7), "TaskAligned": (13,), "ATSS": (9,)}  # fmt: skip
    if name == "ApproxMaxIoU":
        flags = {"approxs": torch.zeros(len(priors), 2, 4)}
    pred = instances(priors, bboxes, scores, **flags)
    levels = ([len(priors)],) if name == "ATSS" else ()
    return build(*knobs.get(name, ())).assign(pred, *levels, gt)


def version_2(name, priors, boxes, labels, bboxes, scores):
    if name == "TaskAligned":
        return mmdet2.TaskAlignedAssigner(13).assign(scores, bboxes, priors, boxes, None, labels)
    if name == "SimOTA":
        return mmdet2.SimOTAAssigner().assign(scores, priors, bboxes, boxes, labels)
    if name == "Uniform":
        return mmdet2.UniformAssigner(0.15, 0.7).assign(bboxes, priors, boxes, None, labels)
    if name == "Grid":
        flags = torch.ones(len(priors))
        return mmdet2.GridAssigner(0.5, 0.4).assign(priors, flags, boxes, labels)
    if name == "ATSS":
        return mmdet2.ATSSAssigner(9).assign(priors, [len(priors)], boxes, None, labels)
    build = getattr(mmdet2, f"{name}Assigner")
    knobs = {"MaxIoU": (0.5, 0.4), "CenterRegion": (0.2, 0.2)}.get(name, ())
    return build(*knobs).assign(priors, boxes, None, labels)


PRIORS = {"Point": STRIDED[:, :3], "SimOTA": STRIDED, "DynamicSoftLabel": STRIDED}
BY_PREDICTIONS = ("Uniform", "SimOTA", "DynamicSoftLabel", "TaskAligned")
ASSIGNERS = [
    *[(version_3, name) for name in ("MaxIoU", "ATSS", "Point", "Uniform", "TaskAligned", "SimOTA",
                                     "DynamicSoftLabel", "Grid", "ApproxMaxIoU", "CenterRegion")],
    *[(version_2, name) for name in ("MaxIoU", "ATSS", "Point", "Uniform", "TaskAligned", "SimOTA", "Grid",
                                     "CenterRegion")],
]  # fmt: skip
each_assigner = pytest.mark.parametrize(
    ("call", "name"), ASSIGNERS, ids=[f"{name}-{call.__name__}" for call, name in ASSIGNERS]
)


def check_background(result, n):
    assert result.gt_inds.shape == (n,)
    assert (result.gt_inds == 0).all()
    assert result.labels is None or (result.labels.shape == (n,) and (result.labels == -1).all())


@pytest.mark.filterwarnings("ignore:predictions are given to ATSSAssigner")
@each_assigner
def test_no_ground_truths(call, name):
    priors = PRIORS.get(name, BOXES)
    for boxes, (kind, labels), left in itertools.product(
        NO_BOXES.values(), NO_LABELS.items(), LEFT_OVER.values()
    ):
        result = call(name, priors, boxes, labels, *left)
        # As many as upstream counts: predictions, where it reads them.
        check_background(result, len(left[0]) if name in BY_PREDICTIONS else N)
        if kind != "None":
            assert result.labels is not None


@pytest.mark.filterwarnings("ignore:predictions are given to ATSSAssigner")
@each_assigner
@pytest.mark.parametrize("boxes", [GT, *NO_BOXES.values()], ids=["one", *NO_BOXES])
def test_no_priors(call, name, boxes):
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    for priors in (PRIORS.get(name, BOXES)[:0], torch.empty(0)):
        check_background(call(name, priors, boxes, labels, torch.zeros(0, 4), torch.zeros(0, 3)), 0)


def batched(name, priors, bboxes, scores, labels, boxes, flags):
    if name == "ultralytics":
        return ultralytics.TaskAlignedAssigner(topk=5, num_classes=3)(
            scores, bboxes, priors[:, :2], labels, boxes, flags
        )[3]
    if name == "atss":
        levels = [len(priors)]
        found = mmyolo.BatchATSSAssigner(3, topk=5)(bboxes, priors, levels, labels, boxes, flags)
        return found["fg_mask_pre_prior"]
    if name == "soft label":
        found = mmyolo.BatchDynamicSoftLabelAssigner(3, topk=5)(bboxes, scores, priors, labels, boxes, flags)
        return found["assigned_labels"] < 3
    found = mmyolo.BatchTaskAlignedAssigner(3, topk=5)(bboxes, scores, priors, labels, boxes, flags)
    return found["fg_mask_pre_prior"]


@pytest.mark.parametrize("name", ["ultralytics", "task aligned", "soft label", "atss"])
@pytest.mark.parametrize(
    ("truths", "times", "n"), [(0, 0, N), (0, 1, N), (0, 2, N), (1, 0, N), (0, 1, 0), (1, 1, 0)]
)
def test_batches(name, truths, times, n):
    """Predictions as often as priors, twice as often, or none at all."""
    labels, boxes, flags = torch.zeros(2, truths, 1), torch.zeros(2, truths, 4), torch.zeros(2, truths, 1)
    bboxes, scores = (x[:n].repeat(times, 1)[None].repeat(2, 1, 1) for x in (BOXES, SCORES))
    positive = batched(name, STRIDED[:n], bboxes, scores, labels, boxes, flags)
    assert positive.shape == (2, n if name == "atss" else n * times)
    assert not positive.any()


def test_what_does_not_fit_is_an_error_where_there_are_ground_truths():
    with pytest.raises(ValueError, match="pred_bboxes"):
        version_3("TaskAligned", BOXES, GT, torch.zeros(1, dtype=torch.int64), BOXES.repeat(2, 1), SCORES)
    with pytest.raises(ValueError, match="gt_labels"):
        version_3("MaxIoU", BOXES, GT, torch.zeros(1, 2, dtype=torch.int64), BOXES, SCORES)


@pytest.mark.parametrize("version", [2, 3])
def test_points_with_two_strides_are_those_of_reppoints(version):
    boxes, labels = torch.tensor([[0.0, 0, 60, 60], [10, 10, 30, 40]]), torch.tensor([0, 1])

    def assign(points):
        if version == 3:
            gt = Instances(bboxes=boxes, labels=labels)
            return mmdet.PointAssigner(scale=4, pos_num=1).assign(Instances(priors=points), gt)
        return mmdet2.PointAssigner(scale=4, pos_num=1).assign(points, boxes, None, labels)

    found, expected = assign(STRIDED), assign(STRIDED[:, :3])
    assert torch.equal(found.gt_inds, expected.gt_inds)
    assert (found.gt_inds > 0).any()
