"""The inputs of a case, for a reader: a picture of the scene, and the numbers to download."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assigncore.conformance.goldens.cases import GoldenCase
from assigncore.conformance.report.results import CaseResult, Cell, Part
from assigncore.conformance.scenes.kinds import KINDS, draw_scene
from assigncore.conformance.scenes.regressions import load_regressions
from assigncore.conformance.scenes.scene import Scene

__all__ = ["Exhibit", "find_exhibit"]

AnyArray = NDArray[Any]
Goldens = Mapping[str, tuple[GoldenCase, ...]]

_BOXES = ("gt_bboxes", "batch_gt_bboxes")
_PRIORS = ("priors", "bboxes", "batch_bboxes", "pred_bboxes")
"""Under which names boxes are given, in the order of preference; published packages have their own."""

_DRAWN = re.compile(rf"\b(?:{'|'.join(KINDS)})-\d+-\d+\b")

_HUES = (205, 25, 130, 280, 340, 60, 175, 235)
"""Hues that neighbours among the ground truths can be told apart by."""


@dataclass(frozen=True, eq=False)
class Exhibit:
    """The inputs of a case.

    Parameters
    ----------
    name : str
        What they are called, unique within a report.
    arrays : mapping of str to numpy.ndarray
        The inputs.
    note : str, default ""
        What a reader should know of them.
    facts : mapping
        What else belongs to the inputs.
    """

    name: str
    arrays: Mapping[str, AnyArray]
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name, as an identifier of the page."""
        return f"inputs-{re.sub('[^A-Za-z0-9_-]', '-', self.name)}"

    def link(self) -> str:
        """Give the inputs as a link that holds them."""
        told = {name: _plain(x.tolist()) for name, x in self.arrays.items()}
        data = {"name": self.name, **self.facts, "arrays": told}
        coded = base64.b64encode(json.dumps(data, allow_nan=False).encode()).decode()
        file = html.escape(self.name.replace("/", "-"))
        return f'<a download="{file}.json" href="data:application/json;base64,{coded}">download inputs</a>'

    def picture(self) -> str:
        """Draw ground truths over the priors' centres, as far as their numbers can be drawn.

        Returns
        -------
        str
            SVG; empty where there is nothing to draw.
        """
        boxes, priors = _rows(self.arrays, _BOXES), _rows(self.arrays, _PRIORS)
        shown = [x[np.all(np.isfinite(x), axis=-1)] for x in (boxes, priors)]
        corners = np.concatenate([x.reshape(-1, 2) for x in shown])
        if not len(corners):
            return ""
        low = corners.min(axis=0)
        side = float(max(*(corners.max(axis=0) - low), np.finfo(float).tiny))
        valid = np.asarray(self.arrays.get("gt_valid", np.ones(len(boxes), dtype=bool))).ravel()
        shapes = [
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r=".8"/>'
            for x, y in (shown[1].reshape(-1, 2, 2).mean(axis=1) - low) / side * 100
        ]
        for number, box in enumerate((boxes.reshape(-1, 2, 2) - low).reshape(-1, 4) / side * 100):
            if np.all(np.isfinite(box)):
                shapes.append(_box(box, number, dashed=len(valid) == len(boxes) and not valid[number]))
        label = html.escape(self.name)
        return (
            f'<svg viewBox="-4 -4 108 108" role="img" aria-label="{label}">'
            f'<g id="{self.key}-picture" class="scene">{"".join(shapes)}</g></svg>'
        )


def _plain(value: Any) -> Any:
    """Spell the numbers that JSON lacks as words, which NumPy and Python read again."""
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _rows(arrays: Mapping[str, AnyArray], names: tuple[str, ...]) -> AnyArray:
    """Give the boxes of one image, or points as boxes without an extent."""
    for name in names:
        x = arrays.get(name)
        if x is not None and x.ndim >= 2 and x.shape[-1] in (2, 3, 4) and x.dtype.kind == "f":
            image = x.reshape(-1, *x.shape[-2:])[0] if x.size else x.reshape(-1, x.shape[-1])
            whole = image if image.shape[-1] == 4 else np.concatenate([image[:, :2], image[:, :2]], axis=-1)
            return whole.astype(float)
    return np.zeros((0, 4))


def _box(box: AnyArray, number: int, *, dashed: bool) -> str:
    (x1, x2), (y1, y2) = sorted(box[::2]), sorted(box[1::2])
    hue = _HUES[number % len(_HUES)]
    dashes = ' stroke-dasharray="3 2"' if dashed else ""
    return (
        f'<g stroke="hsl({hue} 75% 52%)"><rect x="{x1:.2f}" y="{y1:.2f}" width="{x2 - x1:.2f}" '
        f'height="{y2 - y1:.2f}"{dashes}/><text x="{x1 + 1:.2f}" y="{y1 + 5:.2f}">{number + 1}</text></g>'
    )


def find_exhibit(cell: Cell, result: CaseResult, goldens: Goldens) -> Exhibit | None:
    """Find the inputs of a case.

    Parameters
    ----------
    cell : Cell
        Where it was run.
    result : CaseResult
        Its outcome. A law or guarantee names its scene in its message or its own name.
    goldens : mapping of str to tuple of GoldenCase
        The golden cases that were run, by variant.

    Returns
    -------
    Exhibit or None
        None where there are no inputs, or none that are known.

    Examples
    --------
    >>> from assigncore.conformance import Agreement, Mode
    >>> cell = Cell("MaxIoUAssigner", "numpy", Mode.EAGER, part=Part.LAWS)
    >>> find_exhibit(cell, CaseResult("ties", Agreement.DIFFERENT, "ties-0-1: other answers"), {}).name
    'ties-0-1'
    """
    if cell.part is Part.GOLDENS:
        for case in goldens.get(cell.variant, ()):
            if case.name == result.case:
                facts = {"init": _named(case.init), "call": _named(case.call), "dtype": case.dtype}
                return Exhibit(f"{cell.variant}/{case.name}", case.inputs, f"From {case.source}.", facts)
        return None
    for regression in load_regressions():
        if result.case.endswith(regression.scene.name):
            return _of_scene(regression.scene, regression.guards)
    drawn = _DRAWN.search(f"{result.case} {result.message}")
    if drawn is None:
        return None
    return _of_scene(draw_scene(drawn[0]), f"draw_scene({drawn[0]!r}) draws it anew.")


def _of_scene(scene: Scene, note: str) -> Exhibit:
    levels = [[level.height, level.width, level.stride] for level in scene.levels]
    return Exhibit(scene.name, scene.arrays, note, {"levels": levels})


def _named(arguments: Mapping[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in arguments.items()}
