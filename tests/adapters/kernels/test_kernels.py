"""Compiled loops give the bits of the portable versions, wherever and however they are called."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch

import assigncore as ac
from assigncore.adapters.backends.numpy import LISTED
from assigncore.adapters.kernels import compiled
from assigncore.backend import ArrayBackend, load_backend
from assigncore.backend.memory import memory_budget
from assigncore.backend.portable import LIVE_TEMPORARIES
from assigncore.boxes.formulas import overlaps_of_checked
from assigncore.boxes.gaussians import NormalizedWasserstein, ReceptiveField
from assigncore.boxes.oriented import RotatedOverlap
from assigncore.pairs.listed import TilePairs
from assigncore.pairs.relations import Inside, Near, Touching
from assigncore.pairs.tiles import Tile, TileView
from assigncore.steps.candidates import PointDistances

numba = pytest.importorskip("numba")
kernels = pytest.importorskip("assigncore.adapters.kernels.loops")

FUSED = ("vfmadd", "vfmsub", "vfnmadd", "vfnmsub", "fmadd", "fmla", "fmls")
"""Parts of the names of instructions that round a product and a sum once, of x86 and ARM."""


BUSY = 4
"""Draws a scene with pairs in it."""


class Drawn:
    """Scenes of few distinct coordinates, so that overlaps tie, with what is broken, inverted or left out."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(self.rng.choice(["f4", "f8"]))
        # Now and then more than a block of priors.
        self.n = int(self.rng.integers(0, 600 if seed % 5 == 0 else 30))
        self.g = int(self.rng.integers(0, 6))
        self.b = int(self.rng.integers(1, 4))
        self.lead = () if self.rng.random() < 0.5 else (self.b,)
        self.priors, self.gt_bboxes = self.boxes(self.n, self.lead), self.boxes(self.g, (self.b,))
        self.valid = {
            "gt_valid": self.rng.random((self.b, self.g)) < 0.8,
            "prior_valid": self.rng.random((self.b, self.n)) < self.rng.choice([0, 0.8, 1]),
        }
        self.ignore = {"ignore_bboxes": self.boxes(2, (self.b,))}

    def boxes(self, count, lead):
        corner = self.rng.integers(0, 20, (*lead, count, 2))
        boxes = np.concatenate([corner, corner + self.rng.integers(-2, 12, corner.shape)], axis=-1)
        boxes = boxes.astype(self.dtype)
        if self.rng.random() < 0.3:
            boxes += self.rng.random(boxes.shape).astype(self.dtype)
        if self.rng.random() < 0.2 and boxes.size:
            boxes.reshape(-1)[self.rng.integers(boxes.size)] = self.rng.choice([np.nan, np.inf, 1e30])
        return boxes

    def switch(self):
        return bool(self.rng.integers(2))

    def levels(self):
        ends = [0, *np.sort(self.rng.integers(0, self.n + 1, 2)).tolist(), self.n]
        return [end - start for start, end in pairwise(ends)]

    def points(self):
        strides = 2.0 ** self.rng.integers(1, 4, (*self.lead, self.n, 1))
        return np.concatenate([self.priors[..., :2], strides], axis=-1).astype(self.dtype)

    def strided_points(self):
        points = self.points()
        return np.concatenate([points, points[..., 2:]], axis=-1)

    def labels(self):
        return self.rng.integers(0, 3, (self.b, self.g))

    def predictions(self, name):
        scores = self.rng.integers(0, 5, (self.b, self.n, 3)) / 4
        boxes = self.boxes(self.n, (self.b,))
        return {"pred_bboxes": boxes, name: scores.astype(self.dtype), "gt_labels": self.labels()}


def max_iou(drawn):
    assigner = ac.MaxIoUAssigner(
        0.5,
        0.4,
        float(drawn.rng.choice([0, 0.1, -2])),
        gt_max_assign_all=drawn.switch(),
        ignore_iof_thr=float(drawn.rng.choice([-1, 0.5])),
        ignore_wrt_candidates=drawn.switch(),
    )
    return assigner.assign(drawn.priors, drawn.gt_bboxes, **drawn.valid, **drawn.ignore)


def approx_max_iou(drawn):
    approxs = drawn.boxes(3 * drawn.n, drawn.lead).reshape(*drawn.lead, drawn.n, 3, 4)
    assigner = ac.ApproxMaxIoUAssigner(0.5, 0.4, 0.1)
    boxes = drawn.priors, drawn.gt_bboxes
    return assigner.assign(*boxes, approxs=approxs, **drawn.valid, **drawn.ignore)


