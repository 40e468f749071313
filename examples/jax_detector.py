"""Train an anchor-free detector in JAX: the whole step, assigner included, is one compiled function."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import shapes
from jax import lax

import assigncore
from assigncore.boxes import aligned_giou
from assigncore.priors import PointGenerator

STRIDES = (8, 16)
WIDTHS = (3, 16, 32, 48, 48)
NUMBERS = len(shapes.CLASSES) + 4

ASSIGNERS: dict[str, dict[str, Any]] = {
    "fcos": {"type": "FCOSAssigner", "regress_ranges": ((-1, 20), (20, float("inf")))},
    "task_aligned": {"type": "TaskAlignedAssigner", "topk": 9},
    "sim_ota": {"type": "SimOTAAssigner"},
}

Params = dict[str, jax.Array]
State = tuple[Params, Params, Params, jax.Array]


def init(key: jax.Array) -> Params:
    """Draw the weights of four convolutions and a head."""
    params = {}
    for i, (inputs, outputs) in enumerate(pairwise((*WIDTHS, NUMBERS))):
        key, own = jax.random.split(key)
        scale = (2 / (9 * inputs)) ** 0.5
        params[f"kernel{i}"] = jax.random.normal(own, (outputs, inputs, 3, 3)) * scale
        params[f"bias{i}"] = jnp.full((outputs,), -2.0 if outputs == NUMBERS else 0.0)
    return params


def convolve(params: Params, i: int, x: jax.Array, stride: int) -> jax.Array:
    """Apply convolution `i` with a border of one cell."""
    padding = ((1, 1), (1, 1))
    return (
        lax.conv_general_dilated(x, params[f"kernel{i}"], (stride, stride), padding)
        + params[f"bias{i}"][:, None, None]
    )


def predict(params: Params, images: jax.Array, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return class logits (B, N, C) and boxes (B, N, 4) in pixels."""
    x, maps = images, []
    for i in range(len(WIDTHS) - 1):
        x = jax.nn.relu(convolve(params, i, x, 2))
        maps.append(x)
    rows = [convolve(params, len(WIDTHS) - 1, x, 1) for x in maps[-len(STRIDES) :]]
    numbers = jnp.concatenate([x.reshape(len(images), NUMBERS, -1) for x in rows], axis=-1).swapaxes(1, 2)
    logits, sides = jnp.split(numbers, [len(shapes.CLASSES)], axis=-1)
    sides = jnp.exp(jnp.minimum(sides, 4) + 2) * points[:, 2:3] / 8
    center = points[:, :2]
    return logits, jnp.concatenate([center - sides[..., :2], center + sides[..., 2:]], axis=-1)


def focal_loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Return the focal loss of each logit."""
    entropy = jax.nn.softplus(logits) - logits * targets
    wrong = jnp.abs(jax.nn.sigmoid(logits) - targets)
    return (0.25 * targets + 0.75 * (1 - targets)) * wrong**2 * entropy


def make_loss(config: dict[str, Any]) -> Callable[[Params, shapes.Batch], jax.Array]:
    """Return the loss, with an assigner inside."""
    sizes = [(shapes.SIZE // stride, shapes.SIZE // stride) for stride in STRIDES]
    grid = PointGenerator(strides=STRIDES, stride_xy=True).grid(sizes, xp=jnp)
    points = grid.priors
    assigner = assigncore.build_assigner(config)

    def loss(params: Params, batch: shapes.Batch) -> jax.Array:
        logits, boxes = predict(params, batch.images, points)
        inputs: dict[str, Any] = {"pred_bboxes": boxes, "pred_scores": jax.nn.sigmoid(logits)}
        priors = points if config["type"] == "SimOTAAssigner" else points[:, :3]
        if config["type"] == "FCOSAssigner":
            inputs = {"num_level_priors": grid.num_level_priors}
        result = assigner.assign(
            priors, batch.gt_bboxes, gt_labels=batch.gt_labels, gt_valid=batch.gt_valid, **inputs
        )
        positive = result.pos_mask
        # The label -1 of background is a row of zeros.
        of_class = focal_loss(logits, jax.nn.one_hot(result.labels, len(shapes.CLASSES)))
        index = jnp.maximum(result.matched_gt, 0)[..., None]
        matched = jnp.take_along_axis(batch.gt_bboxes, index, axis=1)
        of_box = (1 - aligned_giou(boxes, matched)) * positive
        return (of_class.sum() + of_box.sum()) / jnp.maximum(positive.sum(), 1)

    return loss


@cache
def compiled_step(
    assigner: str, rate: float = 2e-3
) -> Callable[[State, shapes.Batch], tuple[State, jax.Array]]:
    """Return one step of training with Adam, compiled, with one of `ASSIGNERS` inside."""
    loss = make_loss(ASSIGNERS[assigner])

    @jax.jit
    def step(state: State, batch: shapes.Batch) -> tuple[State, jax.Array]:
        params, mean, square, count = state
        value, slope = jax.value_and_grad(loss)(params, batch)
        count = count + 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
        square = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, square, slope)

        def update(p: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            return p - rate * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.99**count)) + 1e-8)

        return (jax.tree.map(update, params, mean, square), mean, square, count), value

    return step


def train(assigner: str = "task_aligned", steps: int = 150, seed: int = 0) -> list[float]:
    """Train with one of `ASSIGNERS`, and return the losses."""
    step = compiled_step(assigner)
    params = init(jax.random.key(seed))
    zeros = jax.tree.map(jnp.zeros_like, params)
    state: State = (params, zeros, zeros, jnp.zeros((), dtype=jnp.int32))
    rng = np.random.default_rng(seed)
    losses = []
    for number in range(steps):
        batch = shapes.Batch(*(jnp.asarray(x) for x in shapes.draw(rng, 16)))
        state, loss = step(state, batch)
        losses.append(float(loss))
        if number % 20 == 0 or number == steps - 1:
            print(f"step {number:4d}  loss {losses[-1]:.4f}", flush=True)
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assigner", choices=sorted(ASSIGNERS), default="task_aligned")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    train(**vars(parser.parse_args()))
