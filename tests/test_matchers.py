"""The matchers against their rules, read exactly, and against answers of torchvision 0.28.0 written down."""

from fractions import Fraction

import numpy as np
import pytest

from assigncore import build_assigner
from assigncore.assigners import Matcher, MaxIoUAssigner, SSDMatcher, to_detectron2, to_torchvision
from assigncore.backend import load_backend
from assigncore.backend.memory import memory_budget
from assigncore.conformance import get_target

RPN = {"thresholds": (0.25, 0.75), "labels": (0, -1, 1), "allow_low_quality_matches": True}
KNOBS = {
    "rpn": RPN,
    "no_low_quality": RPN | {"allow_low_quality_matches": False},
    "one_threshold": {"thresholds": (0.5,), "labels": (0, 1)},
    "equal_thresholds": {"thresholds": (0.5, 0.5), "labels": (0, -1, 1), "allow_low_quality_matches": True},
    "ignore_what_overlaps_little": {"thresholds": (0.125, 0.25, 0.5), "labels": (-1, 0, -1, 1)},
    "positive_in_the_middle": {"thresholds": (0.25, 0.5, 0.75), "labels": (0, 1, 0, -1)},
}
SSD_KNOBS = {"half": {"threshold": 0.5}, "low": {"threshold": 0.125}, "never": {"threshold": 1.5}}


MATCHERS = {"intervals": Matcher(**RPN), "ignoring": Matcher((0.1,), (-1, 1)), "ssd": SSDMatcher()}
each_matcher = pytest.mark.parametrize("matcher", MATCHERS.values(), ids=MATCHERS)


def overlap(a, b, number):
    """Divide intersection by union; with fractions there is no rounding at all."""
    a, b = [number(float(x)) for x in a], [number(float(x)) for x in b]
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = width * height if width > 0 and height > 0 else number(0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union > 0 else number(0)


def read_matcher(table, thresholds, labels, allow_low_quality_matches=False):
    """Read the rule from overlaps by ground truth and prior: codes, best overlaps, best ground truths."""
    codes, best_gt = [], [column.index(max(column)) for column in zip(*table, strict=True)]
    for n, g in enumerate(best_gt):
        bounds = [float("-inf"), *thresholds, float("inf")]
        (label,) = [
            k for k, low, high in zip(labels, bounds, bounds[1:], strict=False) if low <= table[g][n] < high
        ]
        if allow_low_quality_matches and any(row[n] == max(row) for row in table):
            label = 1
        codes.append(g + 1 if label == 1 else label)
    return codes, [table[g][n] for n, g in enumerate(best_gt)], best_gt


def read_ssd(table, threshold):
    """Read the rule from overlaps by ground truth and prior: codes, best overlaps."""
    columns = list(zip(*table, strict=True))
    codes = [column.index(max(column)) + 1 if max(column) >= threshold else 0 for column in columns]
    for g, row in enumerate(table):
        codes[row.index(max(row))] = g + 1
    return codes, [max(column) for column in columns]


def grid_boxes(rng, count, reach=9):
    corner = rng.integers(0, reach, (count, 2))
    return np.concatenate([corner, corner + rng.integers(0, 5, (count, 2))], axis=-1).astype(np.float32)


def float_boxes(rng, count):
    corner = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corner, corner + rng.lognormal(2.5, 0.7, (count, 2))], axis=-1).astype(np.float32)


KINDS = {"integer_grid": (grid_boxes, Fraction), "floats": (float_boxes, np.float32)}

PLACES = (20, 4)
NAMES = (("priors", "prior_valid"), ("gt_bboxes", "gt_valid"))


def run(assigner, target, **arrays):
    with target.running(x64=False):
        return assigner.assign(**{name: target.from_numpy(x) for name, x in arrays.items()}).to_numpy()