def similarity(drawn):
    """Draw a similarity that is never 0, in which far priors, or near ones, are alike."""
    if drawn.switch():
        return ac.NWD(constant=float(drawn.rng.choice([0.01, 1, 12.7, 1e4])))
    return ac.RFD(decay=float(drawn.rng.choice([0.01, 0.9, 1, 20])))


def max_similarity(drawn):
    least = float(drawn.rng.choice([0, 0.1, -2]))
    knobs = {"gt_max_assign_all": drawn.switch(), "iou_calculator": similarity(drawn)}
    assigner = ac.MaxIoUAssigner(0.5, 0.3, least, **knobs)
    return assigner.assign(drawn.priors, drawn.gt_bboxes, **drawn.valid)


def approx_max_similarity(drawn):
    approxs = drawn.boxes(3 * drawn.n, drawn.lead).reshape(*drawn.lead, drawn.n, 3, 4)
    assigner = ac.ApproxMaxIoUAssigner(0.5, 0.4, 0.1, iou_calculator=similarity(drawn))
    return assigner.assign(drawn.priors, drawn.gt_bboxes, approxs=approxs, **drawn.valid)


def rfla(drawn):
    topk = int(drawn.rng.integers(0, 5)), int(drawn.rng.integers(0, 3))
    calculator = similarity(drawn) if drawn.switch() else ac.RFD()
    assigner = ac.RFLAAssigner(topk, iou_calculator=calculator, min_positives=int(drawn.rng.integers(0, 3)))
    return assigner.assign(drawn.priors, drawn.gt_bboxes, **drawn.valid)


def rfla_by_overlap(drawn):
    calculator = ac.BboxOverlaps2D() if drawn.switch() else ac.RotatedIoU(min_side=float(drawn.switch()))
    boxes = drawn.priors, drawn.gt_bboxes
    if calculator.columns == 5:
        boxes = [oriented(drawn, x) for x in boxes]
    return ac.RFLAAssigner((3, 2), iou_calculator=calculator).assign(*boxes, **drawn.valid)


def grid(drawn):
    flags = drawn.rng.random((drawn.b, drawn.n)) < 0.5
    boxes = drawn.priors, drawn.gt_bboxes
    return ac.GridAssigner(0.5, 0.4, 0.1).assign(*boxes, responsible_flags=flags, **drawn.valid)


def ascend(drawn):
    boxes = drawn.priors, drawn.gt_bboxes
    return ac.AscendMaxIoUAssigner(0.5, 0.4, 0.1).assign(*boxes, **drawn.valid, **drawn.ignore)


def ssd(drawn):
    return ac.SSDMatcher(0.5).assign(drawn.priors, drawn.gt_bboxes, **drawn.valid)


def matcher(drawn):
    assigner = ac.Matcher((0.3, 0.5), (0, -1, 1), drawn.switch())
    return assigner.assign(drawn.priors, drawn.gt_bboxes, **drawn.valid)


def atss(drawn):
    assigner = ac.ATSSAssigner(
        int(drawn.rng.integers(1, 10)), ignore_iof_thr=float(drawn.rng.choice([-1, 0.5]))
    )
    boxes = drawn.priors, drawn.gt_bboxes
    return assigner.assign(*boxes, num_level_priors=drawn.levels(), **drawn.valid, **drawn.ignore)


def uniform(drawn):
    assigner = ac.UniformAssigner(0.15, 0.7, match_times=int(drawn.rng.integers(1, 5)))
    predicted = drawn.boxes(drawn.n, (drawn.b,))
    return assigner.assign(drawn.priors, drawn.gt_bboxes, pred_bboxes=predicted, **drawn.valid)


def point(drawn):
    assigner = ac.PointAssigner(int(drawn.rng.integers(1, 5)), int(drawn.rng.integers(1, 5)))
    return assigner.assign(drawn.points(), drawn.gt_bboxes, **drawn.valid)


def center_region(drawn):
    scales = {
        "pos_scale": float(drawn.rng.choice([0.2, 0.6])),
        "neg_scale": float(drawn.rng.choice([0.2, 0.8])),
    }
    assigner = ac.CenterRegionAssigner(**scales, min_pos_iof=float(drawn.rng.choice([-0.1, 0.01])))
    boxes = drawn.priors, drawn.gt_bboxes
    return assigner.assign(*boxes, gt_labels=drawn.labels(), **drawn.valid, **drawn.ignore)


