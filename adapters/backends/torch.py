"""PyTorch: eager on any device, and under ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from types import ModuleType
from typing import Any, cast

import array_api_compat.torch as compat
import numpy as np
import torch
from torch.utils import _pytree as pytree

from assigncore.adapters.backends.numpy import moved_axes
from assigncore.adapters.backends.plain_tensors import are_plain, is_recorded, unlike_arrays, what_hides
from assigncore.adapters.backends.torch_matching import device_solver, match_on_device
from assigncore.backend import Array, ArrayBackend, Function, get_backend, load_backend
from assigncore.backend.fast_path import numpy_is_wanted
from assigncore.backend.memory import CACHED_PAIRS
from assigncore.boxes.formulas import Mode
from assigncore.pairs.listed import ListedPairs
from assigncore.pairs.relations import Relation
from assigncore.result import AssignResult

__all__ = ["TorchBackend"]


def _take(x: torch.Tensor, indices: torch.Tensor, /, *, axis: int) -> torch.Tensor:
    return torch.index_select(x, axis, indices)


def _take_along_axis(x: torch.Tensor, indices: torch.Tensor, /, *, axis: int = -1) -> torch.Tensor:
    """Gather from what is broadcast by its lengths of 1; which others are equal no compiler must know."""
    axis %= x.ndim
    lengths = zip(x.shape, indices.shape, strict=True)
    common = [there if here == 1 else here for here, there in lengths]
    own = [[*common[:axis], y.shape[axis], *common[axis + 1 :]] for y in (x, indices)]
    return torch.gather(x.expand(own[0]), axis, indices.expand(own[1]))


def _moveaxis(x: torch.Tensor, source: int, destination: int, /) -> torch.Tensor:
    return x.permute(moved_axes(x.ndim, source, destination))


def _result_type(*arrays_and_dtypes: Any) -> torch.dtype:
    if all(isinstance(x, torch.dtype) for x in arrays_and_dtypes):
        return cast("torch.dtype", reduce(torch.promote_types, arrays_and_dtypes))
    return compat.result_type(*arrays_and_dtypes)


def _namespace() -> ModuleType:
    """Return array-api-compat's namespace, but for what costs too much or cannot be compiled.

    Making negative indices count from the end, which the standard leaves undefined, costs more than the
    gathering itself. The common dtype of float32 and a half precision is found by an operation on tensors,
    which ``torch.compile`` refuses, and ``torch.vmap`` moves no axis but by a permutation.
    """
    own = ModuleType(compat.__name__, compat.__doc__)
    ours = {
        "moveaxis": _moveaxis,
        "result_type": _result_type,
        "take": _take,
        "take_along_axis": _take_along_axis,
    }
    vars(own).update({**vars(compat), **ours})
    return own


class TorchBackend(ArrayBackend):
    """Primitives of PyTorch."""

    name = "torch"
    array_types = (torch.Tensor, torch.nn.Parameter)

    def __init__(self) -> None:
        super().__init__(_namespace())

    def unfit(self, x: Array) -> str:
        """Name the tensors that no primitive reads element by element."""
        return "" if self.is_traced(x) else unlike_arrays(x)

    def is_traced(self, x: Array) -> bool:
        """Whether ``torch.compile`` or ``torch.export`` is tracing."""
        return torch.compiler.is_compiling()

    def reads_host(self, x: Array) -> bool:
        """Whether the tensor is an eager one in the host's memory, and no transformation's."""
        return not torch.compiler.is_compiling() and are_plain((x,))

    def surely_all(self, mask: Array) -> bool:
        """Let NumPy look at the same memory, which is several times as quick."""
        return self.reads_host(mask) and bool(mask.numpy().all())

    def device_of(self, x: Array) -> Any:
        """Return the tensor's device."""
        return x.device

    def pairs_per_tile(self, x: Array) -> int:
        """Return a tile that fits the cache on the host, the memory budget elsewhere."""
        within_budget = self.most_pairs(x)
        return min(within_budget, CACHED_PAIRS) if x.device.type == "cpu" else within_budget

    def at_least(self, x: Array, bound: float, *, own: bool = False) -> Array:
        """Clamp: no scalar is made a tensor."""
        return x.clamp_(min=bound) if own else torch.clamp(x, min=bound)

    def quotient(self, x: Array, y: Array, *, own: bool = False) -> Array:
        """Divide in float64 where a compiler makes kernels for a device: their division is approximate.

        Of a quotient of float32 numbers in float64 the nearest float32 is that of the exact quotient.
        """
        if x.dtype == torch.float32 and x.device.type not in ("cpu", "mps") and self.is_traced(x):
            return (x.double() / y.double()).float()
        return super().quotient(x, y, own=own)

    def rounds_from_double(self, x: Array) -> bool:
        """Whether the tensor is one of the host."""
        return cast("bool", x.device.type == "cpu")

    def matrix_product(self, x: Array, y: Array) -> Array:
        """Multiply outside a trainer's autocast, which would let the product run in half precision."""
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return x @ y
        return x @ y

    def on_numpy(self, *arrays: Array) -> list[np.ndarray[Any, Any]] | None:
        """Return views of eager tensors in the host's memory, and copies of those in a dtype NumPy lacks."""
        if torch.compiler.is_compiling() or not numpy_is_wanted() or not are_plain(arrays):
            return None
        return [(x.float() if x.dtype == torch.bfloat16 else x).detach().numpy() for x in arrays]

    def host_threads(self) -> int:
        """Follow PyTorch's setting, which is 1 in a data loader's worker."""
        return min(super().host_threads(), torch.get_num_threads())

    def stop_gradient(self, x: Array) -> Array:
        """Detach."""
        return x.detach()

    def max_and_argmax(self, x: Array, axis: int) -> tuple[Array, Array]:
        """Take both from one reduction, which is documented to return the first index."""
        best, place = torch.max(x, dim=axis)
        return best, place

    def bounded_rows(self, x: Array, limit: float) -> tuple[Array, Array]:
        """Let NumPy look on the host."""
        host = self._without_gradient(x)
        if host is None:
            return super().bounded_rows(x, limit)
        rows, finite = load_backend("numpy").bounded_rows(host[0], limit)
        return torch.from_numpy(rows), torch.from_numpy(finite)

    def overlaps_of_boxes(self, b1: Array, b2: Array, mode: Mode) -> Array:
        """Let NumPy compute on the host."""
        host = self._without_gradient(b1, b2)
        if host is None:
            return super().overlaps_of_boxes(b1, b2, mode)
        return torch.from_numpy(load_backend("numpy").overlaps_of_boxes(host[0], host[1], mode))

    def listed(self, relation: Relation) -> ListedPairs | None:
        """Let NumPy list them on the host."""
        host, numpy = self._without_gradient(*relation.arrays.values()), load_backend("numpy")
        if host is None:
            return None
        found = numpy.listed(relation.on(numpy, host))
        if found is None:
            return None
        return ListedPairs(self, found.shape, *(torch.from_numpy(x) for x in (found.row, found.index)))

    def _without_gradient(self, *arrays: Array) -> list[np.ndarray[Any, Any]] | None:
        """Return the arrays as NumPy's where it can compute, and no gradient is asked for."""
        if torch.is_grad_enabled() and any(x.requires_grad for x in arrays):
            return None
        return self.on_numpy(*arrays)

    def k_smallest(self, x: Array, k: int) -> tuple[Array, Array]:
        """Select on keys that join a float32 value's ordered bits with its index, so that none are equal.

        The bits of a float, read as an integer, are in the order of the floats from 0 up and in the reverse
        order below. Adding 0 turns the negative zero, whose bits differ from zero's, into zero.
        """
        # What torch.jit.trace records of bits that are read otherwise cannot be run.
        if x.dtype != torch.float32 or k >= x.shape[-1] or is_recorded():
            return super().k_smallest(x, k)
        bits = (x + 0.0).view(torch.int32).to(torch.int64)
        ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
        counted = torch.arange(x.shape[-1], device=x.device)
        keys = torch.topk((ordered << 32) | counted, k, dim=-1, largest=False, sorted=True)[0]
        index = keys & 0xFFFFFFFF
        return torch.gather(x, -1, index), index

    def scatter_max(self, index: Array, values: Array, size: int, *, fill: float = 0) -> Array:
        """Scatter in place of comparing every place with every entry."""
        # With a place more than is asked for, as for counts: where all of it is read as it was filled, the
        # compiler of PyTorch 2.13 may read it on the CPU before anything is written to it.
        out = torch.full((index.shape[0], size + 1), fill, dtype=values.dtype, device=index.device)
        return out.scatter_reduce(1, index, values, reduce="amax")[:, :size]

    def count(self, index: Array, size: int) -> Array:
        """Scatter ones; integer sums are exact in any order."""
        inside = (index >= 0) & (index < size)
        out = torch.zeros((index.shape[0], size + 1), dtype=index.dtype, device=index.device)
        return out.scatter_add(1, torch.where(inside, index, size), inside.to(index.dtype))[:, :size]

    def linear_sum_assignment(self, cost: Array) -> Array:
        """Solve on the device by ``torch_linear_assignment`` where that is a CUDA one and it is installed."""
        if self.is_traced(cost):
            return torch.ops.assigncore.linear_sum_assignment(cost)
        solver = device_solver() if cost.is_cuda else None
        return super().linear_sum_assignment(cost) if solver is None else match_on_device(cost, solver)

    def iterate(
        self,
        step: Callable[..., tuple[Array, ...]],
        state: tuple[Array, ...],
        most: int,
        *,
        done: Callable[[tuple[Array, ...]], Array],
    ) -> tuple[Array, ...]:
        """Let a compiler keep the loop on the host, where none waits; elsewhere it unrolls it."""
        if not self.is_traced(state[0]) or state[0].device.type != "cpu":
            return super().iterate(step, state, most, done=done)

        def going(count: Array, *state: Array) -> Array:
            return (count < most) & ~torch.all(done(state))

        def advance(count: Array, *state: Array) -> tuple[Array, ...]:
            # What comes back may not be what went in, which a step may leave as it is.
            return (count + 1, *(x.clone() for x in step(*state)))

        # Not public yet: a version without it fails here alone.
        loop = cast("Callable[..., tuple[Array, ...]]", torch._higher_order_ops.while_loop)
        count = torch.zeros((), dtype=torch.int64, device=state[0].device)
        return loop(going, advance, (count, *state))[1:]

    def compile(self, function: Function) -> Function:
        """Compile with no graph break allowed."""
        return cast("Function", torch.compile(function, fullgraph=True))

    def from_numpy(self, x: np.ndarray[Any, Any], device: Any = None) -> Array:
        """Return a tensor that shares the memory of `x` where it can."""
        x = np.asarray(x)  # What NumPy reduces to one number is no array.
        writeable = x if x.flags.writeable else x.copy()
        # Transposed memory may stay as it is; strides below 0 must not.
        whole = writeable if writeable.flags.forc else np.ascontiguousarray(writeable)
        return torch.from_numpy(whole).to(device)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """Return the values, as float32 where NumPy lacks the dtype.

        Raises
        ------
        RuntimeError
            If a transformation hides the values, or would take those of this call for those of all.
        """
        if hidden := what_hides(x):
            raise RuntimeError(
                f"a matching is solved on the host, which cannot read values under {hidden}; "
                "call the assigner outside of it, or compile the whole with torch.compile"
            )
        host = x.detach().cpu()
        return cast("np.ndarray[Any, Any]", (host.float() if host.dtype == torch.bfloat16 else host).numpy())


@torch.library.custom_op("assigncore::linear_sum_assignment", mutates_args=())
def _linear_sum_assignment(cost: torch.Tensor) -> torch.Tensor:
    """Let a compiler see the matching as one operation of its graph."""
    return cast("torch.Tensor", get_backend(cost).linear_sum_assignment(cost))


@_linear_sum_assignment.register_fake
def _(cost: torch.Tensor) -> torch.Tensor:
    return cost.new_empty(cost.shape[:-1], dtype=torch.int64)


# What a checkpoint holds of it is tensors and numbers, so that torch.load(weights_only=True) may make one.
torch.serialization.add_safe_globals([AssignResult])
pytree.register_pytree_node(
    AssignResult,
    AssignResult.tree_flatten,
    lambda children, keys: AssignResult.tree_unflatten(cast("Any", keys), list(children)),
    serialized_type_name="assigncore.AssignResult",
)
