"""The golden cases, replayed on every array library that runs here.

All of them are in ``tests/data/goldens``, the small ones among them in the package too. Every case in every mode,
however long that takes: ``assigncore conformance --backend jax --goldens tests/data/goldens``.
"""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from assigncore.conformance import (
    REPLAYS,
    Mode,
    compare_case,
    get_target,
    load_folder,
    load_packed,
    run_call,
    run_cell,
    variants,
)
from assigncore.conformance.goldens import cases as goldens_module
from assigncore.conformance.goldens.batching import batch_calls, image_of_batch
from assigncore.conformance.goldens.cases import read_archives, variants_of_folder
from assigncore.conformance.goldens.pack import MAX_ARCHIVE_BYTES

FOLDER = Path(__file__).parent / "data" / "goldens"
# On the strict library's second device, where an array that is made on the default one does not pass.
BACKENDS = ("numpy", "numpy:kernels", "torch", "jax", "array_api_strict:device1")
BATCHED = ("MaxIoUAssigner", "ApproxMaxIoUAssigner", "GridAssigner")

each_variant = pytest.mark.parametrize("variant", REPLAYS)
each_backend = pytest.mark.parametrize("backend", BACKENDS)

TORCH_COMPILED = ("edge_73_float32", "ignore_rpn_float32", "neg_tuple_float64")
"""Compiling takes PyTorch several seconds, and every case is a program of its own. These have between them
thresholds that are met exactly, ignore regions, both forms of the negative threshold, both dtypes, and
low-quality matches on and off. The batch beside them adds images without ground truths and without priors."""


MATCHERS_COMPILED = {
    "HFDeimv2": "six_layers_float32",
    "HFGroundingDino": "some_empty_float32",
    "HFRfDetr": "groups2_float32",
    "HFMaskFormer": "uneven_size_float32",
    "TVFCOS": "like_areas_float32",
    "TVRoIHeads": "four_images_float32",
    "HFConditionalDetr": "more_gts_float32",
    "HFDFine": "more_gts_float32",
    "HFDabDetr": "config_defaults_float32",
    "HFDeformableDetr": "nan_forced_float32",
    "HFDetr": "nan_forced_float32",
    "HFEomt": "more_gts_float32",
    "HFEomtDinov3": "more_gts_float32",
    "HFLwDetr": "groups3_float32",
    "HFMask2Former": "mask_only_float32",
    "HFOneFormer": "mask_only_float32",
    "HFRTDetr": "more_gts_float32",
    "HFRTDetrV2": "more_gts_float32",
    "HFVideomt": "more_gts_float32",
    "TVMatcher": "one_gt_float32",
    "TVRPN": "some_empty_float32",
    "TVRetinaNet": "some_empty_float32",
    "TVSSD": "some_empty_float32",
    "TVSSDMatcher": "more_gts_float32",
}
"""A case of each published matcher and step of a detector; between them layers and their union, tokens, groups, masks
resized and at points, NaN predictions, and images without objects."""

ORIENTED_POSES_AND_MASKS_COMPILED = {
    "MMPoseSimOTAAssigner": "rtmo_float32",
    "PoseSimOTAAssigner": "vis_float32",
    "RotatedIoU": "near_float64",
    "UltraProbIoU": "base_float32",
    "UltraPoseTaskAlignedAssigner": "base_float32",
    "UltraRotatedTaskAlignedAssigner": "obb_float32",
    "UltraSegTaskAlignedAssigner": "topk2_1_float32",
}

TO_MACHINE_CODE = (
    *("HFDeimv2", "HFDetr", "HFGroundingDino", "HFMask2Former", "HFMaskFormer", "HFRfDetr"),
    *("TVFCOS", "TVRoIHeads", "TVSSD", "TVSSDMatcher"),
    *("MMPoseSimOTAAssigner", "RotatedIoU", "UltraProbIoU", "UltraSegTaskAlignedAssigner"),
)
"""Those that PyTorch compiles to the end, which takes several times as long as recording the one graph. The others
make the same calls of the core with other knobs, or are made of two that are compiled apart."""

MOST_OF_A_SHAPE = 6
"""How many cases of one shape JAX replays."""

MOST_OF_A_MATCHER = 2
"""The same of a published matcher or step of a detector, whose calls of the core are the same for many."""


OF_EACH_FAMILY = (
    "MaxIoUAssigner",
    "ATSSAssigner",
    "RegionAssigner",
    "TaskAlignedAssigner",
    "HungarianAssigner",
)
"""Eagerly JAX compiles every operation for itself, which takes two to five times as long."""


