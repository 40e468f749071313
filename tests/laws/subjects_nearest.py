"""The assigners by nearest priors. All priors are of one level, so that they may change places."""

from assigncore.conformance.reference import nearest

from .subject import Subject
from .subjects_regions import _all_in_one_level


def _atss(name, **knobs):
    config = {"type": "ATSSAssigner", **knobs}
    return Subject(name, config, nearest.atss, others=_all_in_one_level)


def _point(name, **knobs):
    return Subject(name, {"type": "PointAssigner", **knobs}, nearest.point)


NEAREST_SUBJECTS = (
    _atss("atss", topk=4),
    _atss("atss-ignore", topk=6, ignore_iof_thr=0.3),
    _point("point"),
    _point("point-one", pos_num=1, scale=2),
)