def fcos(drawn):
    assigner = ac.FCOSAssigner(((-1, 4), (4, 8), (8, None)), center_sampling=drawn.switch())
    boxes = drawn.points(), drawn.gt_bboxes
    return assigner.assign(*boxes, num_level_priors=drawn.levels(), **drawn.valid)


def region(drawn):
    levels = {
        "num_level_priors": drawn.levels(),
        "featmap_sizes": ((10, 10), (5, 5), (3, 3)),
        "anchor_strides": (2, 4, 8),
    }
    assigner = ac.RegionAssigner(center_ratio=0.4, ignore_ratio=0.9)
    boxes = drawn.priors, drawn.gt_bboxes
    return assigner.assign(*boxes, **levels, anchor_scale=2, image_shape=(20, 20), **drawn.valid)


def multi_instance(drawn):
    assigner = ac.MultiInstanceAssigner(num_instance=int(drawn.rng.integers(1, 4)))
    return assigner.assign(drawn.priors, drawn.gt_bboxes, **drawn.valid, **drawn.ignore)


def task_aligned(drawn):
    assigner = ac.TaskAlignedAssigner(
        topk=int(drawn.rng.integers(1, 6)),
        topk_inside=drawn.switch(),
        conflicts=str(drawn.rng.choice(["claimants", "inside", "all"])),
    )
    return assigner.assign(drawn.priors, drawn.gt_bboxes, **drawn.predictions("pred_scores"), **drawn.valid)


def sim_ota(drawn):
    assigner = ac.SimOTAAssigner(center_radius=1.0, candidate_topk=int(drawn.rng.integers(1, 6)))
    priors = drawn.strided_points()
    return assigner.assign(priors, drawn.gt_bboxes, **drawn.predictions("pred_scores"), **drawn.valid)


def soft_label(drawn):
    assigner = ac.DynamicSoftLabelAssigner(select_outside=drawn.switch(), topk=int(drawn.rng.integers(1, 6)))
    priors = drawn.strided_points()
    return assigner.assign(priors, drawn.gt_bboxes, **drawn.predictions("pred_logits"), **drawn.valid)


def oriented(drawn, boxes):
    """Turn boxes into oriented ones, by one of few angles."""
    sides, angle = (
        boxes[..., 2:] - boxes[..., :2],
        drawn.rng.choice([0, 0.3, np.pi / 2, -4], (*boxes.shape[:-1], 1)),
    )
    return np.concatenate([boxes[..., :2], sides, angle], axis=-1).astype(boxes.dtype)


def rotated(drawn):
    knobs = {"ignore_iof_thr": float(drawn.rng.choice([-1, 0.5])), "ignore_wrt_candidates": drawn.switch()}
    calculator = ac.RotatedIoU(min_side=float(drawn.rng.choice([0, 2])))
    assigner = ac.MaxIoUAssigner(0.5, 0.4, 0.1, iou_calculator=calculator, **knobs)
    ignore = {name: oriented(drawn, x) for name, x in drawn.ignore.items()}
    priors, gts = oriented(drawn, drawn.priors), oriented(drawn, drawn.gt_bboxes)
    return assigner.assign(priors, gts, **drawn.valid, **ignore)


def rotated_sim_ota(drawn):
    assigner = ac.SimOTAAssigner(candidate_topk=int(drawn.rng.integers(1, 6)), iou_calculator=ac.RotatedIoU())
    predictions = drawn.predictions("pred_scores")
    predictions["pred_bboxes"] = oriented(drawn, predictions["pred_bboxes"])
    return assigner.assign(
        drawn.strided_points(), oriented(drawn, drawn.gt_bboxes), **predictions, **drawn.valid
    )


def rotated_task_aligned(drawn):
    assigner = ac.TaskAlignedAssigner(
        topk=int(drawn.rng.integers(1, 6)),
        iou_calculator=ac.RotatedIoU(),
        topk_inside=drawn.switch(),
        inside_margin=None if drawn.switch() else 0.01,
    )
    predictions = drawn.predictions("pred_scores")
    predictions["pred_bboxes"] = oriented(drawn, predictions["pred_bboxes"])
    return assigner.assign(drawn.points(), oriented(drawn, drawn.gt_bboxes), **predictions, **drawn.valid)


