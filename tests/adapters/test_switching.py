"""One call or import switches a framework's own: shown on modules made for it, and on the real ones by `make clients`."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.registry import Registry

from assigncore.adapters import mmdet, mmyolo, transformers, ultralytics
from assigncore.adapters.switching import Switched, classes_of, replace_name
from assigncore.assigners import yolo26_pose, yolov8, yolov8_obb

from .modules import assert_same


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


def test_an_assigner_of_oriented_boxes_gets_one_of_its_kind():
    criterion = SimpleNamespace(assigner=theirs("RotatedTaskAlignedAssigner", stride=[8, 16, 32]))
    assert ultralytics.use_in(criterion).replaced == ("assigner",)
    assert type(criterion.assigner) is ultralytics.RotatedTaskAlignedAssigner
    assert criterion.assigner.core() == yolov8_obb(topk=10, alpha=0.5)


def test_assigners_of_poses_and_masks_get_ones_of_their_kinds():
    poses = SimpleNamespace(assigner=theirs("PoseTaskAlignedAssigner", sigmas=torch.tensor([0.1, 0.5])))
    assert ultralytics.use_in(poses).replaced == ("assigner",)
    assert poses.assigner.core() == yolo26_pose(topk=10, smallest_side=0.0, sigmas=poses.assigner.sigmas)
    masks = SimpleNamespace(assigner=theirs("SegTaskAlignedAssigner"))
    assert ultralytics.use_in(masks).replaced == ("assigner",)
    assert masks.assigner.core() == yolov8(topk=10, smallest_side=0.0, mask_ranks=30)
    lacking = SimpleNamespace(assigner=theirs("PoseTaskAlignedAssigner"))
    assert ultralytics.use_in(lacking).left == {"assigner": "has no attribute sigmas"}


def test_what_decides_by_more_is_left_and_said():
    poses = theirs("DepthTaskAlignedAssigner")
    criterion = SimpleNamespace(assigner=theirs(), head=SimpleNamespace(assigner=poses))
    found = ultralytics.use_in(criterion)
    assert found.replaced == ("assigner",)
    assert found.left == {"head.assigner": "a DepthTaskAlignedAssigner decides by more than boxes and scores"}
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


def published_loss(name):
    """Make a loss as transformers has them: it matches layer by layer."""

    class Loss(torch.nn.Module):
        def __init__(self, matcher, *groups):
            super().__init__()
            self.matcher = matcher
            if groups:
                (self.group_detr,) = groups

        def forward(self, outputs, targets):
            groups = (self.group_detr,) if hasattr(self, "group_detr") else ()
            layers = [{name: outputs[name] for name in ("logits", "pred_boxes")}]
            layers += outputs["auxiliary_outputs"]
            layers += [outputs["enc_outputs"]] if "enc_outputs" in outputs else []
            return [self.matcher(layer, targets, *groups) for layer in layers]

    Loss.__name__ = name
    return Loss


@pytest.fixture
def losses(modules):
    """Let there be a package of that name, with some of its losses and matchers."""
    matcher = type("RTDetrHungarianMatcher", (), {})
    of_masks = type("MaskFormerHungarianMatcher", (torch.nn.Module,), {})
    of_rt_detr = published_loss("RTDetrLoss")
    contents = {
        "loss.loss_rt_detr": {"RTDetrHungarianMatcher": matcher, "RTDetrLoss": of_rt_detr},
        "loss.loss_d_fine": {
            "RTDetrHungarianMatcher": matcher,
            "DFineLoss": type("DFineLoss", (of_rt_detr,), {}),
        },
        "loss.loss_lw_detr": {"LwDetrImageLoss": published_loss("LwDetrImageLoss")},
        "models.maskformer.modeling_maskformer": {"MaskFormerHungarianMatcher": of_masks},
    }
    made = {name: module(f"transformers.{name}", **inside) for name, inside in contents.items()}
    folders = ("transformers", "transformers.loss", "transformers.models", "transformers.models.maskformer")
    modules(*map(module, folders), *made.values())
    return made


def test_transformers_is_switched_by_every_name(losses):
    rt, fine = losses["loss.loss_rt_detr"], losses["loss.loss_d_fine"]
    published = fine.RTDetrHungarianMatcher
    found = transformers.use_in_transformers()
    assert set(found.replaced) == {
        f"{rt.__name__}.RTDetrHungarianMatcher",
        f"{fine.__name__}.RTDetrHungarianMatcher",
        "transformers.models.maskformer.modeling_maskformer.MaskFormerHungarianMatcher",
        f"{rt.__name__}.RTDetrLoss.forward",
        "transformers.loss.loss_lw_detr.LwDetrImageLoss.forward",
    }
    assert rt.RTDetrHungarianMatcher is fine.RTDetrHungarianMatcher is transformers.RTDetrHungarianMatcher
    again = transformers.use_in_transformers()
    assert not again.replaced
    assert again.left[f"{rt.__name__}.RTDetrHungarianMatcher"] == "is one of assigncore already"
    found.undo()
    assert fine.RTDetrHungarianMatcher is published


@pytest.mark.parametrize("groups", [(), (3,)])
def test_a_switched_loss_matches_all_its_layers_in_one_solve(losses, groups):
    place = ("loss.loss_rt_detr", "RTDetrLoss") if not groups else ("loss.loss_lw_detr", "LwDetrImageLoss")
    loss = getattr(losses[place[0]], place[1])
    kind = transformers.DeformableDetrHungarianMatcher if not groups else transformers.LwDetrHungarianMatcher
    outputs, targets = queries(0, groups=3)
    outputs["auxiliary_outputs"] = [queries(seed, groups=3)[0] for seed in (1, 2)]
    outputs["enc_outputs"] = queries(3, groups=4)[0]
    expected = loss(kind(1, 5, 2), *groups)(outputs, targets)
    found = transformers.use_in_transformers()
    try:
        matcher = kind(1, 5, 2)
        solves, solve = [], matcher._match
        matcher._match = lambda layers, *further: solves.append(len(layers)) or solve(layers, *further)
        assert_same(loss(matcher, *groups)(outputs, targets), expected)
        # The encoder has another number of predictions.
        assert solves == [3, 1]
        outputs["logits"] = outputs["logits"] + 1
        loss(matcher, *groups)(outputs, targets)
        assert solves == [3, 1] * 2
    finally:
        found.undo()


def test_a_model_gets_matchers_with_the_weights_of_its_own(losses):
    of_masks = losses["models.maskformer.modeling_maskformer"].MaskFormerHungarianMatcher
    published = of_masks()
    published.cost_class, published.cost_mask, published.cost_dice = 2.0, 20.0, 0.5
    model = torch.nn.Module()
    model.criterion = torch.nn.Module()
    model.criterion.matcher = published
    found = transformers.use_in(model)
    try:
        assert found.replaced[0] == "criterion.matcher"
        new = model.criterion.matcher
        assert isinstance(new, transformers.MaskFormerHungarianMatcher)
        assert (new.cost_class, new.cost_mask, new.cost_dice) == (2.0, 20.0, 0.5)
        assert transformers.use_in(model).left["criterion.matcher"] == "is one of assigncore already"
    finally:
        found.undo()
    assert model.criterion.matcher is published
    assert losses["models.maskformer.modeling_maskformer"].MaskFormerHungarianMatcher is of_masks


def test_a_model_is_known_by_a_loss_that_derives_from_one_that_matches(losses):
    def loss_function():
        """Stand for the one of D-FINE."""

    loss_function.__module__ = losses["loss.loss_d_fine"].__name__
    model = torch.nn.Module()
    model.loss_function = loss_function
    found = transformers.use_in(model)
    assert f"{loss_function.__module__}.RTDetrHungarianMatcher" in found.replaced
    found.undo()


def test_a_model_without_a_matcher_is_refused_and_nothing_stays_switched(losses):
    published = losses["loss.loss_rt_detr"].RTDetrHungarianMatcher
    with pytest.raises(ValueError, match="model: expected one that matches queries, got a Linear"):
        transformers.use_in(torch.nn.Linear(1, 1))
    assert losses["loss.loss_rt_detr"].RTDetrHungarianMatcher is published


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
    with pytest.raises(ValueError, match=r"group_detr: expected from 1 to 36, the number of .* got 37"):
        transformers.LwDetrHungarianMatcher()(outputs, targets, group_detr=37)