def padded_scene(priors, gts):
    """Put boxes among padding. JAX compiles for each shape anew, so all small scenes get one."""
    arrays = {}
    for (name, mask), rows, count in zip(NAMES, (priors, gts), PLACES, strict=True):
        arrays[name] = np.concatenate([rows, np.full((count - len(rows), 4), 3, dtype=np.float32)])
        arrays[mask] = np.arange(count) < len(rows)
    return arrays


def random_scenes(kind, seed, count=12):
    make, number = KINDS[kind]
    rng = np.random.default_rng(seed)
    for _ in range(count):
        priors, gts = make(rng, PLACES[0]), make(rng, PLACES[1])
        yield priors, gts, [[overlap(gt, prior, number) for prior in priors] for gt in gts]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", KNOBS)
def test_matcher_agrees_with_its_rule(target, name, kind):
    matcher = build_assigner({"type": "Matcher", **KNOBS[name]})
    for priors, gts, table in random_scenes(kind, seed=1):
        codes, overlaps, best_gt = read_matcher(table, **KNOBS[name])
        labels = np.arange(len(gts)) + 7
        got = run(matcher, target, priors=priors, gt_bboxes=gts, gt_labels=labels)
        assert got.gt_inds.tolist() == codes
        assert got.extras["best_gt"].tolist() == best_gt
        assert got.labels.tolist() == [labels[code - 1] if code > 0 else -1 for code in codes]
        np.testing.assert_array_equal(got.max_overlaps, np.array(overlaps, dtype=np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SSD_KNOBS)
def test_ssd_matcher_agrees_with_its_rule(target, name, kind):
    matcher = build_assigner({"type": "SSDMatcher", **SSD_KNOBS[name]})
    for priors, gts, table in random_scenes(kind, seed=2):
        codes, overlaps = read_ssd(table, **SSD_KNOBS[name])
        got = run(matcher, target, priors=priors, gt_bboxes=gts)
        assert got.gt_inds.tolist() == codes
        np.testing.assert_array_equal(got.max_overlaps, np.array(overlaps, dtype=np.float32))


@pytest.mark.parametrize("far", [0, 500], ids=["near", "one_overlaps_nothing"])
@pytest.mark.parametrize("library", ["numpy", "torch", "array_api_strict"])
def test_small_tiles_change_nothing(library, far):
    backend, rng = load_backend(library), np.random.default_rng(3)
    priors, gts = grid_boxes(rng, 3000, reach=60), grid_boxes(rng, 6, reach=60) + np.float32([[0, 0, 2, 2]])
    gts[2] += far
    arrays = backend.from_numpy(priors), backend.from_numpy(gts)
    for matcher in (Matcher(**RPN), SSDMatcher()):
        whole = matcher.assign(*arrays).to_numpy()
        with memory_budget(20_000):
            tiled = matcher.assign(*arrays).to_numpy()
        np.testing.assert_array_equal(tiled.gt_inds, whole.gt_inds)
        np.testing.assert_array_equal(tiled.max_overlaps, whole.max_overlaps)


def boxes(*rows):
    return np.array(rows, dtype=np.float32)


def stripes(*heights):
    """Give boxes of width 10 that overlap (0, 0, 10, 10) by the heights' tenths, if those are at most 10."""
    return boxes(*([0, 0, 10, height] for height in heights))


WHOLE = stripes(10)
TENTHS = stripes(*range(1, 11))
QUARTERS = boxes([0, 0, 4, 10], [6, 0, 10, 10], [0, 0, 3, 10], [3, 0, 7, 10])
FAR_APART = boxes([0, 0, 10, 10], [70, 70, 80, 80])
FOUR = np.concatenate([stripes(4, 2), stripes(5, 5) + np.float32(20)])
STAGGERED = boxes([0, 0, 10, 10], [0, 4, 10, 12])
LOW_QUALITY = Matcher((0.5, 0.95), (0, -1, 1), allow_low_quality_matches=True)

CASES = {
    "threshold_is_in_the_upper_interval": (
        Matcher((0.3, 0.7), (0, -1, 1)), stripes(7, 6.999, 3, 2.999, 10), WHOLE, [1, -1, -1, 0, 1],
    ),
    "ssd-threshold_is_enough": (SSDMatcher(0.7), stripes(7, 6.999, 3, 10), WHOLE, [1, 0, 0, 1]),
    "low_quality_match_keeps_its_own_best": (
        LOW_QUALITY, boxes([0, 0, 10, 8], [40, 40, 50, 50]), STAGGERED, [1, 0],
    ),
    "max_iou-low_quality_match_goes_to_its_taker": (
        MaxIoUAssigner(0.95, 0.5), boxes([0, 0, 10, 8], [40, 40, 50, 50]), STAGGERED, [2, 0],
    ),
    "all_that_tie_for_the_best_match": (Matcher(**RPN), QUARTERS, WHOLE, [1, 1, -1, 1]),
    "ssd-first_that_ties_for_the_best_matches": (SSDMatcher(), QUARTERS, WHOLE, [1, 0, 0, 0]),
    "ssd-taken_from_the_one_it_overlaps_most": (
        SSDMatcher(), boxes([0, 1, 10, 11], [0, 0, 10, 10]), boxes([0, 0, 10, 10], [0, 8, 10, 18]), [2, 1],
    ),
    # What torchvision 0.28.0 answers for the overlaps these boxes have; its codes are one lower.
    "zero_overlap-low_quality": (Matcher.from_torchvision(0.7, 0.3, True), FOUR, FAR_APART, [1, 1, 1, 1]),
    "zero_overlap": (Matcher.from_torchvision(0.7, 0.3), FOUR, FAR_APART, [-1, 0, 0, 0]),
    "zero_overlap-ssd": (SSDMatcher(), FOUR, FAR_APART, [2, 0, 0, 0]),
    "ssd-last_of_several_takes_a_prior": (
        SSDMatcher(), np.concatenate([WHOLE, stripes(9) + np.float32(30)]), stripes(6, 9, 8), [3, 0],
    ),
    # What is broken overlaps nothing, and is never positive, even where the labels say so.
    "broken_priors": (Matcher(**RPN), stripes(np.nan, 9, np.inf), WHOLE + 50, [0, 1, 0]),
    "broken_priors-ssd": (SSDMatcher(), stripes(np.nan, 9, np.inf), WHOLE + 50, [0, 1, 0]),
    "broken_priors_alone": (Matcher(**RPN), stripes(np.nan, np.inf), WHOLE, [0, 0]),
    "broken_priors_alone-ssd": (SSDMatcher(), stripes(np.nan, np.inf), WHOLE, [0, 0]),
    "broken_priors-positive_at_zero": (Matcher((0.5,), (1, 0)), stripes(np.nan, 9, 1), WHOLE, [-1, 0, 1]),
    "broken_priors-ssd_positive_at_zero": (SSDMatcher(0.0), stripes(np.nan, 9, 1), WHOLE, [0, 1, 1]),
    "broken_gts": (Matcher(**RPN), FOUR, stripes(np.nan, 10), [2, 0, 0, 0]),
    "broken_gts-ssd": (SSDMatcher(), FOUR, stripes(np.nan, 10), [2, 0, 0, 0]),
    **{
        f"{type(matcher).__name__}-{tenth}_tenths_{type(thr).__name__}": (
            matcher, TENTHS, WHOLE, [0] * (tenth - 1) + [1] * (11 - tenth),
        )
        for tenth in (3, 6, 7)
        for thr in (tenth / 10, np.float64(tenth / 10))
        for matcher in (Matcher((thr,), (0, 1)), SSDMatcher(thr))
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_written_down(target, case):
    assigner, priors, gts, expected = CASES[case]
    got = run(assigner, target, **padded_scene(priors, gts))
    codes = expected + [-1] * (PLACES[0] - len(expected))
    assert got.gt_inds.tolist() == codes
    assert to_torchvision(got).tolist() == [code - 1 for code in codes]


@each_matcher
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)], ids=str)
def test_no_priors_or_no_ground_truths(target, shape, matcher):
    got = run(matcher, target, priors=np.ones((shape[0], 4)), gt_bboxes=np.ones((shape[1], 4)))
    assert got.gt_inds.tolist() == got.max_overlaps.tolist() == [0] * shape[0]
    assert [x.tolist() for x in to_detectron2(got)] == [[0] * shape[0]] * 2