def _target(name):
    target = get_target(name)
    if target.unavailable():
        pytest.skip(target.unavailable())
    return target


def _shapes(case):
    return case.variant, case.dtype, tuple((name, array.shape) for name, array in case.inputs.items())


def _worth_compiling(cases):
    """Pick a few cases of the commonest shapes, and an empty one.

    JAX compiles anew for each shape. Every case of MaxIoU is replayed as well, whose compiling is cheap.
    """
    groups = defaultdict(list)
    for case in cases:
        groups[_shapes(case)].append(case)
    empty = [case for case in cases if any(array.size == 0 for array in case.inputs.values())]
    most = MOST_OF_A_MATCHER if cases[0].variant.startswith(("HF", "TV")) else MOST_OF_A_SHAPE
    return max(groups.values(), key=len, default=[])[:most] + empty[:1]


def _check(variant, cases, backend, mode=Mode.EAGER):
    _check_on(_target(backend), variant, cases, mode)


def _check_on(target, variant, cases, mode):
    cell = run_cell(variant, cases, target, mode)
    assert len(cell.results) == len(cases) > 0
    failures = [f"{result.case}: {result.message}" for result in cell.failures]
    assert not failures, "\n".join([f"{len(failures)} of {len(cases)} cases disagree:", *failures])


@cache
def _all_cases(variant):
    return load_folder(FOLDER, variant)


@each_backend
@each_variant
def test_every_case_agrees(variant, backend):
    if backend != "jax":
        _check(variant, _all_cases(variant), backend)
        return
    packed = load_packed(variant) if variant in variants() else ()
    _check(variant, _worth_compiling(packed or _all_cases(variant)), backend, Mode.JIT)


@pytest.mark.parametrize("variant", OF_EACH_FAMILY)
def test_a_case_of_each_family_agrees_where_jax_is_eager(variant):
    _check(variant, _worth_compiling(load_packed(variant))[:1], "jax")


@pytest.mark.parametrize("variant", OF_EACH_FAMILY)
def test_cases_of_each_family_agree_where_jax_optimises_as_for_users(variant, optimising_jax):
    _check_on(optimising_jax, variant, _worth_compiling(load_packed(variant))[:3], Mode.JIT)


def test_every_packed_case_of_max_iou_agrees_under_jax_jit():
    _check("MaxIoUAssigner", load_packed("MaxIoUAssigner"), "jax", Mode.JIT)


@pytest.mark.parametrize("name", TORCH_COMPILED)
def test_max_iou_agrees_under_torch_compile(name):
    cases = [case for case in load_packed("MaxIoUAssigner") if case.name == name]
    assert len(cases) == 1
    _check("MaxIoUAssigner", cases, "torch", Mode.JIT)


@pytest.mark.parametrize(("variant", "name"), ORIENTED_POSES_AND_MASKS_COMPILED.items())
def test_oriented_boxes_poses_and_masks_agree_under_torch_compile(variant, name, tracing_torch):
    _check_compiled_by_torch(variant, name, tracing_torch)


@pytest.mark.parametrize(("variant", "name"), MATCHERS_COMPILED.items())
def test_every_matcher_of_transformers_and_torchvision_agrees_under_torch_compile(
    variant, name, tracing_torch
):
    _check_compiled_by_torch(variant, name, tracing_torch)


def _check_compiled_by_torch(variant, name, tracing_torch):
    cases = [case for case in _all_cases(variant) if case.name == name]
    assert len(cases) == 1
    if variant in TO_MACHINE_CODE:
        _check(variant, cases, "torch", Mode.JIT)
    else:
        _check_on(tracing_torch, variant, cases, Mode.JIT)


def _batches(variant):
    """Group the cases that can share a batch: those of the same knobs, dtype and number of approximations."""
    groups = defaultdict(list)
    for case in load_packed(variant):
        approxs = case.inputs.get("approxs")
        key = repr(sorted(case.init.items())), case.dtype, None if approxs is None else approxs.shape[1]
        groups[key].append(case)
    return [group for group in groups.values() if len(group) > 1]