CALLS = (
    *(max_iou, approx_max_iou, grid, ascend, ssd, matcher, atss, uniform, point),
    *(max_similarity, approx_max_similarity, rfla, rfla_by_overlap),
    *(center_region, fcos, region, multi_instance, task_aligned, sim_ota, soft_label),
    *(rotated, rotated_sim_ota, rotated_task_aligned),
)
each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)


def assert_same_bits(got, expected):
    for x, y in zip(got.tree_flatten()[0], expected.tree_flatten()[0], strict=True):
        if y is None:
            assert x is None
        else:
            assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


@each_call
def test_answers_have_the_bits_of_the_portable_version(call):
    for seed in range(200):
        got = call(Drawn(seed))
        with compiled.without_kernels():
            expected = call(Drawn(seed))
        assert_same_bits(got, expected)


@pytest.mark.parametrize("mode", ["iou", "iof", "giou"])
def test_pairwise_overlaps_have_the_bits_of_the_portable_version(mode):
    backend = load_backend("numpy")
    for seed in range(100):
        drawn = Drawn(seed)
        a, _ = backend.bounded_rows(drawn.gt_bboxes, 1e18)
        b, _ = backend.bounded_rows(drawn.priors, 1e18)
        # Of few second boxes the loop runs along the first ones.
        for first, second in ((a, b), (b, a), (b, a[..., :1, :])):
            got = backend.overlaps_of_boxes(first, second, mode)
            expected = overlaps_of_checked(first, second, mode)
            assert (got.shape, got.tobytes()) == (expected.shape, expected.tobytes())


@pytest.mark.parametrize("mode", ["iou", "iof", "giou"])
def test_overlaps_of_listed_pairs_have_the_bits_of_the_portable_version(mode):
    backend = load_backend("numpy")
    for seed in range(0, 100, 5):
        drawn = Drawn(seed)
        first, _ = backend.bounded_rows(drawn.priors, 1e18)
        second = first[..., ::-1, :]
        got = backend.overlaps_of_boxes(first[..., None, :], second[..., None, :], mode)
        expected = overlaps_of_checked(first, second, mode, is_aligned=True)
        assert got[..., 0, 0].tobytes() == expected.tobytes()


SIMILARITIES = (
    *(NormalizedWasserstein(0.01), NormalizedWasserstein(12.7), NormalizedWasserstein(1e4)),
    *(ReceptiveField(0.01), ReceptiveField(1.0), ReceptiveField(20.0)),
)


class Spread(Drawn):
    """Scenes of any sizes, from tiny to what overflows, in order as on a grid, crowded or duplicated."""

    def boxes(self, count, lead):
        self.dtype = np.dtype(np.float32)
        corner = self.rng.random((*lead, count, 2)) * self.rng.choice([1e-3, 1, 1000, 1e5])
        if self.switch():
            corner = np.sort(corner, axis=-2)
        sides = self.rng.random(corner.shape) * self.rng.choice([1e-7, 1, 100, 1e9])
        boxes = np.concatenate([corner, corner + sides], axis=-1)
        if self.switch():
            boxes = np.repeat(boxes[..., ::2, :], 2, axis=-2)[..., :count, :]
        if self.rng.random() < 0.2:
            boxes *= 10.0 ** self.rng.uniform(-20, 20, boxes.shape)
        return boxes.astype(np.float32)


@pytest.mark.parametrize("measure", SIMILARITIES, ids=repr)
@pytest.mark.parametrize("scenes", [Drawn, Spread])
def test_similarities_have_the_bits_of_the_portable_version(measure, scenes):
    backend = load_backend("numpy")
    for seed in range(20):
        drawn = scenes(seed)
        a, _ = backend.bounded_rows(drawn.gt_bboxes, 1e18)
        b, _ = backend.bounded_rows(drawn.priors, 1e18)
        with np.errstate(over="ignore"):
            for first, second in ((a, b), (b, a)):
                got, expected = measure(first, second), measure.of_all_pairs(first, second)
                assert (got.shape, got.tobytes()) == (expected.shape, expected.tobytes())
            got = backend.pairwise(b[..., None, :], b[..., ::-1, None, :], measure)
            assert got[..., 0, 0].tobytes() == measure.of_rows(b, b[..., ::-1, :]).tobytes()


