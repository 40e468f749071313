"""What the kit does, a function a task; which tasks there are says ``plan.py``.

Each returns figures: plain data for JSON, as ``record.py`` describes it.
"""

from __future__ import annotations

import fcntl
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

# The benchmarks' rows and dense baselines lie in the folder above.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import bare_checkout
from cases import Case, Inputs, Row
from rows import ROWS
from scenes import draw_boxes

from assigncore import build_assigner, load_backend
from assigncore.backend.memory import current_memory_budget
from assigncore.conformance import Mode, Part, get_target
from assigncore.conformance.goldens.cases import load_folder, load_packed
from assigncore.conformance.report.results import Agreement, Cell
from assigncore.conformance.suite import Plan
from assigncore.conformance.targets import cuda
from assigncore.conformance.targets.cuda import cuda_driver

__all__ = ["agreement", "environment", "matching", "peak", "times"]

Figures = dict[str, Any]
Run = Callable[[], Any]

PACKAGES = (
    "assigncore", "numpy", "scipy", "torch", "triton", "cupy", "jax", "numba", "array-api-compat",
    "array-api-strict", "torch-linear-assignment",
)  # fmt: skip
"""Packages whose versions are recorded; CuPy tells its own, since its package's name has CUDA's in it."""

MANY_PRIORS = 200_700
"""RetinaNet's anchors on an image of 800 x 1333 pixels, and about as many of any other layout."""

FEW_BOXES = 20
"""Ground truths that predictions over many priors are drawn for."""

MIN_ROUNDS, MAX_ROUNDS = 5, 50

WARM_UPS = 2

KEPT = 20
"""Failures and near ties of a task that are kept in full."""


def environment(device: str) -> Figures:
    """Describe the machine, the device and the libraries."""
    torch = import_module("torch")
    found = {name: number for name in PACKAGES if (number := _version(name))}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "versions": found,
        "device": cuda.describe_device(torch) if device == "cuda" else {"name": "host"},
        "driver": cuda_driver(),
    }


def _version(package: str) -> str:
    try:
        return str(import_module("cupy").__version__) if package == "cupy" else version(package)
    except (PackageNotFoundError, ImportError):
        return ""


def agreement(
    part: str,
    target: str,
    name: str,
    modes: Sequence[str],
    dtypes: Sequence[str] = ("float32",),
    cases: int = 0,
    seed: int = 0,
    limit: float = 60.0,
    folder: str = "",
) -> Figures:
    """Run a part of the conformance suite for one assigner, or one variant of the golden cases."""
    import_module("torch").set_num_threads(1)
    goldens, assigners = {}, (name,)
    if Part(part) is Part.GOLDENS:
        goldens = {name: load_folder(bare_checkout.PROJECT / folder, name) if folder else load_packed(name)}
        assigners = ()
    parts = (Part.LAWS, Part.PROMISES) if Part(part) is Part.LAWS else (Part(part),)
    plan = Plan(
        (get_target(target),), goldens, assigners, parts,
        tuple(map(Mode, modes)), tuple(dtypes), cases=cases, seed=seed, limit=limit,
    )  # fmt: skip
    return _counted([job.run() for job in plan.jobs() if job.share != "backends"])


def _counted(cells: Sequence[Cell]) -> Figures:
    results = [result for cell in cells for result in cell.results]
    near = [r for r in results if r.agreement is Agreement.NEAR_TIE]
    failures = [(cell, result) for cell in cells for result in cell.failures]
    return {
        "cases": len(results),
        "levels": dict(Counter(result.agreement.name.lower() for result in results)),
        "not_run": dict(Counter(cell.not_run for cell in cells if cell.not_run)),
        "failures": [
            {
                "case": f"{cell.mode.value} {cell.dtype} {result.case}".strip(),
                "message": _short(result.message),
            }
            for cell, result in failures[:KEPT]
        ],
        "near_ties": [{"case": r.case, "message": _short(r.message)} for r in near[:KEPT]],
    }


def _short(message: str) -> str:
    """Keep the ends of a long message: what went wrong stands at the beginning, where at the end."""
    told = " ".join(message.split())
    return told if len(told) <= 700 else f"{told[:200]} ... {told[-480:]}"


