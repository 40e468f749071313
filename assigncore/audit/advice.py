"""Advice: anchors fitted to the data, what other knobs would do, and what to change first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from assigncore.audit.config import Plan, change_plan, preset_as_toml
from assigncore.audit.frames import ExactSize, ImageScale
from assigncore.audit.inputs import compared_boxes
from assigncore.audit.queries import Queries
from assigncore.audit.statistics import Findings
from assigncore.audit.what_if import (
    Evaluate,
    Outcome,
    Proposed,
    WhatIf,
    as_override,
    outcome_of,
    try_changes,
)
from assigncore.audit.yolo_anchors import YOLOAnchorGenerator
from assigncore.inspect.display import plural
from assigncore.priors import AnchorGenerator, BoxGenerator, PointGenerator, SSDAnchorGenerator
from assigncore.priors.fitting import best_placed_overlaps, fit_anchors, fit_shapes
from assigncore.priors.grid import PriorGenerator

__all__ = ["Advice", "advise"]

ENOUGH = 0.25
"""Share of today's objects without positives below which no further change is looked for."""

WORTH_IT = 0.1
"""Share of today's objects without positives that a change must give some, to be advised."""

FEW = 0.005
"""Share of the objects below which a level counts as serving none."""


@dataclass(frozen=True)
class Objects:
    """The objects that a setting is advised for.

    Attributes
    ----------
    gt_bboxes : array (M, 4)
        Their boxes at training size, in the data set's order.
    images : int
        Images that they are of.
    most : int
        How many an image has at most.
    scale : ImageScale or ExactSize
        What images are scaled to, where a setting says nothing else.
    """

    gt_bboxes: Any
    images: int
    most: int
    scale: ImageScale | ExactSize

    @property
    def fitted(self) -> Any:
        """Those of some extent at training size, which anchors can be fitted to."""
        return self.gt_bboxes[np.all(self.gt_bboxes[:, :2] < self.gt_bboxes[:, 2:], axis=1)]


@dataclass(frozen=True)
class Advice:
    """What to change in a setting so that fewer objects go without positives.

    Attributes
    ----------
    name : str
        The setting's.
    images : int
        Images that everything here was run on.
    today : Outcome
        Of the setting as it is.
    causes : tuple of str
        Which anchors, levels or thresholds leave objects out, a sentence each.
    what_ifs : tuple of WhatIf
        Single changes, each made to the setting as it is.
    steps : tuple of WhatIf
        The advice: changes made one after the other; the overrides of each hold those of all before.
        Empty where nothing helps, or nothing has to.
    config : str
        The setting with all changes made, as a config file in TOML; empty without any.
    """

    name: str
    images: int
    today: Outcome
    causes: tuple[str, ...]
    what_ifs: tuple[WhatIf, ...]
    steps: tuple[WhatIf, ...]
    config: str = ""

    @property
    def overrides(self) -> tuple[str, ...]:
        """All changes that are advised, as ``--set`` takes them."""
        return self.steps[-1].overrides if self.steps else ()

    @property
    def step_names(self) -> tuple[str, ...]:
        """What each step changes besides those before it."""
        befores = ((), *(step.overrides for step in self.steps))
        return tuple(
            step.name or " ".join(one for one in step.overrides if one not in before)
            for step, before in zip(self.steps, befores, strict=False)
        )

    @property
    def outcome(self) -> Outcome:
        """What follows from all of them."""
        return (self.steps[-1].outcome if self.steps else None) or self.today


