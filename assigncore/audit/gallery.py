"""The gallery: images with their objects, their positive priors, and what got none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from assigncore.audit.frames import Frame
from assigncore.audit.inputs import has_outlines
from assigncore.audit.report import Run
from assigncore.audit.run import Assigned, Settings, assign_images
from assigncore.audit.style import CANVAS, FAINT, INK, LEVEL_COLORS, UNMATCHED, new_figure, save, slug
from assigncore.datasets import Dataset, Image
from assigncore.priors import PointGenerator

# Objects by their positives: 1, 2-3, 4-7, 8-15, 16 and more.
COUNT_EDGES = (1, 2, 4, 8, 16)
COUNT_LABELS = ("1", "2-3", "4-7", "8-15", "16+")
COUNT_COLORS = ("#7fb8dd", "#4a94c9", "#2273b3", "#0b5394", "#07305c")
PANEL = 7.0
PICTURE = re.compile(r"(?P<rank>\d{2,})_(?P<stem>.+)\.png")


def draw_gallery(
    runs: Sequence[Run],
    dataset: Dataset,
    settings: Settings,
    out: Path,
    images: Path | None,
    count: int,
) -> int:
    """Draw the images where most objects go without, the same ones for every run.

    Parameters
    ----------
    runs : sequence of Run
    dataset, settings
        As the runs had them; the chosen images are assigned once more.
    out : Path
        Each run draws into ``out / name / gallery``, in place of what an earlier one drew there.
    images : Path or None
        Folder of the image files. An image that is not there is drawn as a blank canvas.
    count : int
        Number of images.

    Returns
    -------
    int
        Number of pictures drawn.
    """
    chosen = choose(runs, dataset, count)
    folders = [out / slug(run.plan.name) / "gallery" for run in runs]
    # All of them before any is drawn: two names can make the same folder.
    for folder in folders:
        _remove_earlier(folder)
    for run, folder in zip(runs, folders, strict=True):
        at_size = {frame.image.id: frame for frame in run.findings.objects.frames}
        frames = [at_size[image.id] for image in chosen]
        done = {one.frame.image.id: one for one in assign_images(run.plan, dataset, frames, settings)}
        for rank, frame in enumerate(frames, start=1):
            crowds = frame.boxes(dataset.crowds(frame.image))
            figure = image_figure(run, done[frame.image.id], crowds, images)
            save(figure, folder / _picture_name(rank, Path(frame.image.file_name).stem))
    return len(chosen) * len(runs)


def _picture_name(rank: int, stem: str) -> str:
    """Name the picture of the image that comes `rank`-th."""
    return f"{rank:02d}_{slug(stem)}.png"


def _remove_earlier(folder: Path) -> None:
    """Remove the pictures that an earlier run drew, told by their names; any other file stays."""
    for path in folder.glob("*.png"):
        named = PICTURE.fullmatch(path.name)
        if named and path.name == _picture_name(int(named["rank"]), named["stem"]) and path.is_file():
            path.unlink()


def choose(runs: Sequence[Run], dataset: Dataset, count: int) -> list[Image]:
    """Pick the images with most objects without positives over all runs, then with most objects."""
    without: dict[Any, int] = {}
    for run in runs:
        objects = run.findings.objects
        for annotation, total in zip(objects.annotations, objects.totals, strict=True):
            without[annotation.image_id] = without.get(annotation.image_id, 0) + int(total == 0)
    candidates = [image for image in dataset.images if image.id in without]
    candidates.sort(key=lambda image: (-without[image.id], -len(dataset.objects(image))))
    return candidates[:count]


def image_figure(run: Run, one: Assigned, crowds: Any, images: Path | None) -> Any:
    """Draw one image twice: its positive priors by level, and its objects by their number of positives."""
    height, width = one.frame.shape
    panel_height = float(np.clip(PANEL * height / width, 2.0, 2 * PANEL))
    figure, axes = new_figure(2 * PANEL + 0.3, panel_height + 1.3, columns=2, layout="compressed")
    picture = _read_picture(images, one.frame.image.file_name)
    for ax in axes[0]:
        _draw_canvas(ax, one.frame, picture)
    totals = np.bincount(one.gt_inds[one.gt_inds > 0] - 1, minlength=len(one.objects))
    boxes = one.frame.boxes(one.objects)
    line = float(np.clip(2.4 - 0.4 * np.log10(max(len(boxes), 1)), 0.9, 2.4))
    _draw_priors(axes[0, 0], run, one, boxes, totals, line)
    _draw_objects(axes[0, 1], boxes, crowds, totals, line)
    image, without = one.frame.image, int(np.sum(totals == 0))
    figure.suptitle(
        f"{run.plan.name}   image {image.id}: {image.file_name}   {image.width} x {image.height} px, "
        f"trained at {width} x {height}   {len(boxes):,} objects, {without:,} without positives",
        fontsize=11,
        color=INK,
    )
    return figure


def _draw_canvas(ax: Any, frame: Frame, picture: Any) -> None:
    """Set the axes to the image's pixels; a picture is faded so that lines stand out."""
    height, width = frame.shape
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_facecolor(CANVAS)
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(FAINT)
    if picture is not None:
        ax.imshow(picture, extent=(0, width, height, 0), alpha=0.55, cmap="gray", interpolation="bilinear")