@each_matcher
def test_nothing_valid(target, matcher):
    scene = {"priors": stripes(9, 5, 1), "gt_bboxes": TENTHS[:2], "gt_labels": np.array([4, 5])}
    got = run(matcher, target, **scene, gt_valid=np.zeros(2, dtype=bool))
    assert got.gt_inds.tolist() == got.max_overlaps.tolist() == [0, 0, 0]
    got = run(matcher, target, **scene, prior_valid=np.zeros(3, dtype=bool))
    assert got.gt_inds.tolist() == got.labels.tolist() == got.max_overlaps.tolist() == [-1, -1, -1]


def check_padded_batch(target, compiled=lambda function: function):
    rng = np.random.default_rng(5)
    alone = [(grid_boxes(rng, 14 - 2 * image), grid_boxes(rng, image)) for image in range(5)]
    scenes = [padded_scene(*boxes_alone) for boxes_alone in alone]
    batch = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
    for matcher in (Matcher(**RPN), SSDMatcher(0.25)):

        def assign(matcher=matcher, **arrays):
            result = matcher.assign(**arrays)
            return result.gt_inds, to_torchvision(result), *to_detectron2(result)

        with target.running(x64=False):
            arrays = {name: target.from_numpy(x) for name, x in batch.items()}
            codes, matched, matches, match_labels = map(target.to_numpy, compiled(assign)(**arrays))
        np.testing.assert_array_equal(matched, codes - 1)
        np.testing.assert_array_equal(match_labels, np.sign(codes))
        for image, boxes_alone in enumerate(alone):
            single, count = matcher.assign(*boxes_alone), len(boxes_alone[0])
            assert codes[image].tolist() == single.gt_inds.tolist() + [-1] * (PLACES[0] - count)
            assert matches[image, :count].tolist() == to_detectron2(single)[0].tolist()


