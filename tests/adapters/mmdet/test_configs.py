"""Published settings, as their config files have them, build and assign unchanged."""

import subprocess
import sys
import textwrap
from abc import ABC, abstractmethod

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry

from assigncore.adapters import mmdet, mmdet2

from ..instances import boxes, real_instances

SETTINGS = """
retinanet = dict(
    type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1)
faster_rcnn_rpn = dict(
    type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
    match_low_quality=True, ignore_iof_thr=-1)
faster_rcnn_roi = dict(
    type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5,
    match_low_quality=False, ignore_iof_thr=-1)
ssd = dict(
    type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0., ignore_iof_thr=-1,
    gt_max_assign_all=False)
atss = dict(type='ATSSAssigner', topk=9)
yolox = dict(type='SimOTAAssigner', center_radius=2.5)
rtmdet = dict(type='DynamicSoftLabelAssigner', topk=13)
tood = dict(type='TaskAlignedAssigner', topk=13)
yolof = dict(type='UniformAssigner', pos_ignore_thr=0.15, neg_ignore_thr=0.7)
reppoints_init = dict(type='PointAssigner', scale=4, pos_num=1)
fsaf = dict(type='CenterRegionAssigner', pos_scale=0.2, neg_scale=0.2, min_pos_iof=0.01)
detr = dict(
    type='HungarianAssigner',
    match_costs=[
        dict(type='ClassificationCost', weight=1.),
        dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
        dict(type='IoUCost', iou_mode='giou', weight=2.0)
    ])
dino = dict(
    type='HungarianAssigner',
    match_costs=[
        dict(type='FocalLossCost', weight=2.0),
        dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
        dict(type='IoUCost', iou_mode='giou', weight=2.0)
    ])
mask2former = dict(
    type='HungarianAssigner',
    match_costs=[
        dict(type='ClassificationCost', weight=2.0),
        dict(type='CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
        dict(type='DiceCost', weight=5.0, pred_act=True, eps=1.0)
    ])
"""
NAMES = [line.split(" = ")[0] for line in SETTINGS.splitlines() if " = dict" in line]

IMAGE = {"img_shape": (64, 64)}
GT_BOXES = boxes([2, 2, 34, 30], [36, 30, 62, 63])
MASKS = torch.zeros(2, 64, 64)
MASKS[0, 2:30, 2:34] = MASKS[1, 30:63, 36:62] = 1