def advise(plan: Plan, findings: Findings, objects: Objects, evaluate: Evaluate) -> Advice:
    """Find out by trying which changes would give positives to objects that get none.

    Parameters
    ----------
    plan : Plan
        The setting.
    findings : Findings
        What it gives as it is.
    objects : Objects
        What it is for.
    evaluate : callable
        Runs a plan over the same images.

    Notes
    -----
    Advised are, in this order, anchors fitted to the objects, finer or more of them, knobs of the assigner,
    and larger images: of each kind what leaves fewest objects without, if that is a tenth of today's fewer.
    It ends where fewer than a quarter of today's are left. Thresholds come late since lowering one makes
    objects train priors that do not fit.
    """
    today = outcome_of(findings)
    without = findings.objects.totals == 0
    causes = tuple(_causes(plan, findings, objects, without))
    kinds = [list(kind(plan, objects)) for kind in KINDS]
    seen = list(_only_to_see(plan, findings))
    what_ifs = try_changes(plan, [change for kind in (*kinds, seen) for change in kind], evaluate)
    rest = iter(what_ifs)
    single = [[next(rest) for _ in kind] for kind in kinds]
    steps: list[WhatIf] = []
    left = today.without
    for kind, tried in zip(KINDS, single, strict=True):
        if left == 0 or left < ENOUGH * today.without:
            break
        if steps:
            done = steps[-1].overrides
            further = kind(change_plan(plan, done), objects)
            tried = try_changes(plan, [(name, _joined(done, change)) for name, change in further], evaluate)
        ranks = [(one.outcome.without, one.outcome.priors, i) for i, one in enumerate(tried) if one.outcome]
        if ranks and left - min(ranks)[0] >= max(1, WORTH_IT * today.without):
            left, _, best = min(ranks)
            steps.append(tried[best])
    config = ""
    if steps:
        advised = change_plan(plan, steps[-1].overrides)
        config = preset_as_toml(advised.settings, f"{plan.settings.name}-advised")
    return Advice(plan.name, objects.images, today, causes, tuple(what_ifs), tuple(steps), config)


def _joined(done: Sequence[str], further: Sequence[str]) -> tuple[str, ...]:
    """Put overrides together; a knob's later value counts."""
    return tuple({text.partition("=")[0]: text for text in (*done, *further)}.values())


def _fitted(plan: Plan, objects: Objects) -> Iterator[Proposed]:
    """Fit the anchors that there are: their number and places stay."""
    section, anchors = _anchors(plan)
    if isinstance(anchors, AnchorGenerator):
        fitted = fit_anchors(anchors, objects.fitted)
        if fitted == anchors:
            return
        scales = as_override(f"{section}.scales", fitted.all_scales)
        ratios = as_override(f"{section}.ratios", tuple(fitted.ratios))
        alone = fit_anchors(anchors, objects.fitted, ratios=False)
        if alone != anchors:
            yield "scales fitted", (as_override(f"{section}.scales", alone.all_scales),)
        if fitted.ratios != anchors.ratios:
            yield "scales and ratios fitted", (scales, ratios)
    elif isinstance(anchors, SSDAnchorGenerator):
        made = fit_anchors(anchors, objects.fitted)
        if made != anchors:
            sizes = {"min_sizes": made.min_sizes, "max_sizes": made.max_sizes}
            yield "sizes fitted", tuple(as_override(f"{section}.{k}", tuple(v)) for k, v in sizes.items())
    elif isinstance(anchors, YOLOAnchorGenerator):
        levels, each = len(anchors.strides), len(anchors.base_sizes[0])
        shapes = fit_shapes(objects.fitted[:, 2:] - objects.fitted[:, :2], levels * each)
        if len(shapes) == levels * each:
            yield (
                "sizes fitted",
                (as_override(f"{section}.base_sizes", shapes.reshape(levels, each, 2).tolist()),),
            )