def test_a_padded_batch_gives_what_its_images_give(target):
    check_padded_batch(target)


@pytest.mark.parametrize("library", ["jax", "torch"])
def test_a_padded_batch_gives_the_same_when_compiled(library):
    target = get_target(library)
    check_padded_batch(target, target.compile)


def test_detectron2_gets_the_best_ground_truth_of_every_prior(target):
    gts = boxes([40, 40, 50, 50], [0, 0, 10, 10])
    with target.running(x64=False):
        arrays = map(target.from_numpy, (stripes(9, 5, 1), gts))
        matches, match_labels = to_detectron2(Matcher((0.3, 0.7), (0, -1, 1)).assign(*arrays))
        assert match_labels.dtype == target.backend.xp.int8
        assert target.to_numpy(matches).tolist() == [1, 1, 1]
        assert target.to_numpy(match_labels).tolist() == [1, -1, 0]


def test_detectron2_gets_what_other_results_know():
    matches, match_labels = to_detectron2(SSDMatcher().assign(stripes(9, 5, 1), WHOLE[[0, 0]]))
    assert [matches.tolist(), match_labels.tolist()] == [[1, 0, 0], [1, 1, 0]]


def test_a_prior_that_is_taken_keeps_its_best_overlap():
    got = SSDMatcher().assign(WHOLE, stripes(6, 9, 8), gt_labels=np.array([4, 5, 6]))
    assert [got.gt_inds.tolist(), got.labels.tolist()] == [[3], [6]]
    np.testing.assert_array_equal(got.max_overlaps, np.array([0.9], dtype=np.float32))
