"""The drop-in for YOLOX-Pose's assigner against the published answers."""

from types import SimpleNamespace

import pytest
import torch

from assigncore.adapters.mmyolo import PoseSimOTAAssigner
from assigncore.adapters.mmyolo.pose import sigmas_of

from ..golden import cases, check, tensors
from ..instances import Instances


def build(case, **knobs):
    init = {**case.init, **knobs}
    sigmas = init.pop("sigmas", None)
    named = {} if sigmas is None else {"sigmas": sigmas}
    return PoseSimOTAAssigner(**init, oks_calculator={"type": "OksLoss", **named})


def instances(case):
    """Return predictions and ground truths as the published head hands them over."""
    x = tensors(case)
    marks = torch.cat([x["keypoints"], x["visible"][..., None]], dim=-1)
    rows = torch.cat([x["bboxes"], marks.flatten(1)], dim=1)
    return (
        SimpleNamespace(priors=x["priors"], bboxes=rows, scores=x["scores"]),
        SimpleNamespace(
            bboxes=x["gt_bboxes"],
            labels=x["gt_labels"],
            keypoints=x["gt_keypoints"],
            keypoints_visible=x["gt_visible"],
        ),
    )


@pytest.mark.parametrize("case", cases("PoseSimOTAAssigner"), ids=str)
def test_answers_are_the_published_ones(case):
    got = build(case).assign(*instances(case))
    check(case, {name: getattr(got, name) for name in ("gt_inds", "max_overlaps", "labels")})


def test_knobs_may_change_between_calls():
    case = next(case for case in cases("PoseSimOTAAssigner") if case.name == "topk3_float32")
    assigner = build(case, candidate_topk=10)
    before = assigner.assign(*instances(case)).gt_inds
    assigner.candidate_topk = 3
    after = assigner.assign(*instances(case))
    assert not torch.equal(before, after.gt_inds)
    check(case, {name: getattr(after, name) for name in ("gt_inds", "max_overlaps", "labels")})


def test_without_predictions_or_ground_truths_all_is_background():
    pred, gt = instances(cases("PoseSimOTAAssigner")[0])
    nothing = SimpleNamespace(**{name: x[:0] for name, x in vars(pred).items()})
    assert build(cases("PoseSimOTAAssigner")[0]).assign(nothing, gt).gt_inds.shape == (0,)
    empty = SimpleNamespace(bboxes=torch.empty(0, 4), labels=torch.empty(0, dtype=torch.long))
    assert not PoseSimOTAAssigner(oks_weight=3.0).assign(pred, empty).gt_inds.any()


def test_a_compiler_sees_one_graph_and_no_value_is_read():
    case = next(case for case in cases("PoseSimOTAAssigner") if case.name == "vis_float32")
    assigner, (pred, gt) = build(case), instances(case)

    def assign(pred, gt):
        found = assigner.assign(Instances(**pred), Instances(**gt))
        return found.gt_inds, found.max_overlaps, found.labels

    expected = assign(vars(pred), vars(gt))
    torch.compiler.reset()
    compiled = torch.compile(assign, fullgraph=True, backend="eager")(vars(pred), vars(gt))
    for got, due in zip(compiled, expected, strict=True):
        torch.testing.assert_close(got, due)
    on_meta = [{name: x.to("meta") for name, x in vars(given).items()} for given in (pred, gt)]
    for got, due in zip(assign(*on_meta), expected, strict=True):
        assert (got.shape, got.dtype) == (due.shape, due.dtype)


def test_tolerances_come_from_a_file_or_an_object(tmp_path):
    file = tmp_path / "poses.py"
    file.write_text("dataset_info = dict(sigmas=[0.1, 0.2])\n")
    assert sigmas_of({"type": "OksLoss", "metainfo": str(file)}) == (0.1, 0.2)
    assert sigmas_of(SimpleNamespace(sigmas=torch.tensor([0.5]))) == (0.5,)
    assert sigmas_of(None) is None
    with pytest.raises(
        FileNotFoundError, match=r"oks_calculator: expected a metainfo that is a file, got 'n"
    ):
        PoseSimOTAAssigner(oks_calculator={"type": "OksLoss", "metainfo": "none.py"})


def test_what_an_instance_lacks_is_named():
    pred, gt = instances(cases("PoseSimOTAAssigner")[0])
    del gt.keypoints_visible
    with pytest.raises(AttributeError, match=r"gt_instances\.keypoints_visible"):
        PoseSimOTAAssigner().assign(pred, gt)
