"""The assigners under test. A new assigner is covered by all laws with one entry, or more, in `SUBJECTS`.

An entry says how the assigner is built, which of a scene's arrays it takes, and how its rule reads in plain
Python.
"""

from functools import partial
from types import MappingProxyType

from assigncore.conformance.reference import thresholds

from .calculators import CLOSENESS, HALF, IN_HALF, Closeness
from .subject import BY_INDEX, INDEX, OTHER, Subject
from .subjects_matching import MATCHING_SUBJECTS
from .subjects_nearest import NEAREST_SUBJECTS
from .subjects_predictions import PREDICTION_SUBJECTS
from .subjects_regions import REGION_SUBJECTS


def _subject(name, kind, rule, *, extras=MappingProxyType({}), reading_knobs=CLOSENESS, **knobs):
    own = reading_knobs if "iou_calculator" in knobs else {}
    return Subject(name, {"type": kind, **knobs}, rule, extras=extras, reading_knobs=own)


_max_iou = partial(_subject, kind="MaxIoUAssigner", rule=thresholds.max_iou)
_approx = partial(_subject, kind="ApproxMaxIoUAssigner", rule=thresholds.approx_max_iou)
_grid = partial(_subject, kind="GridAssigner", rule=thresholds.grid)
_ascend = partial(
    _subject,
    kind="AscendMaxIoUAssigner",
    rule=thresholds.ascend_max_iou,
    extras={"pos_mask": OTHER, "neg_mask": OTHER, "anchor_gt_indices": INDEX, "anchor_gt_labels": BY_INDEX},
)
_matcher = partial(_subject, kind="Matcher", rule=thresholds.matcher, extras={"best_gt": INDEX})
_ssd_matcher = partial(_subject, kind="SSDMatcher", rule=thresholds.ssd_matcher)

SUBJECTS = (
    _max_iou("max_iou", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
    _max_iou("max_iou-first", pos_iou_thr=0.5, neg_iou_thr=(0.1, 0.4), gt_max_assign_all=False),
    _max_iou("max_iou-ignore", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.1, ignore_iof_thr=0.4),
    _max_iou(
        "max_iou-ignore_by_region", pos_iou_thr=0.4, neg_iou_thr=0, match_low_quality=False,
        ignore_iof_thr=0.3, ignore_wrt_candidates=False,
    ),
    _max_iou("max_iou-zero", pos_iou_thr=0.0, neg_iou_thr=0.0, ignore_iof_thr=0.6),
    _max_iou("max_iou-negative_min", pos_iou_thr=0.6, neg_iou_thr=0.4, min_pos_iou=-1, ignore_iof_thr=0.01),
    _max_iou(
        "max_iou-negative_min-first", pos_iou_thr=0.6, neg_iou_thr=0.4, min_pos_iou=-1, ignore_iof_thr=0.01,
        gt_max_assign_all=False,
    ),
    _max_iou(
        "max_iou-half", pos_iou_thr=0.5, neg_iou_thr=0.4, ignore_iof_thr=0.5,
        iou_calculator=HALF, reading_knobs=IN_HALF,
    ),
    _max_iou(
        "max_iou-calculator", pos_iou_thr=0.7, neg_iou_thr=0.5, min_pos_iou=-0.2, ignore_iof_thr=0.8,
        iou_calculator=Closeness(),
    ),
    _approx("approx_max_iou", pos_iou_thr=0.5, neg_iou_thr=0.3, ignore_iof_thr=0.5),
    _approx(
        "approx_max_iou-calculator", pos_iou_thr=0.7, neg_iou_thr=0.5, gt_max_assign_all=False,
        iou_calculator=Closeness(),
    ),
    _grid("grid", pos_iou_thr=0.5, neg_iou_thr=0.5),
    _grid("grid-first", pos_iou_thr=0.4, neg_iou_thr=[0.1, 0.4], min_pos_iou=0.2, gt_max_assign_all=False),
    _ascend("ascend_max_iou", pos_iou_thr=0.5, neg_iou_thr=0.4, ignore_iof_thr=0.5),
    _ascend(
        "ascend_max_iou-calculator", pos_iou_thr=0.8, neg_iou_thr=0.5, gt_max_assign_all=False,
        ignore_iof_thr=0.8, iou_calculator=Closeness(),
    ),
    _matcher("matcher", thresholds=(0.3, 0.7), labels=(0, -1, 1), allow_low_quality_matches=True),
    _matcher("matcher-four_intervals", thresholds=(0.1, 0.3, 0.6), labels=[-1, 0, -1, 1]),
    _matcher(
        "matcher-calculator", thresholds=(-0.5, 0.6), labels=(0, -1, 1), allow_low_quality_matches=True,
        iou_calculator=Closeness(),
    ),
    _ssd_matcher("ssd_matcher"),
    _ssd_matcher("ssd_matcher-calculator", threshold=0.7, iou_calculator=Closeness()),
    *NEAREST_SUBJECTS,
    *REGION_SUBJECTS,
    *PREDICTION_SUBJECTS,
    *MATCHING_SUBJECTS,
)  # fmt: skip

LEADERS = tuple(s for i, s in enumerate(SUBJECTS) if s.type not in {other.type for other in SUBJECTS[:i]})
"""The first subject of each assigner."""

READ = tuple(s for s in SUBJECTS if s.rule is not None)
"""The subjects whose rule can be read bit for bit."""

_OTHERS = (*PREDICTION_SUBJECTS, *MATCHING_SUBJECTS)

COMPILED = tuple(s for s in SUBJECTS if s not in _OTHERS or s in LEADERS)
"""Those that run on every library; of assigners that read predictions, the first of each."""

COMPILED_OFTEN = tuple(s for s in LEADERS if s not in _OTHERS or s.name in ("task_aligned", "hungarian"))
"""Those that JAX compiles where tests have shapes of their own."""

FEW = LEADERS[:3]
"""Enough where a library compiles for long, and what is tested is common to all assigners."""
