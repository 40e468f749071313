"""Whether NumPy sees a tensor's true values: the one place that asks PyTorch by names that are its own.

Under PyTorch's transformations a tensor may be a wrapper whose own memory says nothing, and be handed to
NumPy without a complaint. Where a name is missing in some version, no tensor counts as plain: the portable
primitives compute, only slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

__all__ = ["are_plain", "is_recorded", "unlike_arrays", "what_hides"]

PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)


def _questions() -> tuple[Callable[[], Any], ...]:
    """Return what tells that something watches or transforms calls: each is false where nothing does."""
    try:
        return (
            torch._C._len_torch_dispatch_stack,  # modes: fake tensors, make_fx, counters of operations
            torch._C._functorch.peek_interpreter_stack,  # vmap, grad, functionalize
            torch._C._get_tracing_state,  # torch.jit.trace
        )
    except AttributeError:
        return (lambda: True,)


_QUESTIONS = _questions()


def are_plain(tensors: Iterable[torch.Tensor]) -> bool:
    """Tell whether all are eager tensors of the host that have their values where NumPy looks for them.

    It is not asked while a compiler traces.
    """
    for question in _QUESTIONS:
        if question():
            return False
    return all(map(_is_plain, tensors))


def _is_plain(x: torch.Tensor) -> bool:
    if type(x) not in PLAIN_TYPES or not x.is_cpu or x.layout is not torch.strided or x.is_quantized:
        return False
    return not (x.is_nested or x.is_conj() or x.is_neg()) and (x.numel() == 0 or x.data_ptr() != 0)


def unlike_arrays(x: torch.Tensor) -> str:
    """Say what an eager tensor is that is no array of numbers; empty where it is one."""
    if x.is_nested:
        return "a nested tensor: pad it, and say by gt_valid or prior_valid which rows are padding"
    if x.layout is not torch.strided:
        return f"a tensor of layout {str(x.layout).removeprefix('torch.')}: make it dense by to_dense()"
    if x.is_quantized:
        return "a quantised tensor: give its numbers, by dequantize()"
    if type(x).__name__ == "MaskedTensor":
        return "a masked tensor: give its data, and say by gt_valid or prior_valid which rows count"
    return ""


def is_recorded() -> bool:
    """Tell whether ``torch.jit.trace`` records what is computed."""
    return len(_QUESTIONS) > 1 and torch._C._get_tracing_state() is not None


def what_hides(x: torch.Tensor) -> str:
    """Name the transformation that hides a tensor's values from the host; empty where none does."""
    if is_recorded():
        return "torch.jit.trace"
    if len(_QUESTIONS) > 1 and torch._C._functorch.peek_interpreter_stack() is not None:
        return "torch.func's transformations"
    if type(x) not in PLAIN_TYPES and isinstance(x, FakeTensor):
        return "FakeTensorMode"
    return "make_fx" if get_proxy_mode() is not None else ""
