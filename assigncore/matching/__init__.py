"""Matching predictions with ground truths one to one, or one to several, at the least total cost."""

from assigncore.matching.one_to_many import Solver, check_copies, check_groups, in_groups, repeated
from assigncore.matching.solve import (
    NONFINITE,
    check_nonfinite,
    linear_sum_assignment,
    match_scene,
    one_to_one,
)
from assigncore.matching.union import union_of_matchings

__all__ = [
    "NONFINITE",
    "Solver",
    "check_copies",
    "check_groups",
    "check_nonfinite",
    "in_groups",
    "linear_sum_assignment",
    "match_scene",
    "one_to_one",
    "repeated",
    "union_of_matchings",
]
