"""The thirteen laws, as the conformance suite states them, on scenes that Hypothesis draws."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assigncore.conformance import LAWS

from .scenes import any_scenes, apart, crowd, floats, sound_scenes, with_broken_rows
from .subjects import (
    AVAILABLE,
    BY_NAME,
    COMPILED,
    ELSEWHERE,
    LEADERS,
    SUBJECTS,
    OfOrientedBoxes,
    bench_of,
)

# NumPy is held against the reference implementations most; the others repeat the laws at the price of their calls.
EXAMPLES = {"numpy": 60, "numpy:kernels": 25, "torch": 25, "jax": 25}
OTHERS = 8


@dataclass(frozen=True)
class Feed:
    """What a law is given.

    Parameters
    ----------
    scenes : callable
        Gives a subject's scenes.
    count : int
        How many at once.
    share : float
        Of a target's examples.
    subjects : tuple of Subject
        Those that it is checked for.
    jax : tuple of Subject
        Those that it is checked for on JAX, where scenes of another shape are compiled for.
    """

    scenes: object = any_scenes
    count: int = 1
    share: float = 0.1
    subjects: tuple = SUBJECTS
    jax: tuple = COMPILED


READ = tuple(s for s in SUBJECTS if s.recipe.capabilities.rule is not None)
WITHOUT_REGIONS = tuple(s for s in SUBJECTS if not s.recipe.takes_regions)

DTYPES = (*LEADERS[:3], *(BY_NAME[name] for name in ("atss", "task_aligned", "hungarian")))
"""Those that JAX compiles for each dtype: what a dtype becomes is common to all."""

FEEDS = {
    "codes": Feed(share=0.2, subjects=LEADERS, jax=LEADERS),
    "ties": Feed(share=1.0, subjects=READ, jax=READ),
    "precision": Feed(sound_scenes, share=0.08, jax=DTYPES),
    "empty": Feed(sound_scenes, share=0.05),
    "padding": Feed(count=2, share=0.3, jax=LEADERS),
    "batch": Feed(count=6, share=0.05),
    "namespace": Feed(share=0.02, subjects=LEADERS, jax=LEADERS),
    "purity": Feed(share=0.05, jax=LEADERS),
    "static": Feed(sound_scenes, count=4, share=0.02, jax=ELSEWHERE),
    "broken_numbers": Feed(lambda subject: with_broken_rows(sound_scenes(subject)), share=0.2, jax=ELSEWHERE),
    # That regions are heeded takes knobs and scenes that make them matter: the suite's own.
    "ignore": Feed(share=0.02, subjects=WITHOUT_REGIONS, jax=WITHOUT_REGIONS[:1]),
    "wrong_calls": Feed(sound_scenes, share=0.02, subjects=LEADERS, jax=LEADERS),
    "memory": Feed(sound_scenes, count=2, share=0.05, jax=LEADERS[:1]),
}


def _runs(law, subject, target):
    feed = FEEDS[law]
    elsewhere = feed.jax if target.library == "jax" else ELSEWHERE
    if law == "static" and target.library != "jax":
        # NumPy cannot show it, and PyTorch records a graph of each.
        return target.library != "numpy" and subject in LEADERS
    return subject in feed.subjects and (target.name == "numpy" or subject in elsewhere)


def cases(laws=tuple(FEEDS)):
    """Give each law of each subject on each library, an assigner's beside each other, which share what is compiled."""
    return [
        pytest.param(law, subject, target, id=f"{law}-{subject}-{target.name}")
        for subject in SUBJECTS
        for target in AVAILABLE
        for law in laws
        if _runs(law, subject, target)
    ]


def hold(law, subject, target, scenes, share, count=1):
    """Hold a subject to a law, on as many examples as the target is worth."""
    bench = bench_of(subject, target)
    examples = max(1, round(share * EXAMPLES.get(target.name, OTHERS)))

    @settings(max_examples=examples)
    @given(st.lists(scenes, min_size=count, max_size=count))
    def check(scenes):
        LAWS[law].check(bench, scenes)

    check()


def test_every_law_is_tested():
    assert FEEDS.keys() == LAWS.keys()


@pytest.mark.parametrize(("law", "subject", "target"), cases())
def test_the_law_is_obeyed(law, subject, target):
    feed = FEEDS[law]
    hold(law, subject, target, feed.scenes(subject), feed.share, feed.count)


# Where masks are far from their boxes, all priors are equally expensive.
ALL_TIE = ("soft_label-masks",)

# Where boxes are far apart, these may find no positive at all; any other assigner finds some.
MAY_FIND_NONE = ("center_region-calculator", "atss", "atss-ignore", "fcos", "fcos-center_sampling", "region")


APART = [
    pytest.param(subject, target, id=f"{subject}-{target.name}")
    for subject in SUBJECTS
    for target in AVAILABLE
    if subject.name not in ALL_TIE and (target.name == "numpy" or subject in ELSEWHERE)
]


@pytest.mark.parametrize(("subject", "target"), APART)
def test_where_nothing_ties_the_order_decides_nothing(subject, target):
    hold("ties", subject, target, apart(), 0.12)


@pytest.mark.parametrize(
    "subject", [s for s in SUBJECTS if s.name not in (*ALL_TIE, *MAY_FIND_NONE)], ids=str
)
def test_where_nothing_ties_there_are_positives(subject):
    bench = bench_of(subject, AVAILABLE[0])

    @settings(max_examples=4)
    @given(apart())
    def check(scene):
        assert (bench.run(scene)["gt_inds"] > 0).any()

    check()


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@pytest.mark.parametrize("target", [t for t in AVAILABLE if t.library != "jax"], ids=lambda t: t.name)
def test_results_do_not_depend_on_the_budget_where_few_pairs_touch(subject, target):
    """NumPy lists the pairs that can touch and skips the others; elsewhere each pair is a block of many steps."""
    sizes = {"numpy": (200, 20), "torch": (60, 10)}.get(target.library, (8, 2))
    if isinstance(subject.recipe, OfOrientedBoxes):
        # No pair is skipped, and each block takes a hundred steps.
        sizes = min(sizes, (12, 3))
    LAWS["memory"].check(bench_of(subject, target), [crowd(*sizes, seed) for seed in range(2)])


def test_a_law_that_numbers_tell_apart_is_not_obeyed_by_chance():
    """The scenes are worth drawing: an assigner with other knobs does not pass as this one."""
    one, other = BY_NAME["max_iou-ignore"], BY_NAME["max_iou-first"]
    seen = set()

    @settings(max_examples=20)
    @given(floats())
    def check(scene):
        outputs = [bench_of(subject, AVAILABLE[0]).run(scene)["gt_inds"] for subject in (one, other)]
        seen.add(bool((outputs[0] == outputs[1]).all()))

    check()
    assert False in seen
