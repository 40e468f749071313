"""Draws what each assigner decides on one small scene, from its own result.

`python docs/website/figures.py` draws the picture of the README anew.

The knobs are those of the conformance suite where nothing else is said here, so an assigner that is declared
in `conformance/capabilities.py` has a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from assigncore import AssignResult, build_assigner
from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.scenes.recipes import Recipe, recipe_of
from assigncore.conformance.scenes.scene import Level, Scene, scene_of

__all__ = ["Drawn", "draw", "save"]

AnyArray = NDArray[Any]

LEVELS = (Level(16, 16, 8), Level(8, 8, 16), Level(4, 4, 32))
"""Three levels of an image of 128 x 128 pixels: 336 priors."""

OBJECTS = np.array([[6, 40, 68, 118], [60, 28, 94, 72], [98, 12, 114, 26]], dtype=float)
"""A large object, one of middle size that overlaps it, and a small one."""

CROWD = np.array([[84, 84, 124, 124]], dtype=float)

OBJECT_COLORS = ("#3b82c4", "#d9822b", "#2a9d78")
"""Told apart with any colour vision, on light and dark ground."""

QUERIES = 14

THRESHOLDS = {"pos_iou_thr": 0.4, "neg_iou_thr": 0.25}

SETTINGS: dict[str, dict[str, Any]] = {
    "CenterRegionAssigner": {"pos_scale": 0.3, "neg_scale": 0.6},
    "DynamicSoftLabelAssigner": {"topk": 9},
    "FCOSAssigner": {"regress_ranges": ((-1, 24), (24, 48), (48, None))},
    "PointAssigner": {"scale": 2, "pos_num": 4},
    "TaskAlignedAssigner": {"topk": 9},
    "ATSSAssigner": {"topk": 9, "ignore_iof_thr": 0.5},
    "TopkHungarianAssigner": {"topk": 3},
    "ApproxMaxIoUAssigner": THRESHOLDS,
    "AscendMaxIoUAssigner": THRESHOLDS,
    "GridAssigner": THRESHOLDS,
    "MaxIoUAssigner": THRESHOLDS,
    "Matcher": {"thresholds": (0.25, 0.4)},
    "SSDMatcher": {"threshold": 0.4},
    "MultiInstanceAssigner": {"append_boxes": False, "pos_iou_thr": 0.2, "neg_iou_thr": 0.1},
    "UniformAssigner": {"pos_ignore_thr": 0.15, "neg_ignore_thr": 0.7},
}
"""Knobs with which the figure shows more than with those of the conformance suite."""


@dataclass(frozen=True)
class Ink:
    """Colours of a figure on light or on dark ground."""

    text: str
    faint: str
    ignored: str


INKS = {"light": Ink("#22252a", "#b9bec6", "#e6007e"), "dark": Ink("#d8dbe0", "#5a616b", "#ff5fb0")}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A scene, what an assigner made of it, and how it was called.

    Parameters
    ----------
    recipe : Recipe
        The assigner, and the arguments it takes.
    scene : Scene
        What it was given.
    result : AssignResult
        What it decided, in NumPy arrays.
    config : mapping
        What the assigner was built from.
    """

    recipe: Recipe
    scene: Scene
    result: AssignResult
    config: Mapping[str, Any]


def by_cell(recipe: Recipe) -> bool:
    """Tell whether rows are the cells of feature maps, else predictions or proposals in no grid."""
    return recipe.by_map or ("priors" in recipe.parameters and recipe.name != "MultiInstanceAssigner")


def decide(name: str) -> Drawn:
    """Let a registered assigner decide on the scene of the figures."""
    config = {"type": name, **CAPABILITIES[name].knobs, **SETTINGS.get(name, {})}
    recipe = recipe_of(build_assigner(config), CAPABILITIES[name])
    scene = pyramid_scene() if by_cell(recipe) else query_scene()
    arrays = {
        name: x.astype(np.float32) if x.dtype.kind == "f" else x for name, x in recipe.arrays(scene).items()
    }
    result = recipe.assigner.assign(**arrays, **recipe.statics(scene)).to_numpy()
    return Drawn(recipe, scene, result, config)


