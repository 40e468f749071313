"""The hook on the page about watching a training run, in a run of mmengine."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

import assigncore

PAGE = Path(__file__).resolve().parents[1] / "docs" / "monitoring.md"
BLOCK = re.compile(r"^```python\n(from mmengine.*?)^```$", re.DOTALL | re.MULTILINE)


class Detector(BaseModel):
    def __init__(self):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(1))
        self.assigner = assigncore.MaxIoUAssigner(0.5, 0.4)
        self.monitor = assigncore.Monitor()

    def forward(self, gt_bboxes, mode="loss"):
        priors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
        self.monitor.update(self.assigner.assign(priors, gt_bboxes), gt_bboxes=gt_bboxes)
        return {"loss": self.shift.square().sum()}


class Boxes(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"gt_bboxes": torch.tensor([[0.0, 0, 10, 10 - index]])}


@pytest.fixture
def hook():
    namespace = {}
    exec(BLOCK.search(PAGE.read_text(encoding="utf-8"))[1], namespace)
    return namespace["MonitorHook"]()


@pytest.mark.filterwarnings("ignore")
def test_the_hook_logs_every_epoch(hook, tmp_path):
    runner = Runner(
        model=Detector(),
        work_dir=str(tmp_path),
        train_dataloader={
            "batch_size": 2,
            "dataset": Boxes(),
            "sampler": {"type": "DefaultSampler"},
            "collate_fn": {"type": "default_collate"},
        },
        train_cfg={"by_epoch": True, "max_epochs": 2},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        custom_hooks=[hook],
        default_hooks={"checkpoint": None},
        experiment_name="monitor",
        log_level="ERROR",
    )
    logged = []
    runner.visualizer.add_scalars = lambda scalars, step, **_: logged.append((step, scalars))
    runner.train()
    assert [step for step, scalars in logged if "assignment/objects" in scalars] == [0, 1]
    assert all(np.isscalar(value) for _, scalars in logged for value in scalars.values())
    assert [report["objects"] for report in runner.model.monitor.history] == [4, 4]
