"""The golden cases, replayed on every array library that runs here.

The packed cases always run; the larger ones run where their folder is at hand: ``../shared/goldens`` beside
the repository, or the folder that ``ASSIGNCORE_GOLDENS`` names. Every case in every mode, however long that
takes: ``python -m assigncore.conformance --backend jax --mode eager --mode jit --goldens FOLDER``.
"""

import os
import shutil
from collections import defaultdict
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
from assigncore.conformance import goldens as goldens_module
from assigncore.conformance.batching import batch_calls, image_of_batch
from assigncore.conformance.pack import pack_folder

FOLDER = Path(
    os.environ.get("ASSIGNCORE_GOLDENS", Path(__file__).resolve().parents[2] / "shared" / "goldens")
)
BACKENDS = ("numpy", "torch", "jax", "array_api_strict", "array_api_strict:device1")
BATCHED = ("MaxIoUAssigner", "ApproxMaxIoUAssigner", "GridAssigner")

needs_folder = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no folder of golden cases at {FOLDER}")
each_variant = pytest.mark.parametrize("variant", REPLAYS)
each_backend = pytest.mark.parametrize("backend", BACKENDS)

TORCH_COMPILED = ("edge_73_float32", "ignore_rpn_float32", "neg_tuple_float64")
"""Compiling takes PyTorch several seconds, and every case is a program of its own. These have between them
thresholds that are met exactly, ignore regions, both forms of the negative threshold, both dtypes, and
low-quality matches on and off. The batch beside them adds images without ground truths and without priors."""


MOST_OF_A_SHAPE = 6
"""How many cases of one shape JAX replays eagerly."""


def _target(name):
    target = get_target(name)
    if target.unavailable():
        pytest.skip(target.unavailable())
    return target


def _shapes(case):
    return case.variant, case.dtype, tuple((name, array.shape) for name, array in case.inputs.items())


def _worth_compiling(cases):
    """Pick a few cases of the commonest shapes, and an empty one.

    JAX compiles each operation anew for each shape, from two seconds a case on even eagerly. Every case of
    MaxIoU is replayed under ``jax.jit``, where that costs a tenth.
    """
    groups = defaultdict(list)
    for case in cases:
        groups[_shapes(case)].append(case)
    empty = [case for case in cases if any(array.size == 0 for array in case.inputs.values())]
    return max(groups.values(), key=len, default=[])[:MOST_OF_A_SHAPE] + empty[:1]


def _check(variant, cases, backend, mode=Mode.EAGER):
    target = _target(backend)
    if backend == "jax" and mode is Mode.EAGER:
        cases = _worth_compiling(cases)
    cell = run_cell(variant, cases, target, mode)
    assert len(cell.results) == len(cases)
    failures = [f"{result.case}: {result.message}" for result in cell.failures]
    assert not failures, "\n".join([f"{len(failures)} of {len(cases)} cases disagree:", *failures])


@each_backend
@each_variant
def test_packed_cases_agree(variant, backend):
    _check(variant, load_packed(variant), backend)


@needs_folder
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "jax"])
@each_variant
def test_larger_cases_of_the_folder_agree(variant, backend):
    packed = {case.name for case in load_packed(variant)}
    larger = [case for case in load_folder(FOLDER, variant) if case.name not in packed]
    _check(variant, larger, backend)


def test_every_packed_case_of_max_iou_agrees_under_jax_jit():
    _check("MaxIoUAssigner", load_packed("MaxIoUAssigner"), "jax", Mode.JIT)


@pytest.mark.parametrize("name", TORCH_COMPILED)
def test_max_iou_agrees_under_torch_compile(name):
    cases = [case for case in load_packed("MaxIoUAssigner") if case.name == name]
    assert len(cases) == 1
    _check("MaxIoUAssigner", cases, "torch", Mode.JIT)


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


@pytest.mark.parametrize("backend", ["numpy", "torch", "array_api_strict"])
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


@needs_folder
def test_repacking_the_folder_changes_nothing(tmp_path):
    archives = Path(goldens_module.__file__).parent / "data"
    for path in archives.glob("*.npz"):
        shutil.copy(path, tmp_path / path.name)
    counts = pack_folder(FOLDER, tmp_path)
    assert tuple(sorted(counts)) == variants()
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (archives / path.name).read_bytes(), path.name


def test_shipped_archives_stay_small():
    archives = Path(goldens_module.__file__).parent / "data"
    assert max(path.stat().st_size for path in archives.glob("*.npz")) < 1_000_000
