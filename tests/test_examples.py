"""The training loops of the examples, run for a few steps."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"
TORCH = {
    "anchor_detector": ("atss", "max_iou", "ssd", "torchvision"),
    "point_detector": ("fcos", "sim_ota", "sinkhorn", "soft_label", "task_aligned"),
    "set_detector": ("greedy", "hungarian", "one_to_many"),
}
STEPS = 20


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def falls(losses):
    """Tell whether the last few losses are well below the first."""
    return sum(losses[-5:]) / 5 < 0.9 * losses[0]


@pytest.mark.parametrize("name", TORCH)
def test_every_assigner_is_tried_here(example, name):
    assert sorted(example(name).ASSIGNERS) == list(TORCH[name])


@pytest.mark.parametrize(
    ("name", "assigner"), [(name, each) for name, rest in TORCH.items() for each in rest]
)
def test_the_loss_falls(example, name, assigner):
    assert falls(example(name).train(assigner, steps=STEPS))


@pytest.mark.parametrize("name", TORCH)
def test_the_same_seed_gives_the_same_losses(example, name):
    train = example(name).train
    assert train(steps=4, seed=3) == train(steps=4, seed=3)
    assert train(steps=1, seed=3) != train(steps=1, seed=4)


@pytest.mark.parametrize(("name", "matches"), [("anchor_detector", False), ("set_detector", True)])
def test_what_assignments_are_like_is_told_after_each_epoch(example, name, matches, monkeypatch, capsys):
    monkeypatch.setattr(example("torch_parts"), "EPOCH", 3)
    example(name).train(steps=7)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.partition(":")[0] for line in told] == ["epoch 0", "epoch 1"]
    assert ["matched otherwise" in line for line in told] == [False, matches]


def test_a_jitted_step_trains_with_the_assigner_inside(example):
    """Twice, since the same seed gives the same losses there too."""
    train = example("jax_detector").train
    losses = train(steps=STEPS, seed=0)
    assert falls(losses)
    assert train(steps=3, seed=0) == losses[:3]