def grid(stride=8):
    centre = torch.arange(stride // 2, 64, stride, dtype=torch.float32)
    return torch.cartesian_prod(centre, centre).flip(-1)


def scene(name):
    """Return predictions and ground truths of a setting, with the attributes its head hands over."""
    points = grid()
    n = len(points)
    near = GT_BOXES[(points[:, 0] > 35).long()]
    predicted = near + torch.linspace(-2, 2, n)[:, None]
    logits = torch.linspace(-1, 1, n * 3).reshape(n, 3)
    priors = torch.cat([points - 14, points + 14], dim=-1)
    stride = torch.full((n, 1), 8.0)
    if name in ("yolox", "rtmdet"):
        priors = torch.cat([points, stride, stride], dim=-1)
    if name == "reppoints_init":
        priors = torch.cat([points, stride], dim=-1)
    fields = {"priors": priors}
    if name in ("yolox", "tood"):
        fields |= {"bboxes": predicted, "scores": logits.sigmoid()}
    elif name in ("rtmdet", "detr", "dino", "mask2former"):
        fields |= {"bboxes": predicted, "scores": logits}
    elif name == "yolof":
        fields["decoder_priors"] = predicted
    gt = {"bboxes": GT_BOXES, "labels": torch.tensor([2, 0])}
    if name == "mask2former":
        quality = torch.linspace(0.5, 4, n)[:, None, None]
        fields["masks"] = (MASKS[(points[:, 0] > 35).long()] * 2 - 1)[:, ::4, ::4] * quality
        gt["masks"] = MASKS[:, ::4, ::4].long()
        del fields["bboxes"]
    return real_instances(**fields), real_instances(**gt)


def call(name, assigner):
    pred, gt = scene(name)
    if name == "atss":
        return assigner.assign(pred, [len(pred)], gt)
    if name in ("detr", "dino", "mask2former"):
        return assigner.assign(pred, gt, img_meta=IMAGE)
    if name == "tood":
        return assigner.assign(pred, gt, alpha=1, beta=6)
    return assigner.assign(pred, gt)


def task_utils():
    return Registry("task util", scope="mmdet")


@pytest.mark.parametrize("scoped", [False, True], ids=["plain", "scoped"])
@pytest.mark.parametrize("name", NAMES)
def test_published_settings_build_from_a_registry_and_assign(name, scoped):
    text = SETTINGS.replace("type='", "type='mmdet.") if scoped else SETTINGS
    config = Config.fromstring(text, ".py")[name]
    assert isinstance(config, ConfigDict)
    registry = task_utils()
    mmdet.register(registry)
    assigner = registry.build(config)
    assert type(assigner) is mmdet.ASSIGNERS[config["type"].removeprefix("mmdet.")]
    result = call(name, assigner)
    assert result.num_preds == 64
    assert set(result.gt_inds.tolist()) <= {-1, 0, 1, 2}
    assert (result.gt_inds > 0).any()
    assert torch.equal(result.labels >= 0, result.gt_inds > 0)
    alone = call(name, mmdet.build_assigner(config))
    assert torch.equal(alone.gt_inds, result.gt_inds)


@pytest.mark.parametrize("name", ["detr", "dino", "mask2former"])
def test_set_predictors_match_each_ground_truth_once(name):
    result = call(name, mmdet.build_assigner(Config.fromstring(SETTINGS, ".py")[name]))
    assert sorted(result.gt_inds[result.gt_inds > 0].tolist()) == [1, 2]
    assert result.max_overlaps is None


def test_nested_configs_may_be_any_mapping_have_a_scope_or_name_a_class():
    for calculator in (
        {"type": "BboxOverlaps2D", "scale": 2.0},
        ConfigDict(type="mmdet.BboxOverlaps2D", scale=2.0),
        {"type": mmdet.BboxOverlaps2D, "scale": 2.0},
        mmdet.BboxOverlaps2D(scale=2.0),
    ):
        assigner = mmdet.ATSSAssigner(9, iou_calculator=calculator)
        assert assigner.iou_calculator == mmdet.BboxOverlaps2D(scale=2.0)


def test_an_upstream_class_in_a_config_gives_ours_of_that_name():
    upstream = type("BboxOverlaps2D", (), {})
    assert type(mmdet.build_iou_calculator({"type": upstream})) is mmdet.BboxOverlaps2D


def test_types_of_the_users_own_are_built_by_the_registry():
    registry = task_utils()
    mmdet.register(registry)

    @registry.register_module()
    class HalfOverlap:
        def __call__(self, bboxes1, bboxes2, mode="iou", is_aligned=False):
            return mmdet.BboxOverlaps2D()(bboxes1, bboxes2, mode, is_aligned) / 2

    config = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4}
    assigner = registry.build({**config, "iou_calculator": {"type": "HalfOverlap"}})
    assert isinstance(assigner.iou_calculator, HalfOverlap)
    priors = real_instances(priors=GT_BOXES)
    result = assigner.assign(priors, real_instances(bboxes=GT_BOXES, labels=torch.tensor([0, 1])))
    assert result.max_overlaps.tolist() == [0.5, 0.5]


def test_unknown_types_and_knobs_are_named():
    with pytest.raises(KeyError, match="NoSuchOverlaps"):
        mmdet.build_iou_calculator({"type": "NoSuchOverlaps"})
    with pytest.raises(TypeError, match="type"):
        mmdet.build_match_cost({"weight": 1.0})
    with pytest.raises(TypeError, match="nonsense"):
        mmdet.build_assigner({"type": "ATSSAssigner", "topk": 9, "nonsense": 1})
    with pytest.raises(ValueError, match="pos_iou_thr"):
        mmdet.build_assigner({"type": "MaxIoUAssigner", "pos_iou_thr": float("nan"), "neg_iou_thr": 0.4})


def test_registered_names_are_replaced_by_force_alone():
    registry = task_utils()

    @registry.register_module()
    class MaxIoUAssigner:
        pass

    with pytest.raises(KeyError, match="MaxIoUAssigner"):
        mmdet.register(registry)
    mmdet.register(registry, force=True)
    assert registry.get("MaxIoUAssigner") is mmdet.MaxIoUAssigner
    mmdet.register(registry, force=True)
    assert registry.get("mmdet.BboxOverlaps2D") is mmdet.BboxOverlaps2D
    assert {"IoUCost", "BboxOverlaps2D_GLIP", *mmdet.ASSIGNERS} <= set(registry.module_dict)


