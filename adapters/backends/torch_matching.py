"""Matching on a CUDA device, by the optional package ``torch-linear-assignment``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

import torch

from assigncore.backend.solver import non_finite_cost

__all__ = ["device_solver", "match_on_device"]

Solver = Callable[[torch.Tensor], torch.Tensor]


@cache
def device_solver() -> Solver | None:
    """Return the batched solver of ``torch_linear_assignment``, None where that is not installed."""
    try:
        solver: Solver = import_module("torch_linear_assignment").batch_linear_assignment
    except ImportError:
        return None
    return solver


def match_on_device(cost: torch.Tensor, solver: Solver) -> torch.Tensor:
    """Match rows with columns as ``ArrayBackend.linear_sum_assignment`` says.

    Parameters
    ----------
    cost : tensor (B, R, C)
        Costs; infinite where a pair is never matched.
    solver : callable
        Maps finite costs (B, R, C) to the column of each row (B, R), -1 where it has none.

    Returns
    -------
    tensor (B, R) of int64
        The column of each row, -1 where it has none.

    Notes
    -----
    One value comes to the host: whether all costs are sound. The solver knows no forbidden pairs. Theirs is
    a cost so large that one more of them outweighs all else, in float64, and they are dropped afterwards.
    """
    allowed = torch.isfinite(cost)
    if bool(torch.any(~allowed & (cost != float("inf")))):
        raise non_finite_cost(cost.cpu().numpy())
    exact = cost.double()
    low = torch.where(allowed, exact, float("inf")).amin(dim=(1, 2), keepdim=True)
    high = torch.where(allowed, exact, -float("inf")).amax(dim=(1, 2), keepdim=True)
    any_pair = low <= high
    low, spread = torch.where(any_pair, low, 0.0), torch.where(any_pair, high - low, 0.0)
    outweighs = (spread + 1.0) * (min(cost.shape[1:]) + 1)
    column = solver(torch.where(allowed, exact - low, outweighs)).to(torch.int64)
    taken = torch.take_along_dim(allowed, column.clamp(min=0)[..., None], dim=-1)[..., 0]
    return torch.where(taken & (column >= 0), column, -1)