def peak(row: str, boxes: int, images: int, device: str, *, dense: bool, quick: bool) -> Figures:
    """Measure the allocator's peak during a call over many priors, ours or the dense loop's."""
    own = ROWS[row].quick() if quick else _large(ROWS[row])
    inputs = _crowded(own, boxes)
    arrays, shared = _on_device(inputs, device, images)
    if device != "cuda":
        call = _dense(own, inputs, shared, arrays) if dense else _ours(own, inputs, shared, arrays)
        call()
        return {"priors": _num_priors(inputs), "bytes": None, "budget": current_memory_budget()}
    torch = import_module("torch")
    call = _dense(own, inputs, shared, arrays) if dense else _ours(own, inputs, shared, arrays)
    try:
        call()
        extra: int | None = cuda.peak_memory(torch, call)
    except torch.OutOfMemoryError:
        extra = None
    return {"priors": _num_priors(inputs), "bytes": extra, "budget": current_memory_budget()}


def _crowded(row: Row, boxes: int) -> Inputs:
    """Draw one image, whose predictions know of the first ground truths alone: more take long to draw."""
    case = Case(row.image, boxes, 1)
    inputs = row.inputs(replace(case, boxes=min(boxes, FEW_BOXES)))
    gt_bboxes, gt_labels = draw_boxes(case.rng(), row.image, 1, boxes)
    gts = {"gt_bboxes": gt_bboxes, "gt_labels": gt_labels}
    return replace(inputs, per_image={**inputs.per_image, **gts})


def _large(row: Row) -> Row:
    """Return the row over an image so large that it has about `MANY_PRIORS` priors."""
    count = _num_priors(row.inputs(Case(row.image, 1, 1)))
    scale = (MANY_PRIORS / count) ** 0.5
    height, width = (round(side * scale) for side in row.image)
    return row if count == MANY_PRIORS else replace(row, image=(height, width))


def _num_priors(inputs: Inputs) -> int:
    return len(inputs.shared["priors"] if inputs.shared else inputs.per_image["pred_logits"][0])