def _draw_priors(ax: Any, run: Run, one: Assigned, boxes: Any, totals: Any, line: float) -> None:
    """Draw the positive priors over the objects, coloured by level; dots where shapes say nothing."""
    positive = one.gt_inds > 0
    priors, levels = one.priors[positive], one.level[positive]
    alpha = float(np.clip(150 / max(len(priors), 1), 0.35, 0.9))
    handles: list[Any] = []
    for i, name in enumerate(run.level_names):
        at = priors[levels == i]
        if not len(at):
            continue
        color = LEVEL_COLORS[i % len(LEVEL_COLORS)]
        if has_outlines(run.plan):
            ax.add_collection(LineCollection(_outlines(at), colors=color, linewidths=1.0, alpha=alpha))
        else:
            x, y = _centers(at, run.plan.priors)
            ax.scatter(x, y, s=7, color=color, alpha=alpha, linewidths=0)
        handles.append(Line2D([], [], color=color, linewidth=2, label=f"{name}: {len(at):,}"))
    ax.add_collection(LineCollection(_outlines(boxes), colors=INK, linewidths=line * 0.7))
    _draw_unmatched(ax, boxes[totals == 0], line)
    handles.append(Line2D([], [], color=INK, linewidth=line, label="object"))
    if np.any(totals == 0):
        handles.append(_unmatched_handle("object without positives"))
    ax.set_title(f"{len(priors):,} positive priors, by level", fontsize=10, color=INK, loc="left")
    _legend(ax, handles)


def _draw_objects(ax: Any, boxes: Any, crowds: Any, totals: Any, line: float) -> None:
    """Draw the objects, darker the more positives they have, and loud where they have none."""
    handles: list[Any] = []
    bins = np.searchsorted(COUNT_EDGES, totals, side="right") - 1
    for i, label in enumerate(COUNT_LABELS):
        at = boxes[bins == i]
        color = COUNT_COLORS[i]
        ax.add_collection(LineCollection(_outlines(at), colors=color, linewidths=line))
        handles.append(Line2D([], [], color=color, linewidth=2, label=f"{label}: {len(at):,} objects"))
    _draw_unmatched(ax, boxes[totals == 0], line)
    if len(crowds):
        ax.add_collection(LineCollection(_outlines(crowds), colors=FAINT, linewidths=line, linestyles="--"))
        handles.append(Line2D([], [], color=FAINT, linestyle="--", label=f"crowd regions: {len(crowds):,}"))
    handles.insert(0, _unmatched_handle(f"none: {int(np.sum(totals == 0)):,} objects"))
    ax.set_title("objects, by their number of positives", fontsize=10, color=INK, loc="left")
    _legend(ax, handles)


def _draw_unmatched(ax: Any, boxes: Any, line: float) -> None:
    """Fill and outline what got no positive."""
    shapes = PolyCollection(_outlines(boxes), facecolors=UNMATCHED + "55", edgecolors=UNMATCHED, zorder=5)
    shapes.set_linewidth(line + 0.4)
    ax.add_collection(shapes)


def _unmatched_handle(label: str) -> Patch:
    return Patch(facecolor=UNMATCHED + "55", edgecolor=UNMATCHED, label=label)


def _legend(ax: Any, handles: Sequence[Any]) -> None:
    """Put the legend below the axes, where it covers nothing."""
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=min(len(handles), 4),
        fontsize=9,
        frameon=False,
        columnspacing=1.2,
        handlelength=1.4,
    )


def _centers(priors: Any, generator: Any) -> tuple[Any, Any]:
    """Give x and y of points, or of the centres of boxes."""
    if isinstance(generator, PointGenerator):
        return priors[:, 0], priors[:, 1]
    return (priors[:, 0] + priors[:, 2]) / 2, (priors[:, 1] + priors[:, 3]) / 2


def _outlines(boxes: Any) -> Any:
    """Corners of boxes as closed lines, shape (n, 5, 2)."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3, 0, 1]].reshape(-1, 5, 2)


def _read_picture(images: Path | None, file_name: str) -> Any:
    """Read an image file if it is there and readable."""
    if images is None:
        return None
    for path in (images / file_name, images / Path(file_name).name):
        try:
            return imread(path)
        except (OSError, ValueError, SyntaxError):
            continue
    return None