def pyramid_scene() -> Scene:
    """Give the scene with a prior a cell, and predictions as good as of a detector half trained."""
    rng = np.random.default_rng(0)
    scene = scene_of("figure", "figure", OBJECTS, rng, levels=LEVELS, ignore_bboxes=CROWD)
    priors = scene.arrays["priors"]
    strides = np.repeat([float(one.stride) for one in scene.levels], [one.cells for one in scene.levels])
    centers = (priors[:, :2] + priors[:, 2:]) / 2
    middle, size = (OBJECTS[:, :2] + OBJECTS[:, 2:]) / 2, OBJECTS[:, 2:] - OBJECTS[:, :2]
    away = np.abs(centers[:, None] - middle) / size
    level_fits = np.exp(-np.abs(np.log2(4 * strides[:, None] / np.sqrt(size.prod(axis=-1)))))
    quality = np.exp(-4 * (away**2).sum(axis=-1)) * level_fits
    owner, trust = quality.argmax(axis=-1), quality.max(axis=-1)[:, None]
    noise = rng.normal(0, 1, priors.shape) * strides[:, None] / 3
    pred_bboxes = trust * OBJECTS[owner] + (1 - trust) * priors + (1 - trust) * noise
    scores = np.full((len(priors), 3), 0.05)
    scores[np.arange(len(priors)), owner] = np.clip(
        0.05 + 0.9 * trust[:, 0] + rng.normal(0, 0.03, len(priors)), 0.02, 0.98
    )
    return scene.with_arrays(
        **told(pred_bboxes, scores),
        **everything_valid(scene),
        responsible_flags=responsible(centers, strides),
    )


def query_scene() -> Scene:
    """Give the scene with a few predictions in no grid, as of a set predictor."""
    rng = np.random.default_rng(3)
    scene = scene_of("figure", "figure", OBJECTS, rng, levels=LEVELS, ignore_bboxes=CROWD)
    near = np.arange(QUERIES) % 4
    low = rng.uniform(4, 80, (QUERIES, 2))
    elsewhere = np.concatenate([low, low + rng.uniform(14, 44, (QUERIES, 2))], axis=-1)
    around = OBJECTS[np.minimum(near, 2)] + rng.normal(0, 4.5, (QUERIES, 4))
    pred_bboxes = np.where((near < 3)[:, None], around, elsewhere)
    scores = rng.uniform(0.03, 0.25, (QUERIES, 3))
    scores[np.arange(QUERIES), np.minimum(near, 2)] += np.where(near < 3, rng.uniform(0.2, 0.6, QUERIES), 0.0)
    rows = {name: x[:QUERIES] for name, x in scene.arrays.items() if len(x) == scene.n_priors}
    valid = {**everything_valid(scene), "prior_valid": np.ones(QUERIES, dtype=bool)}
    return scene.with_arrays(**{**rows, "priors": pred_bboxes, **told(pred_bboxes, scores), **valid})


def told(pred_bboxes: AnyArray, scores: AnyArray) -> dict[str, AnyArray]:
    """Give what a detector tells: boxes, scores of the three classes and masks of its boxes."""
    logits = np.log(scores / (1 - scores))
    return {
        "pred_bboxes": pred_bboxes, "pred_scores": scores, "pred_logits": logits,
        "pred_objectness": logits.max(axis=-1), "pred_masks": 6.0 * masks(pred_bboxes) - 3,
        "gt_masks": masks(OBJECTS), "gt_labels": np.arange(len(OBJECTS)),
    }  # fmt: skip


def masks(boxes: AnyArray, cells: int = 32) -> AnyArray:
    """Give boxes as masks of the image, (N, cells, cells) of bool."""
    middle = (np.arange(cells) + 0.5) * 128 / cells
    x1, y1, x2, y2 = (side[:, None] for side in boxes.T)
    return ((middle > y1) & (middle < y2))[:, :, None] & ((middle > x1) & (middle < x2))[:, None, :]


def everything_valid(scene: Scene) -> dict[str, AnyArray]:
    """Give masks that hold everything for true."""
    return {
        name: np.ones(len(scene.arrays[name]), dtype=bool)
        for name in ("prior_valid", "gt_valid", "ignore_valid")
    }


def responsible(centers: AnyArray, strides: AnyArray) -> AnyArray:
    """Tell which cells hold the centre of an object."""
    middle = (OBJECTS[:, :2] + OBJECTS[:, 2:]) / 2
    return (np.abs(centers[:, None] - middle).max(axis=-1) < strides[:, None] / 2).any(axis=-1)