def _on_device(inputs: Inputs, device: str, images: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Bring there the arrays of each image, one repeated to `images`, and those that images share."""
    torch = import_module("torch")

    def tensor(x: np.ndarray[Any, Any]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(x)).to(device)

    arrays = {name: tensor(x) for name, x in inputs.per_image.items()}
    if images > 1 and inputs.images == 1:
        arrays = {name: x.expand(images, *x.shape[1:]).contiguous() for name, x in arrays.items()}
    return arrays, {name: tensor(x) for name, x in inputs.shared.items()}


def _ours(row: Row, inputs: Inputs, shared: Mapping[str, Any], arrays: Mapping[str, Any]) -> Run:
    """Return the assigner's call: one image without a batch dimension, several as one batch."""
    assigner = build_assigner(row.assigner)
    images = len(next(iter(arrays.values())))
    given = {**shared, **({name: x[0] for name, x in arrays.items()} if images == 1 else arrays)}

    def assign() -> Any:
        return assigner.assign(**given, **inputs.static)

    return assign


def _dense(row: Row, inputs: Inputs, shared: Mapping[str, Any], arrays: Mapping[str, Any]) -> Run:
    """Return the loop that detectors contain: image by image, all pairs of one at once."""
    module, name = row.dense.split(".")
    dense = getattr(import_module(module), name)
    images = len(next(iter(arrays.values())))

    def loop() -> list[Any]:
        return [
            dense(**shared, **{name: x[i] for name, x in arrays.items()}, **inputs.static, **row.knobs)
            for i in range(images)
        ]

    return loop


def times(
    row: str,
    boxes: int,
    images: int,
    device: str,
    *,
    seconds: float,
    compiler: str,
    quick: bool,
    solvers: bool = False,
) -> Figures:
    """Time the dense loop and ours, eager, compiled and as a CUDA graph, in turns.

    With `solvers` it is a matching: eager alone, with SciPy on the host and on the device where that can be.
    """
    torch = import_module("torch")
    own = ROWS[row].quick() if quick else ROWS[row]
    inputs = own.inputs(Case(own.image, boxes, images))
    arrays, shared = _on_device(inputs, device)
    dense, eager = _dense(own, inputs, shared, arrays), _ours(own, inputs, shared, arrays)
    due = np.stack([_gt_inds(output[0]) for output in dense()])
    runs: dict[str, Run] = {"dense loop": dense}
    subjects: dict[str, Figures] = {"dense loop": {}}
    makers = _matchings(eager) if solvers else _dense_makers(torch, eager, compiler, device)
    for name, make in makers.items():
        try:
            run, result = make()
            found = _gt_inds(result.gt_inds).reshape(due.shape)
            subjects[name] = {"differs": int(np.sum(found != due)), "of": int(due.size)}
            runs[name] = run
        except Exception as error:
            subjects[name] = {"error": _short(f"{type(error).__name__}: {error}")}
    with _alone() if device == "cuda" else nullcontext():
        for name, run in runs.items():
            for _ in range(WARM_UPS if device == "cuda" else 1):
                run()
            if device == "cuda":
                subjects[name] |= _conduct(torch, name, run, solvers=solvers)
        measured = _in_turns(torch, runs, device, seconds)
    for name, figures in measured.items():
        subjects[name] |= figures
    return {"priors": _num_priors(inputs), "boxes": boxes, "images": images, "subjects": subjects}


def matching(row: str, boxes: int, images: int, device: str, *, seconds: float, quick: bool) -> Figures:
    """Time a matching, costs and solver together: SciPy's loop, ours on the host and on the device."""
    return times(row, boxes, images, device, seconds=seconds, compiler="", quick=quick, solvers=True)


def _gt_inds(x: Any) -> np.ndarray[Any, Any]:
    return np.asarray(load_backend("torch").to_numpy(x)).astype(np.int64)


def _dense_makers(
    torch: Any, eager: Run, compiler: str, device: str
) -> dict[str, Callable[[], tuple[Run, Any]]]:
    """List how each way to run ours is made ready; a maker returns the way and a first result."""

    def compiled() -> tuple[Run, Any]:
        run = torch.compile(eager, fullgraph=True, backend=compiler)
        return run, run()

    def graph() -> tuple[Run, Any]:
        recorded, outputs = cuda.record_graph(torch, eager, {})
        recorded.replay()
        cuda.wait(torch)
        return recorded.replay, outputs

    makers = {"eager": lambda: (eager, eager()), "compiled": compiled}
    return makers | ({"CUDA graph": graph} if device == "cuda" else {})


def _matchings(eager: Run) -> dict[str, Callable[[], tuple[Run, Any]]]:
    """List the solvers that are there."""
    adapter = import_module("assigncore.adapters.backends.torch")

    def on_host() -> Any:
        kept, adapter.device_solver = adapter.device_solver, lambda: None
        try:
            return eager()
        finally:
            adapter.device_solver = kept

    makers: dict[str, Callable[[], tuple[Run, Any]]] = {"SciPy": lambda: (on_host, on_host())}
    if adapter.device_solver() is not None:
        makers["torch-linear-assignment"] = lambda: (eager, eager())
    return makers


def _conduct(torch: Any, name: str, run: Run, *, solvers: bool) -> Figures:
    """Count what a call asks of the device, and tell whether the host waits."""
    figures: Figures = {}
    try:
        figures["launches"] = cuda.count_launches(torch, run)
    except RuntimeError as error:
        figures["launches"] = None
        figures["launches_why"] = str(error)[:200]
    if name != "dense loop" and not solvers:
        try:
            with cuda.forbidden_synchronisation(torch):
                run()
            figures["waits"] = ""
        except cuda.Synchronised as error:
            figures["waits"] = str(error)[:200]
    return figures


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the device while it is measured: others prepare, compile say, and wait for their turn."""
    with open(Path(tempfile.gettempdir()) / "assigncore-measures.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _in_turns(torch: Any, runs: Mapping[str, Run], device: str, seconds: float) -> dict[str, Figures]:
    """Time each once a round, by the device's events and by the wall, until the time is up."""
    events: dict[str, list[float]] = {name: [] for name in runs}
    walls: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    for turn in range(MAX_ROUNDS):
        if turn >= MIN_ROUNDS and time.perf_counter() - start > seconds:
            break
        for name in np.random.default_rng(turn).permutation(list(runs)):
            before = time.perf_counter()
            if device == "cuda":
                cuda.wait(torch)
                before = time.perf_counter()
                events[name].append(cuda.time_by_events(torch, runs[name]))
            else:
                runs[name]()
            walls[name].append(time.perf_counter() - before)
    base = walls["dense loop"]
    return {
        name: {
            "wall": _spread(walls[name]),
            "device": _spread(events[name]) if events[name] else None,
            "speed_up": statistics.median(b / o for b, o in zip(base, walls[name], strict=True)),
        }
        for name in runs
    }


def _spread(values: Sequence[float]) -> Figures:
    """Give the median of seconds, the quartiles about it, and how many there were."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {"median": middle, "low": low, "high": high, "rounds": len(values)}