@pytest.mark.parametrize("call", [max_similarity, rfla], ids=lambda call: call.__name__)
def test_no_block_is_passed_over_that_has_a_best_similarity(call):
    for seed in range(150):
        with np.errstate(over="ignore"):
            got = call(Spread(seed))
            with compiled.without_kernels():
                expected = call(Spread(seed))
        assert_same_bits(got, expected)


def test_similarities_are_rounded_as_the_library_rounds_them_from_double():
    # From the least that is not 0 to 1, and what logarithms are taken of; a value every few last bits.
    exponents = -np.geomspace(1e-8, 104, 400_000).astype(np.float32)
    boxes = np.zeros((1, 4), np.float32)
    moved = np.stack([-exponents, 0 * exponents, -exponents, 0 * exponents], axis=-1)
    expected = np.exp(exponents.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(ac.NWD(constant=1.0)(boxes, moved)[0], expected)
    sides = np.geomspace(1e-6, 1e12, 400_000).astype(np.float32)
    fields = np.stack([-sides / 2, -sides / 2, sides / 2, sides / 2], axis=-1)
    unit = np.array([[-0.5, -0.5, 0.5, 0.5]], np.float32)
    measure = ReceptiveField(1.0)
    np.testing.assert_array_equal(measure(unit, fields), measure.of_all_pairs(unit, fields))


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("of_prior", [False, True])
def test_rotated_overlaps_have_the_bits_of_the_portable_version(mode, of_prior):
    backend, overlap = load_backend("numpy"), RotatedOverlap(mode, of_prior)
    for seed in range(100):
        drawn = Drawn(seed)
        a, _ = backend.bounded_rows(oriented(drawn, drawn.gt_bboxes), 1e18)
        b, _ = backend.bounded_rows(oriented(drawn, drawn.priors), 1e18)
        got, expected = overlap(a, b), overlap.of_all_pairs(a, b)
        assert (got.shape, got.tobytes()) == (expected.shape, expected.tobytes())


def test_distances_have_the_bits_of_the_portable_version():
    backend = load_backend("numpy")
    for seed in range(100):
        drawn = Drawn(seed)
        for a, b in ((drawn.gt_bboxes, drawn.priors), (drawn.priors, drawn.gt_bboxes)):
            with np.errstate(invalid="ignore", over="ignore"):
                got, expected = backend.l1_distance(a, b), ArrayBackend.l1_distance(backend, a, b)
            assert (got.shape, got.tobytes()) == (expected.shape, expected.tobytes())


def relations(drawn):
    """Return one of each kind."""
    backend = load_backend("numpy")
    priors, whole = backend.bounded_rows(drawn.boxes(drawn.n, (drawn.b,)), 1e18)
    boxes, gt_whole = backend.bounded_rows(drawn.gt_bboxes, 1e18)
    of_scene = backend, gt_whole & drawn.valid["gt_valid"], whole & drawn.valid["prior_valid"]
    points, reach = priors[..., :2], np.abs(priors[..., 2:] - priors[..., :2])
    yield from (Inside(*of_scene, points, boxes), Inside(*of_scene, points, boxes, closed=True))
    yield Inside(*of_scene, points[:1], boxes, margin=float(drawn.rng.choice([0, 0.01, 1])))
    yield Near(*of_scene, points, reach, boxes[..., :2])
    yield Touching(*of_scene, priors, boxes)
    turned = oriented(drawn, boxes)
    yield from (Inside(*of_scene, points, turned), Inside(*of_scene, points, turned, closed=True))
    yield Inside(*of_scene, points[:1], turned, margin=float(drawn.rng.choice([0, 0.01, 1])))


def test_pairs_are_listed_as_the_mask_of_all_pairs_has_them():
    for seed in range(200):
        for relation in relations(Drawn(seed)):
            with compiled.without_kernels():
                expected = relation.backend.listed(relation)
            images, n_priors, n_gts = relation.shape
            view = TileView(relation.backend, Tile(0, images, 0, n_priors), relation.gt_valid)
            image, gt, prior = np.nonzero(relation.of(TilePairs(view)))
            for found in (relation.backend.listed(relation), expected):
                np.testing.assert_array_equal(found.row[0], image * n_gts + gt)
                np.testing.assert_array_equal(found.index[0, :, 0], prior)


def test_no_list_outgrows_the_budget():
    backend = load_backend("numpy")
    every = (relation for seed in range(100) for relation in relations(Drawn(seed)))
    relation = next(one for one in every if backend.listed(one).row.size > 1)
    pairs = backend.listed(relation).row.size
    for wanted in (pairs, pairs - 1):
        with memory_budget(wanted * LISTED * LIVE_TEMPORARIES * relation.points.dtype.itemsize):
            found = backend.listed(relation)
            with compiled.without_kernels():
                portable = backend.listed(relation)
        assert (found is None) == (portable is None) == (wanted < pairs)


def test_the_smallest_of_lists_are_those_of_the_portable_version():
    backend = load_backend("numpy")
    for seed in range(200):
        rng = np.random.default_rng(seed)
        counts = rng.integers(0, 12, rng.integers(0, 6))
        values = rng.integers(0, 5, counts.sum()).astype(rng.choice(["f4", "f8"]))
        for k in (1, 3, 20):
            expected = ArrayBackend.k_smallest_of_lists(backend, values, counts, k)
            for one, other in zip(backend.k_smallest_of_lists(values, counts, k), expected, strict=True):
                np.testing.assert_array_equal(one, other, strict=True)


def test_the_smallest_of_rows_are_those_of_a_stable_sort():
    backend = load_backend("numpy")
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.choice(
            [0, 1, 2, -1, np.inf, np.nan if seed % 3 == 0 else 1], (2, 3, int(rng.integers(1, 40)))
        )
        k = int(rng.integers(1, x.shape[-1] + 1))
        order = np.argsort(x, axis=-1, kind="stable")[..., :k]
        value, index = backend.k_smallest(x.astype(np.float32), k)
        np.testing.assert_array_equal(index, order)
        np.testing.assert_array_equal(value, np.take_along_axis(x, order, axis=-1))


@pytest.mark.parametrize("k", [compiled.MOST_INSERTED, 10**6])
def test_of_more_nearest_than_are_kept_in_order_none_are_found_by_insertion(k):
    """A loop that inserts each into a row of all priors takes their square: minutes for one image."""
    points = np.random.default_rng(0).uniform(0, 99, (1, 200, 2)).astype(np.float32)
    eligible = np.ones((1, 200), dtype=bool)
    distances = PointDistances(
        backend=load_backend("numpy"), points=points, centers=points[:, :3], eligible=eligible
    )
    found = compiled.k_nearest(distances, k, [slice(0, 150), slice(150, 200)], lambda: 1)
    assert (found is None) == (k > compiled.MOST_INSERTED)


def test_broken_rows_are_found_as_by_the_portable_version():
    backend = load_backend("numpy")
    for seed in range(100):
        x = Drawn(seed).priors
        got = backend.bounded_rows(x, 1e18)
        with compiled.without_kernels():
            expected = backend.bounded_rows(x, 1e18)
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)