def _finer(plan: Plan, objects: Objects) -> Iterator[Proposed]:
    """More priors: more scales, or cells half as large; as many queries as an image has objects."""
    section, anchors = _anchors(plan)
    if isinstance(plan.priors, Queries):
        if objects.most > plan.priors.num_queries:
            yield (
                "as many queries as an image has objects",
                (as_override("priors.num_queries", objects.most),),
            )
        return
    if isinstance(anchors, AnchorGenerator) and len(objects.fitted):
        more = _with_one_more_scale(anchors, objects.fitted)
        yield "one more scale, all fitted", (as_override(f"{section}.scales", more.all_scales),)
    if not isinstance(plan.priors, PriorGenerator) or any(
        s % 2 for xy in plan.priors.stride_pairs for s in xy
    ):
        return
    halved = tuple(x // 2 if x == y else (x // 2, y // 2) for x, y in plan.priors.stride_pairs)
    sections = ["priors"] if plan.approxs is None else ["priors", "approxs"]
    overrides = [as_override(f"{each}.strides", halved) for each in sections]
    ranges = getattr(plan.assigner, "regress_ranges", None)
    if ranges is not None:
        overrides.append(as_override("regress_ranges", tuple(tuple(map(_halved, r)) for r in ranges)))
    yield "strides halved", tuple(overrides)
    for name, fits in _fitted(change_plan(plan, overrides), objects):
        yield f"strides halved, {name}", _joined(overrides, fits)


def _thresholds(plan: Plan, _objects: Objects) -> Iterator[Proposed]:
    """Move one knob of the assigner, so that more priors are positive."""
    for knob, moved in LOOSER.items():
        value = getattr(plan.assigner, knob, None)
        if value is None or (knob == "min_pos_iou" and not getattr(plan.assigner, "match_low_quality", True)):
            continue
        for new in moved(value):
            if new != value:
                yield "", (as_override(knob, new),)
    if plan.settings.allowed_border >= 0:
        yield "anchors beyond the edge take part", ("allowed_border=-1",)


def _larger(plan: Plan, objects: Objects) -> Iterator[Proposed]:
    """Scale images to twice the size."""
    used = plan.scale or objects.scale
    if isinstance(used, ExactSize):
        yield "images of twice the size", (f"image_scale={2 * used.width}x{2 * used.height}!",)
    elif used.long_edge is not None and used.short_edge is not None:
        yield "images of twice the size", (f"image_scale={2 * used.long_edge}x{2 * used.short_edge}",)


KINDS: tuple[Callable[[Plan, Objects], Iterator[Proposed]], ...] = (
    _fitted,
    _finer,
    _thresholds,
    _larger,
)
"""Kinds of change, in the order in which they are advised."""


def _lower(*steps: float) -> Callable[[float], list[float]]:
    return lambda x: [round(x - step, 4) for step in steps if x - step > 0]


LOOSER: dict[str, Callable[[Any], list[Any]]] = {
    "pos_iou_thr": _lower(0.1, 0.2),
    "min_pos_iou": _lower(0.1, 0.2),
    "threshold": _lower(0.1),
    "pos_ignore_thr": lambda x: [round(x / 2, 4), 0.0],
    "match_low_quality": lambda _: [True],
    "topk": lambda x: [2 * x],
    "match_times": lambda x: [2 * x],
    "candidate_topk": lambda x: [2 * x],
    "center_radius": lambda x: [2 * x],
    "soft_center_radius": lambda x: [2 * x],
    "prior_match_thr": lambda x: [2 * x],
    "pos_scale": lambda x: [round(min(2 * x, 1.0), 4)],
    "center_ratio": lambda x: [round(min(2 * x, 0.5), 4)],
    "ignore_gt_scale": lambda _: [0.0],
    "center_sampling": lambda x: [not x],
    "pos_num": lambda x: [3 * x],
}
"""Values to try of an assigner's knob in place of its own."""


def _only_to_see(plan: Plan, findings: Findings) -> Iterator[Proposed]:
    """Propose what is not advised but tells something: how much single rules and levels bear."""
    if getattr(plan.assigner, "match_low_quality", False):
        yield "without low-quality matches", ("match_low_quality=false",)
    anchors = plan.priors
    if not isinstance(anchors, AnchorGenerator) or plan.approxs is not None or anchors.base_sizes is not None:
        return
    served = np.sum(findings.objects.positives > 0, axis=0)
    idle = [i for i, n in enumerate(served) if n < FEW * len(findings.objects.totals)]
    kept = tuple(stride for i, stride in enumerate(anchors.strides) if i not in idle)
    if idle and kept:
        names = ", ".join(str(anchors.strides[i]) for i in idle)
        yield (
            f"without the levels that serve hardly any object ({names})",
            (as_override("priors.strides", kept),),
        )


def _causes(plan: Plan, findings: Findings, objects: Objects, without: Any) -> Iterator[str]:
    """Say which anchors, levels and thresholds leave objects out."""
    gt_bboxes = objects.gt_bboxes
    if isinstance(plan.priors, Queries) and objects.most > plan.priors.num_queries:
        yield (
            f"Too few queries: an image has up to {plural(objects.most, 'object')}, "
            f"and there are {plan.priors.num_queries:,} queries."
        )
    if not len(objects.fitted):
        return
    _, anchors = _anchors(plan)
    if anchors is not None:
        yield from _sizes_compared(anchors, gt_bboxes, without)
    if isinstance(plan.priors, PriorGenerator):
        yield from _strides_compared(plan.priors, findings, gt_bboxes, without)
    overlaps = findings.objects.best_overlaps
    knob = "min_pos_iou" if getattr(plan.assigner, "match_low_quality", False) else "pos_iou_thr"
    limit = getattr(plan.assigner, knob, None)
    if overlaps is not None and limit is not None and np.any(below := without & (overlaps < limit)):
        yield (
            f"{int(np.sum(below)):,} of the {int(np.sum(without)):,} objects without positives have no prior "
            f"that overlaps them by {knob} {limit:g} or more; their best IoU has a median of "
            f"{float(np.median(overlaps[below])):.2f}."
        )


def _sizes_compared(anchors: BoxGenerator, gt_bboxes: Any, without: Any) -> Iterator[str]:
    """Compare the sides of anchors with those of objects."""
    shapes = np.asarray([box for i in range(len(anchors.strides)) for box in anchors.base_anchors(i)])
    sides, ratios = _side(shapes), _ratio(shapes)
    objects = _side(gt_bboxes)
    smallest, largest = float(sides.min()), float(sides.max())
    named = "(sides are square roots of areas, at training size)"
    for word, limit, is_beyond in (
        ("large", smallest, objects < smallest),
        ("small", largest, objects > largest),
    ):
        share, of_without = float(np.mean(is_beyond)), int(np.sum(is_beyond & without))
        if share < 0.5 and 2 * of_without <= np.sum(without):
            continue
        which = "smallest" if word == "large" else "largest"
        than = "smaller" if word == "large" else "larger"
        text = (
            f"The anchors are too {word}: the {which} has a side of {limit:.3g} pixels, and {share:.0%} of "
            f"the objects are {than}, with a median of {float(np.median(objects)):.3g}"
        )
        if np.any(without):
            text += f"; so are {of_without:,} of the {int(np.sum(without)):,} without positives"
        yield f"{text} {named}."
    with np.errstate(divide="ignore", invalid="ignore"):
        own = _ratio(gt_bboxes)
    beyond = (own < ratios.min() / 2) | (own > ratios.max() * 2)
    if np.sum(beyond & without) > WORTH_IT * np.sum(without):
        yield (
            f"The ratios do not reach {int(np.sum(beyond & without)):,} of the objects without positives, "
            f"which are more than twice as long as any anchor (height over width {ratios.min():.2g} to "
            f"{ratios.max():.2g})."
        )


def _strides_compared(
    priors: PriorGenerator, findings: Findings, gt_bboxes: Any, without: Any
) -> Iterator[str]:
    """Compare the finest cells with the objects, and name the levels that serve none."""
    finest = min(min(xy) for xy in priors.stride_pairs)
    narrow = np.min(gt_bboxes[:, 2:] - gt_bboxes[:, :2], axis=1) < finest
    if np.sum(narrow & without) > WORTH_IT * np.sum(without):
        what = "point" if isinstance(priors, PointGenerator) else "anchor's centre"
        yield (
            f"The cells are too coarse: {int(np.sum(narrow & without)):,} of the {int(np.sum(without)):,} "
            f"objects without positives are narrower than the finest stride of {finest} pixels, so that no "
            f"{what} need lie in them."
        )
    served = np.sum(findings.objects.positives > 0, axis=0)
    few = [f"{x}" for (x, _), n in zip(priors.stride_pairs, served, strict=True) if n < FEW * len(without)]
    if few:
        levels = "level" if len(few) == 1 else "levels"
        verb = "serves" if len(few) == 1 else "serve"
        yield f"The {levels} of stride {', '.join(few)} {verb} hardly any object."


def _anchors(plan: Plan) -> tuple[str, BoxGenerator | None]:
    """Give the boxes that objects are compared with, and the section that they stand in."""
    if plan.approxs is not None:
        return "approxs", plan.approxs
    shaped = isinstance(plan.priors, BoxGenerator) and compared_boxes(plan) is not None
    return "priors", plan.priors if shaped and isinstance(plan.priors, BoxGenerator) else None


def _with_one_more_scale(anchors: AnchorGenerator, gt_bboxes: Any) -> AnchorGenerator:
    """Fit the scales that there are and one more, which starts halfway between two."""
    fitted = fit_anchors(anchors, gt_bboxes, ratios=False)
    scales = sorted(fitted.all_scales)
    between = [(a * b) ** 0.5 for a, b in pairwise([*scales, 2 * scales[0], 2 * scales[-1]])]
    more = [
        replace(fitted, scales=tuple(sorted((*scales, new))), octave_base_scale=None, scales_per_octave=None)
        for new in between
    ]
    best = max(more, key=lambda one: float(np.mean(best_placed_overlaps(one, gt_bboxes))))
    return fit_anchors(best, gt_bboxes, ratios=False)


def _halved(x: float) -> float:
    """Halve a limit; a negative one means none."""
    return x / 2 if x > 0 else x


def _side(boxes: Any) -> Any:
    return np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _ratio(boxes: Any) -> Any:
    return (boxes[:, 3] - boxes[:, 1]) / (boxes[:, 2] - boxes[:, 0])