def test_heads_that_ask_which_assigner_they_have_get_the_answer_they_expect():
    registry = task_utils()

    class BaseAssigner(ABC):
        @abstractmethod
        def assign(self):
            """As upstream has it."""

    @registry.register_module()
    class RegionAssigner(BaseAssigner):
        def assign(self):
            return None

    mmdet.register(registry, force=True)
    built = registry.build({"type": "RegionAssigner"})
    assert isinstance(built, RegionAssigner)
    assert isinstance(built, BaseAssigner)
    assert not isinstance(mmdet.PointAssigner(), BaseAssigner)


def test_version_2_registers_in_three_registries():
    assigners, calculators, costs = (
        Registry(name) for name in ("bbox_assigner", "IoU calculator", "Match Cost")
    )
    mmdet2.register(assigners, iou_calculators=calculators, match_costs=costs)
    assert set(assigners.module_dict) == set(mmdet2.ASSIGNERS)
    assert set(calculators.module_dict) == {"BboxOverlaps2D"}
    assert costs.build({"type": "FocalLossCost", "weight": 2.0}).weight == 2.0
    built = assigners.build(
        ConfigDict(
            type="HungarianAssigner",
            cls_cost={"type": "ClassificationCost", "weight": 1.0},
            reg_cost={"type": "BBoxL1Cost", "weight": 5.0},
            iou_cost={"type": "IoUCost", "iou_mode": "giou", "weight": 2.0},
        )
    )
    assert isinstance(built.reg_cost, mmdet2.BBoxL1Cost)


# A user's config file, with a framework that has registered its own assigner under the same name.

UPSTREAM = """
@TASK_UTILS.register_module()
class MaxIoUAssigner:
    def __init__(self, **knobs):
        raise RuntimeError('the framework built its own')
"""
V3_FILES = {
    "registry.py": "from mmengine.registry import Registry\nTASK_UTILS = Registry('task util', locations=['{0}.models'], scope='{0}')",
    "models/__init__.py": "from . import task_modules",
    "models/task_modules/__init__.py": "from {0}.registry import TASK_UTILS" + UPSTREAM,
}
V2_FILES = {
    "core/__init__.py": "",
    "core/bbox/__init__.py": "from . import assigners",
    "core/bbox/builder.py": "from mmengine.registry import Registry\nBBOX_ASSIGNERS = TASK_UTILS = Registry('bbox_assigner')",
    "core/bbox/assigners.py": "from .builder import TASK_UTILS" + UPSTREAM,
    "core/bbox/iou_calculators/__init__.py": "",
    "core/bbox/iou_calculators/builder.py": "from mmengine.registry import Registry\nIOU_CALCULATORS = Registry('IoU calculator')",
    "core/bbox/match_costs/__init__.py": "",
    "core/bbox/match_costs/builder.py": "from mmengine.registry import Registry\nMATCH_COST = Registry('Match Cost')",
}


@pytest.mark.parametrize(
    ("package", "files", "imports", "registry"),
    [
        ("mmdet", V3_FILES, "assigncore.adapters.mmdet.in_mmdet", "mmdet.registry.TASK_UTILS"),
        ("visdet", V3_FILES, "assigncore.adapters.mmdet.in_visdet", "visdet.registry.TASK_UTILS"),
        ("mmdet", V2_FILES, "assigncore.adapters.mmdet2.in_mmdet", "mmdet.core.bbox.builder.BBOX_ASSIGNERS"),
    ],
    ids=["mmdet", "visdet", "mmdet2"],
)
def test_one_line_in_a_config_file_switches_the_assigners(tmp_path, package, files, imports, registry):
    for name, text in {"__init__.py": "", **files}.items():
        path = tmp_path / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(package) if "{0}" in text else text)
    config = tmp_path / "config.py"
    config.write_text(
        f"custom_imports = dict(imports=['{imports}'], allow_failed_imports=False)\n"
        "assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4)\n"
    )
    module, _, name = registry.rpartition(".")
    code = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from mmengine.config import Config
        config = Config.fromfile({str(config)!r})
        from {module} import {name} as registry
        print(type(registry.build(config.assigner)).__module__)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1].startswith(imports.rpartition(".")[0])