def test_blocks_whose_best_is_kept_may_be_of_any_length(monkeypatch):
    drawn = Drawn(BUSY)
    drawn.priors = drawn.boxes(3000, ())
    drawn.valid["prior_valid"] = np.ones(3000, np.bool_)
    for remembered in (1, 20, 100):
        monkeypatch.setattr(compiled, "BLOCKS_REMEMBERED", remembered)
        assigner = ac.MaxIoUAssigner(0.5, 0.4)
        got = assigner.assign(drawn.priors, drawn.gt_bboxes, **drawn.valid)
        with compiled.without_kernels():
            expected = assigner.assign(drawn.priors, drawn.gt_bboxes, **drawn.valid)
        assert_same_bits(got, expected)


def assembly(library):
    """Give what a loop was compiled to. Of one that was loaded from disk, `inspect_asm` has nothing."""
    return str(library._codegen._tm.emit_assembly(library._get_module_for_linking()))


def test_a_fused_product_is_seen_in_what_was_compiled_and_in_what_was_loaded(tmp_path):
    (tmp_path / "fused.py").write_text(
        "import numba\n"
        "@numba.njit('f4(f4, f4, f4)', cache=True, fastmath={'contract'})\n"
        "def fused(a, b, c):\n"
        "    return a * b + c\n"
    )
    for loaded in (0, 1):
        fused = runpy.run_path(str(tmp_path / "fused.py"))["fused"]
        [signature] = fused.signatures
        assert fused.stats.cache_hits.total() == loaded
        assert any(name in assembly(fused.overloads[signature].library) for name in FUSED)