def draw(drawn: Drawn, ink: Ink) -> Figure:
    """Draw a decision: the levels side by side, or the predictions over the image."""
    if not by_cell(drawn.recipe):
        figure = Figure(figsize=(5.8, 3.1), layout="constrained")
        draw_predictions(figure.subplots(1, 2), drawn, ink)
        return figure
    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    start = 0
    for ax, level in zip(figure.subplots(1, len(LEVELS)), LEVELS, strict=True):
        draw_cells(ax, level, drawn.result.gt_inds[start : start + level.cells], ink)
        frame(ax, drawn, ink, f"stride {level.stride}")
        start += level.cells
    return figure


def draw_cells(ax: Axes, level: Level, codes: AnyArray, ink: Ink) -> None:
    """Draw a level's cells by what became of them."""
    x, y = level.centers().T
    size = {8: 20, 16: 55, 32: 120}[level.stride]
    background = codes == 0
    ax.scatter(x[background], y[background], s=size / 6, color=ink.faint, linewidths=0, zorder=2)
    ignored = codes < 0
    ax.scatter(x[ignored], y[ignored], s=size / 2, color=ink.ignored, marker="x", linewidths=1, zorder=3)
    for i, color in enumerate(OBJECT_COLORS):
        own = codes == i + 1
        ax.scatter(x[own], y[own], s=size, color=color, edgecolors=ink.text, linewidths=0.6, zorder=4)


def draw_predictions(axes: AnyArray, drawn: Drawn, ink: Ink) -> None:
    """Draw predictions over the image: those assigned and all others, or for each instance those assigned."""
    codes = drawn.result.gt_inds
    panels = (
        [("assigned predictions", codes, codes > 0), ("all others", codes, codes <= 0)]
        if codes.ndim == 1
        else [(f"instance {i + 1} of each proposal", row, row > 0) for i, row in enumerate(codes)]
    )
    for ax, (title, row, shown) in zip(axes, panels, strict=True):
        for box, code in zip(drawn.scene.arrays["pred_bboxes"][shown], row[shown], strict=True):
            color = OBJECT_COLORS[code - 1] if code > 0 else ink.ignored if code < 0 else ink.faint
            ax.add_patch(rectangle(box, fill=False, edgecolor=color, linewidth=1.6, zorder=4))
        frame(ax, drawn, ink, title)


def rectangle(box: AnyArray, **style: Any) -> Rectangle:
    """Make the patch of a box."""
    x1, y1, x2, y2 = (float(side) for side in box)
    return Rectangle((x1, y1), x2 - x1, y2 - y1, **style)


def frame(ax: Axes, drawn: Drawn, ink: Ink, title: str) -> None:
    """Draw the image's frame, its objects and its ignore region."""
    ax.set(xlim=(-4, 132), ylim=(132, -4), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.patch.set_alpha(0)
    ax.add_patch(rectangle(np.array([0, 0, 128, 128]), fill=False, edgecolor=ink.faint, linewidth=0.8))
    for box, color in zip(OBJECTS, OBJECT_COLORS, strict=True):
        ax.add_patch(rectangle(box, facecolor=color, alpha=0.14, linewidth=0, zorder=1))
        ax.add_patch(
            rectangle(box, fill=False, edgecolor=color, linewidth=1.4, linestyle=(0, (4, 2)), zorder=2)
        )
    if drawn.recipe.takes_regions:
        ax.add_patch(
            rectangle(CROWD[0], fill=False, edgecolor=ink.ignored, linewidth=1.2, linestyle=":", zorder=2)
        )
    ax.set_title(title, fontsize=10, color=ink.text)


def save(name: str, folder: Path) -> Drawn:
    """Write an assigner's figure for light and for dark ground, and return what it shows."""
    drawn = decide(name)
    for ground, ink in INKS.items():
        with rc_context({"svg.hashsalt": "assigncore", "svg.fonttype": "path"}):
            draw(drawn, ink).savefig(
                folder / f"{name}-{ground}.svg", transparent=True, metadata={"Date": None}
            )
    return drawn


def main() -> None:
    """Draw the picture of the README."""
    path = Path(__file__).resolve().parents[1] / "pictures" / "atss.png"
    figure = draw(decide("ATSSAssigner"), INKS["light"])
    figure.savefig(path, dpi=110, facecolor="white", metadata={"Software": None})
    print(path)


if __name__ == "__main__":
    main()