def _check_batches(variant, batches, backend, mode=Mode.EAGER):
    target, replay, failures = _target(backend), REPLAYS[variant], []
    for cases in batches:
        calls = [replay.prepare(case) for case in cases]
        outputs = run_call(batch_calls(calls), target, mode)
        for image, (case, call) in enumerate(zip(cases, calls, strict=True)):
            got = image_of_batch(outputs, image, len(call.arrays["priors"]))
            outcome = compare_case(replay.expect(case), got)
            if not outcome.agreement.agrees:
                failures.append(f"{case.name}, image {image} of {len(cases)}: {outcome.message}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("backend", ["numpy", "numpy:kernels", "torch", "array_api_strict"])
@pytest.mark.parametrize("variant", BATCHED)
def test_cases_agree_as_images_of_a_padded_batch(variant, backend):
    batches = _batches(variant)
    assert len(batches) >= 2
    _check_batches(variant, batches, backend)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_padded_batch_agrees_when_compiled(backend):
    largest = max(_batches("MaxIoUAssigner"), key=len)
    counts = [(len(case.inputs["priors"]), len(case.inputs["gt_bboxes"])) for case in largest]
    assert any(priors == 0 for priors, _ in counts)
    assert any(gts == 0 for _, gts in counts)
    _check_batches("MaxIoUAssigner", [largest], backend, Mode.JIT)


COUNTS = {
    "ATSSAssigner": 51, "ATSSAssigner2x": 13, "ApproxMaxIoUAssigner": 33, "AscendMaxIoUAssigner": 39,
    "BatchATSSAssigner": 17, "BatchDynamicSoftLabelAssigner": 20, "BatchTaskAlignedAssigner": 21,
    "BatchYOLOv7Assigner": 13, "BboxOverlaps2D": 31, "CenterRegionAssigner": 33, "DynamicSoftLabelAssigner": 36,
    "GridAssigner": 45, "HFConditionalDetr": 10, "HFDFine": 12, "HFDabDetr": 4, "HFDeformableDetr": 23,
    "HFDeimv2": 15, "HFDetr": 26, "HFEomt": 7, "HFEomtDinov3": 7, "HFGroundingDino": 16, "HFLwDetr": 17,
    "HFMask2Former": 19, "HFMaskFormer": 19, "HFOneFormer": 19, "HFRTDetr": 18, "HFRTDetrV2": 12,
    "HFRfDetr": 17, "HFVideomt": 7, "HungarianAssigner": 36, "HungarianAssigner2x": 12,
    "MMPoseSimOTAAssigner": 12, "MaskHungarianAssigner": 20, "MaxIoUAssigner": 58, "MultiInstanceAssigner": 19, "PointAssigner": 26,
    "PoseSimOTAAssigner": 19,
    "RegionAssigner": 25, "RegionAssigner2x": 6, "RotatedIoU": 21, "SimOTAAssigner": 46,
    "SimOTAAssigner2x": 11, "TVFCOS": 22, "TVMatcher": 27, "TVRPN": 17, "TVRetinaNet": 16, "TVRoIHeads": 15,
    "TVSSD": 9, "TVSSDMatcher": 17, "TaskAlignedAssigner": 29, "TopkHungarianAssigner": 15,
    "UltraPoseTaskAlignedAssigner": 15, "UltraProbIoU": 20, "UltraRotatedTaskAlignedAssigner": 30,
    "UltraSegTaskAlignedAssigner": 18, "UltraTaskAlignedAssigner": 41, "UniformAssigner": 28,
}  # fmt: skip


def test_every_case_is_there_and_sound():
    counts = {}
    for variant in variants_of_folder(FOLDER):
        cases = _all_cases(variant)
        assert {case.variant for case in cases} == {variant}
        assert [case.name for case in cases] == sorted({case.name for case in cases})
        for case in cases:
            assert case.inputs, case
            assert bool(case.expected) is (case.raises is None), case
        counts[variant] = len(cases)
    assert counts == COUNTS
    assert sum(counts.values()) == 1230
    assert set(REPLAYS) <= set(counts)


def test_what_the_package_ships_are_the_same_cases():
    data = Path(goldens_module.__file__).parent / "data"
    for variant in variants():
        whole = {raw.meta["case"]: raw for raw in read_archives(FOLDER, variant)}
        for raw in read_archives(data, variant):
            twin = whole[raw.meta["case"]]
            assert json.dumps(raw.meta) == json.dumps(twin.meta)
            assert set(raw.arrays) == set(twin.arrays)
            for name, array in raw.arrays.items():
                assert (array.dtype, array.shape) == (twin.arrays[name].dtype, twin.arrays[name].shape)
                assert array.tobytes() == twin.arrays[name].tobytes(), (variant, raw.meta["case"], name)


@pytest.mark.parametrize("folder", [FOLDER, Path(goldens_module.__file__).parent / "data"])
def test_archives_stay_small(folder):
    assert max(path.stat().st_size for path in folder.glob("*.npz")) <= MAX_ARCHIVE_BYTES
