"""For people who look: why a pair was assigned or not, told by the assigner's own steps.

:func:`explain` asks; an assigner of your own answers where it names its steps by :func:`condition`,
:func:`contest` and :func:`mark`, which do nothing while nobody asks.
"""

from assigncore.inspect.explain import Explanation, PairReason, explain
from assigncore.inspect.trace import condition, contest, is_recording, mark, next_round

__all__ = [
    "Explanation",
    "PairReason",
    "condition",
    "contest",
    "explain",
    "is_recording",
    "mark",
    "next_round",
]