def test_no_product_is_fused_with_a_sum():
    for seed in range(10):
        for call in CALLS:
            call(Drawn(seed))
    loops = [
        getattr(kernels, name) for name in kernels.__all__ if hasattr(getattr(kernels, name), "signatures")
    ]
    assert len(loops) == 12
    of_float32_alone = kernels.most_similar_both_ways, kernels.k_most_similar
    for loop in loops:
        # One for each dtype: the time they take to compile is waited for.
        assert len(loop.signatures) == (1 if loop in of_float32_alone else 2), loop.__name__
        for signature in loop.signatures:
            code = assembly(loop.overloads[signature].library)
            assert "mul" in code or loop is kernels.rows_within
            assert not any(name in code for name in FUSED), loop.__name__


def test_a_calculator_of_the_users_own_is_asked_itself():
    class Own:
        calls = 0

        def __call__(self, b1, b2, mode="iou", is_aligned=False):
            Own.calls += 1
            return ac.BboxOverlaps2D()(b1, b2, mode, is_aligned)

    drawn = Drawn(BUSY)
    got = ac.MaxIoUAssigner(0.5, 0.4, iou_calculator=Own()).assign(drawn.priors, drawn.gt_bboxes)
    assert Own.calls
    assert_same_bits(got, ac.MaxIoUAssigner(0.5, 0.4).assign(drawn.priors, drawn.gt_bboxes))


def test_pytorch_has_them_on_its_own_memory_unless_a_gradient_is_asked_for(monkeypatch):
    asked = []
    answer = compiled.overlaps_of_boxes
    monkeypatch.setattr(compiled, "overlaps_of_boxes", lambda *args: asked.append(1) or answer(*args))
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 1, 5, 6]])
    plain = ac.BboxOverlaps2D()(boxes, boxes)
    assert len(asked) == 1
    boxes.requires_grad_()
    attached = ac.BboxOverlaps2D()(boxes, boxes)
    assert len(asked) == 1
    assert attached.requires_grad
    assert torch.equal(plain, attached)


# -- Where they are called ----------------------------------------------------------------------------------------------


def answer():
    return atss(Drawn(BUSY)).gt_inds.tobytes() + max_iou(Drawn(BUSY)).gt_inds.tobytes()


def test_threads_may_call_them_at_once():
    expected = answer()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: answer(), range(40))) == {expected}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*fork.*:RuntimeWarning")
def test_a_forked_worker_may_call_them_after_any_call():
    expected = answer()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap_async(answer, [()] * 4).get(timeout=60) == [expected] * 4


def run(code, **environment):
    script = textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


EXAMPLE = """
import numpy as np
import assigncore as ac
priors = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]], dtype=np.float32)
result = ac.MaxIoUAssigner(0.7, 0.3).assign(priors, np.array([[0, 0, 10, 9]], dtype=np.float32))
assert result.gt_inds.tolist() == [1, -1, 0]
"""


# Of all loops the quickest to compile.
QUESTION = """
import numpy as np
from assigncore import load_backend
rows = np.array([[0, 1], [np.nan, 0]], dtype=np.float32)
assert load_backend("numpy").bounded_rows(rows, 1e18)[1].tolist() == [True, False]
"""


def test_numba_is_imported_by_the_first_question_alone():
    run("import sys, assigncore, assigncore.adapters.backends.numpy\nassert 'numba' not in sys.modules")
    run("import sys\n" + EXAMPLE + "assert 'numba' in sys.modules")


def test_all_works_without_numba():
    run(
        "import sys\nsys.modules['numba'] = None\n"
        + EXAMPLE
        + "from assigncore.adapters.kernels import compiled\nassert not compiled.answers_by_kernels()"
    )


def test_where_nothing_can_be_written_they_are_compiled_anew_with_a_word():
    done = run(
        "import numba.core.caching as caching\ncaching.CacheImpl._locator_classes = []\n"
        + QUESTION
        + "from assigncore.adapters.kernels import compiled\nassert compiled.answers_by_kernels()"
    )
    assert done.stderr.count("compiled anew in each process") == 1


def test_what_is_compiled_is_kept_on_disk(tmp_path):
    code = (
        QUESTION
        + "from assigncore.adapters.kernels import loops as kernels\nprint(sum(kernels.rows_within.stats.cache_hits.values()))"
    )
    hits = [run(code, NUMBA_CACHE_DIR=str(tmp_path)).stdout.strip() for _ in range(2)]
    assert hits == ["0", "1"]
