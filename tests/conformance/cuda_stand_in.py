"""A stand-in for torch.cuda where there is no device: enough of it to tell whether the suite uses it well.

Operations are seen as a device would see them, one by one. What waits is reading a value, a shape that depends
on values, and bringing numbers of Python there. A graph holds the operations that ran during its capture, whose
results are nothing until it replays them into the same memory.
"""

from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from assigncore import load_backend
from assigncore.conformance.targets.libraries import Mode, TorchTarget

WAITING = {
    "aten._local_scalar_dense.default", "aten.nonzero.default", "aten.masked_select.default", "aten.lift_fresh.default",
}  # fmt: skip


def waits(function, arguments):
    masks = arguments[1] if str(function) == "aten.index.Tensor" else ()
    return str(function) in WAITING or any(x is not None and x.dtype is torch.bool for x in masks)


class Device(TorchDispatchMode):
    """Watches every operation, as the driver does."""

    def __init__(self):
        super().__init__()
        self.mode = 0
        self.modes = []
        self.capturing = None
        self.compiling = False
        self.warmed_up_aside = 0
        self.streams = ["main"]

    def get_device_name(self):
        return "stand-in"

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        if waits(function, arguments):
            if self.compiling:
                raise RuntimeError("Unsupported: data-dependent branching")
            if self.mode == 2:
                raise RuntimeError("called a synchronizing CUDA operation")
            if self.capturing is not None:
                self.capturing.broken = True
                raise RuntimeError("operation not permitted when stream is capturing")
        result = function(*arguments, **options)
        if self.capturing is not None:
            self.capturing.operations.append((function, arguments, options, result))
        elif self.streams[-1] == "side":
            self.warmed_up_aside += 1
        return result

    def set_sync_debug_mode(self, mode):
        self.mode = {"default": 0, "warn": 1, "error": 2}.get(mode, mode)
        self.modes.append(self.mode)

    def get_sync_debug_mode(self):
        return self.mode

    def synchronize(self):
        assert self.capturing is None

    def current_stream(self):
        return SimpleNamespace(wait_stream=lambda _: None)

    def Stream(self):  # noqa: N802
        return SimpleNamespace(wait_stream=lambda _: None)

    @contextmanager
    def stream(self, _):
        self.streams.append("side")
        try:
            yield
        finally:
            self.streams.pop()

    def compile(self, function, *, fullgraph):
        """Run what a compiler would trace: no value may be read."""
        assert fullgraph

        def compiled(**arrays):
            self.compiling = True
            try:
                return function(**arrays)
            finally:
                self.compiling = False

        return compiled

    def CUDAGraph(self):  # noqa: N802
        return Graph()

    @contextmanager
    def graph(self, graph):
        self.capturing = graph
        try:
            yield
        finally:
            self.capturing = None
            for *_, result in graph.operations:
                _spoil(result)
            if graph.broken:
                raise RuntimeError("operation failed due to a previous error during capture")


class Graph:
    """The operations of a capture."""

    def __init__(self):
        self.operations = []
        self.broken = False

    def replay(self):
        for function, arguments, options, result in self.operations:
            for old, new in zip(
                tree_leaves(result), tree_leaves(function(*arguments, **options)), strict=True
            ):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _spoil(result):
    """What a capture records has not run: its results hold anything."""
    for x in tree_leaves(result):
        if isinstance(x, torch.Tensor) and x._base is None and x.is_floating_point():
            x.fill_(float("nan"))


class StandInTarget(TorchTarget):
    """PyTorch's CUDA target, on the CPU under the stand-in's eyes."""

    @property
    def module(self):
        return SimpleNamespace(
            cuda=self.device_of_all(), zeros_like=torch.zeros_like, __version__="2",
            compiler=SimpleNamespace(reset=lambda: None), compile=self.device_of_all().compile,
        )  # fmt: skip

    def device_of_all(self):
        return DEVICES[-1]

    def unavailable(self):
        return ""

    def native_device(self):
        return "cpu"

    @contextmanager
    def running(self, *, x64):
        backend = load_backend("torch")
        hidden = mock.patch.multiple(backend, reads_host=lambda _: False, on_numpy=lambda *_: None)
        with hidden, DEVICES[-1]:
            yield

    def to_numpy(self, array):
        assert DEVICES[-1].mode != 2, "results are fetched while that is forbidden"
        return super().to_numpy(array)


DEVICES = []


@contextmanager
def stand_in():
    """Give a target and the device it runs on."""
    DEVICES.append(Device())
    try:
        yield StandInTarget("torch:cuda", "torch", "cuda", tuple(Mode)), DEVICES[-1]
    finally:
        DEVICES.pop()
