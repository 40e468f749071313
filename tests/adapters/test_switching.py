"""One call or import switches a framework's own: shown on modules made for it, and on the real ones by `make clients`."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.registry import Registry

from assigncore.adapters import mmdet, mmyolo, transformers, ultralytics
from assigncore.adapters.switching import Switched, classes_of, replace_name


def module(name, **contents):
    made = ModuleType(name)
    made.__path__ = []
    made.__dict__.update(contents)
    return made


@pytest.fixture
def modules(monkeypatch):
    """Let modules be imported until the test ends."""

    def install(*some):
        for one in some:
            monkeypatch.setitem(sys.modules, one.__name__, one)

    return install


def theirs(name="TaskAlignedAssigner", **knobs):
    """Make an assigner as a framework has it."""
    made = type(name, (), {})()
    vars(made).update({"topk": 10, "num_classes": 3, "alpha": 0.5, "beta": 6.0, "eps": 1e-9, **knobs})
    return made


def test_a_name_is_replaced_wherever_it_was_imported(modules):
    old, new = type("Old", (), {"__module__": "made.first"}), type("New", (), {})
    first, second, other = (
        module("made.first", Old=old),
        module("made.second", Alias=old),
        module("else", Old=old),
    )
    modules(first, second, other)
    places = replace_name("made", old, new)
    assert set(places) == {"made.first.Old", "made.second.Alias"}
    assert (first.Old, second.Alias, other.Old) == (new, new, old)
    Switched(tuple(places), {}, tuple(places.values())).undo()
    assert (first.Old, second.Alias) == (old, old)
    assert classes_of("made", "Old") == [old]


def test_an_end_to_end_criterion_gets_both_its_assigners_with_their_knobs():
    many, one = (
        theirs(topk=10, topk2=10, stride=[4.0, 8.0, 16.0]),
        theirs(topk=7, topk2=1, stride=[4.0, 8.0, 16.0]),
    )
    criterion = SimpleNamespace(
        one2many=SimpleNamespace(assigner=many), one2one=SimpleNamespace(assigner=one)
    )
    model = SimpleNamespace(model=SimpleNamespace(init_criterion=lambda: criterion))
    found = ultralytics.use_in(model)
    assert found.replaced == ("one2many.assigner", "one2one.assigner")
    assert not found.left
    for name, old in (("one2many", many), ("one2one", one)):
        new = getattr(model.model.criterion, name).assigner
        assert isinstance(new, ultralytics.TaskAlignedAssigner)
        for knob in ("topk", "topk2", "num_classes", "alpha", "beta", "eps", "stride"):
            assert getattr(new, knob) == getattr(old, knob), knob
    found.undo()
    assert (criterion.one2many.assigner, criterion.one2one.assigner) == (many, one)


def test_a_criterion_that_is_a_module_and_a_model_that_has_one():
    criterion = torch.nn.Module()
    criterion.assigner = theirs()
    model = SimpleNamespace(criterion=criterion, init_criterion=None)
    assert ultralytics.use_in(model).replaced == ("assigner",)
    assert criterion.assigner.stride == [0.0]
    assert str(ultralytics.use_in(criterion)) == "left: assigner: is one of assigncore already"


def test_what_decides_by_more_is_left_and_said():
    poses = theirs("PoseTaskAlignedAssigner")
    criterion = SimpleNamespace(assigner=theirs(), head=SimpleNamespace(assigner=poses))
    found = ultralytics.use_in(criterion)
    assert found.replaced == ("assigner",)
    assert found.left == {"head.assigner": "a PoseTaskAlignedAssigner decides by more than boxes and scores"}
    assert criterion.head.assigner is poses
    del poses.topk
    lacking = theirs()
    del lacking.topk
    assert ultralytics.use_in(SimpleNamespace(assigner=lacking)).left == {"assigner": "has no attribute topk"}


def test_a_model_without_settings_or_without_an_assigner_is_named():
    def init_criterion():
        raise AttributeError("no attribute 'args'")

    with pytest.raises(
        TypeError, match=r"model_or_criterion: .* cannot make its criterion yet \(no attribute 'args'"
    ):
        ultralytics.use_in(SimpleNamespace(init_criterion=init_criterion))
    with pytest.raises(ValueError, match="model_or_criterion: no assigner found in a SimpleNamespace"):
        ultralytics.use_in(SimpleNamespace())


def test_transformers_is_switched_by_every_name(modules):
    published = type("RTDetrHungarianMatcher", (), {})
    grounding = type("GroundingDinoHungarianMatcher", (), {})
    rt = module("transformers.loss.loss_rt_detr", RTDetrHungarianMatcher=published)
    fine = module("transformers.loss.loss_d_fine", RTDetrHungarianMatcher=published)
    dino = module("transformers.loss.loss_grounding_dino", GroundingDinoHungarianMatcher=grounding)
    modules(module("transformers"), module("transformers.loss"), rt, fine, dino)
    found = transformers.use_in_transformers()
    assert set(found.replaced) == {f"{one.__name__}.RTDetrHungarianMatcher" for one in (rt, fine)}
    assert rt.RTDetrHungarianMatcher is fine.RTDetrHungarianMatcher is transformers.RTDetrHungarianMatcher
    assert found.left == {
        f"{dino.__name__}.GroundingDinoHungarianMatcher": "its cost of classes is one of tokens"
    }
    again = transformers.use_in_transformers()
    assert not again.replaced
    assert again.left[f"{rt.__name__}.RTDetrHungarianMatcher"] == "is one of assigncore already"
    found.undo()
    assert fine.RTDetrHungarianMatcher is published


def test_one_import_switches_mmyolo_and_what_it_has_of_mmdet(modules):
    of_mmdet, of_mmyolo = Registry("task util"), Registry("task util")
    sim_ota = type("SimOTAAssigner", (), {})
    of_mmdet.register_module(name="SimOTAAssigner", module=sim_ota)
    aligned = type("BatchTaskAlignedAssigner", (), {"__module__": "mmyolo.models.assigners"})
    yolov7 = type("BatchYOLOv7Assigner", (), {"__module__": "mmyolo.models.assigners"})
    of_mmyolo.register_module(name="BatchTaskAlignedAssigner", module=aligned)
    head = module("mmyolo.models.yolov7_head", BatchYOLOv7Assigner=yolov7)
    modules(
        module("mmyolo"), module("mmyolo.models"), head, module("mmyolo.registry", TASK_UTILS=of_mmyolo),
        module("mmyolo.models.assigners", BatchTaskAlignedAssigner=aligned, BatchYOLOv7Assigner=yolov7),
        module("mmdet"), module("mmdet.models"), module("mmdet.models.task_modules"),
        module("mmdet.registry", TASK_UTILS=of_mmdet),
    )  # fmt: skip
    for name in ("assigncore.adapters.in_mmyolo", "assigncore.adapters.mmdet.in_mmdet"):
        sys.modules.pop(name, None)
    try:
        from assigncore.adapters import in_mmyolo

        assert head.BatchYOLOv7Assigner is mmyolo.BatchYOLOv7Assigner
        assert of_mmyolo.get("BatchTaskAlignedAssigner") is mmyolo.BatchTaskAlignedAssigner
        assert of_mmdet.get("SimOTAAssigner") is mmdet.SimOTAAssigner
        assert "mmyolo.models.yolov7_head.BatchYOLOv7Assigner" in in_mmyolo.switched.replaced
    finally:
        for name in ("assigncore.adapters.in_mmyolo", "assigncore.adapters.mmdet.in_mmdet"):
            sys.modules.pop(name, None)


def queries(seed, groups, size=12, classes=5, counts=(3, 0, 4)):
    generator = torch.Generator().manual_seed(seed)

    def boxes(*shape):
        low = torch.rand(*shape, 2, generator=generator) * 0.8 + 0.1
        return torch.cat([low, torch.rand(*shape, 2, generator=generator) * 0.3 + 0.01], dim=-1)

    n = groups * size
    outputs = {
        "logits": torch.randn(len(counts), n, classes, generator=generator),
        "pred_boxes": boxes(len(counts), n),
    }
    targets = [
        {"class_labels": torch.randint(classes, (count,), generator=generator), "boxes": boxes(count)}
        for count in counts
    ]
    return outputs, targets


def test_groups_of_queries_are_matched_on_their_own():
    outputs, targets = queries(0, groups=3)
    got = transformers.LwDetrHungarianMatcher(1, 5, 2)(outputs, targets, group_detr=3)
    alone = transformers.DeformableDetrHungarianMatcher(1, 5, 2)
    for image, (rows, columns) in enumerate(got):
        expected = []
        for group in range(3):
            part = {name: x[:, group * 12 : (group + 1) * 12] for name, x in outputs.items()}
            own_rows, own_columns = alone(part, targets)[image]
            expected += [(int(i) + 12 * group, int(j)) for i, j in zip(own_rows, own_columns, strict=True)]
        assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
        assert rows.dtype == columns.dtype == torch.int64
    with pytest.raises(ValueError, match="group_detr: expected a divisor of the 36 predictions, got 5"):
        transformers.LwDetrHungarianMatcher()(outputs, targets, group_detr=5)
