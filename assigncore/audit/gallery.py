"""The gallery: images with their objects, their positive priors, and what got none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from assigncore import plot
from assigncore.audit.assigning import Assigned, Settings, assign_images
from assigncore.audit.inputs import has_outlines
from assigncore.audit.runs import Run
from assigncore.audit.statistics import worst_images
from assigncore.audit.style import is_drawn, save, slug
from assigncore.datasets import Dataset, Image
from assigncore.datasets.files import ImageFiles
from assigncore.inspect.display import plural
from assigncore.plot import INK, drawable
from assigncore.priors import PointGenerator
from assigncore.result import AssignResult

PANEL = 7.0
"""Inches that a panel is wide, and half of what it is tall at most."""

LOWEST, NARROWEST = 0.5, 5.0
"""Inches that a panel is tall at least, and what there is for the width of its titles and legend."""

TITLES, MARGIN, GAP = 0.7, 0.15, 0.2
"""Inches above the panels, around everything, and between the panels."""


def draw_gallery(
    runs: Sequence[Run],
    dataset: Dataset,
    settings: Settings,
    folders: Sequence[Path],
    images: Path | None,
    count: int,
) -> list[list[Path]]:
    """Draw the images where most objects go without, the same ones for every run.

    Parameters
    ----------
    runs : sequence of Run
    dataset, settings
        As the runs had them; the chosen images are assigned once more.
    folders : sequence of Path
        Each run's own, where it draws into ``gallery``.
    images : Path or None
        Folder of the image files. An image that is not there is drawn as a blank canvas.
    count : int
        Number of images.

    Returns
    -------
    list of list of Path
        The pictures of each run.
    """
    chosen = choose(runs, dataset, count)
    # The runs know the reasons, and finding them takes longest where most objects go without.
    settings = replace(settings, reasons=False)
    drawn: list[list[Path]] = []
    for run, folder in zip(runs, folders, strict=True):
        drawn.append([])
        frames = [run.scale.frame(image) for image in chosen]
        done = {one.frame.image.id: one for one in assign_images(run.plan, dataset, frames, settings)}
        for rank, frame in enumerate(frames, start=1):
            crowds = frame.boxes(dataset.crowds(frame.image))
            figure = image_figure(run, done[frame.image.id], crowds, images)
            path = _place(folder / "gallery", f"{rank:02d}_{slug(Path(frame.image.file_name).stem)}")
            save(figure, path)
            drawn[-1].append(path)
    return drawn


def _place(folder: Path, stem: str) -> Path:
    """Find a name for a picture under which there is no file of anybody else's."""
    path, number = folder / f"{stem}.png", 2
    while path.exists() and not is_drawn(path):
        path, number = folder / f"{stem}_{number}.png", number + 1
    return path


def choose(runs: Sequence[Run], dataset: Dataset, count: int) -> list[Image]:
    """Pick the images with most objects without positives over all runs, then with most objects."""
    order, _, objects_in = worst_images([run.findings.objects for run in runs], len(dataset.images))
    return [dataset.images[i] for i in order[objects_in[order] > 0][:count].tolist()]


def image_figure(run: Run, one: Assigned, crowds: Any, images: Path | None) -> Any:
    """Draw one image twice: its positive priors by level, and its objects by their number of positives."""
    height, width = one.frame.shape
    figure = Figure(facecolor="white")
    axes: list[Any] = [figure.add_axes((0, 0, 1, 1)) for _ in range(2)]
    _place_panels(figure, axes, width / height)
    picture = _read_picture(images, one.frame.image.file_name)
    boxes = one.frame.outlines(one.objects)
    # Proposals come in the order of their scores.
    order = np.argsort(one.level, kind="stable")
    result = AssignResult(one.gt_inds[order], None, None, len(boxes))
    beneath = {"image": picture, "image_shape": one.frame.shape}
    plot.assignment(
        result,
        one.priors[order],
        boxes,
        num_level_priors=np.bincount(one.level, minlength=len(run.level_names)).tolist(),
        level_names=run.level_names,
        points=isinstance(run.plan.priors, PointGenerator),
        outlines=None if has_outlines(run.plan) else False,
        title=f"{plural(int(np.sum(one.gt_inds > 0)), 'positive prior')}, by level",
        ax=axes[0],
        **beneath,
    )
    keypoints = one.frame.keypoints(one.objects)
    plot.objects(boxes, result, ignore_bboxes=crowds, gt_keypoints=keypoints, ax=axes[1], **beneath)
    image, without = one.frame.image, int(np.sum(result.positives_per_gt == 0))
    title = figure.suptitle(
        f"{drawable(run.plan.name)}   image {drawable(str(image.id), 40)}: {drawable(image.file_name)}   "
        f"{image.width} x {image.height} px, trained at {width} x {height}   {plural(len(boxes), 'object')}, "
        f"{without:,} without positives",
        fontsize=11,
        color=INK,
        verticalalignment="top",
    )
    _place_panels(
        figure,
        axes,
        width / height,
        title.get_window_extent().width / figure.dpi,
        max(ax.get_legend().get_window_extent().height for ax in axes) / figure.dpi,
    )
    title.set_y(1 - MARGIN / figure.get_figheight())
    return figure


def _place_panels(
    figure: Figure, axes: Sequence[Any], aspect: float, title: float = 0.0, legends: float = 0.0
) -> None:
    """Place two axes of an image's ratio of width to height, on a page that fits them and their texts.

    A layout that is searched for would take longer than all else. `title` is as wide, and `legends` are as
    tall, as they are drawn, in inches.
    """
    tall = float(np.clip(PANEL / aspect, LOWEST, 2 * PANEL))
    wide = min(PANEL, tall * aspect)
    column = max(wide, NARROWEST)
    width = max(2 * column + GAP, title) + 2 * MARGIN
    height = tall + TITLES + legends + MARGIN
    figure.set_size_inches(width, height)
    for i, ax in enumerate(axes):
        left = (width - GAP) / 2 - column + i * (column + GAP) + (column - wide) / 2
        ax.set_position((left / width, (legends + MARGIN) / height, wide / width, tall / height))


def _read_picture(images: Path | None, file_name: str) -> Any:
    """Read an image file, turned as its EXIF orientation says, if it is there and readable."""
    path = None if images is None else ImageFiles(images).find(file_name)
    if path is None:
        return None
    try:
        # Pillow warns of what is broken beside the pixels.
        with warnings.catch_warnings(action="ignore"):
            return plot.read_image(path)
    except Exception:  # Its readers raise whatever a broken file leads them to.
        return None
