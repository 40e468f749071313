"""JAX: eager, and under ``jax.jit``, ``jax.vmap`` and ``jax.grad``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from assigncore.adapters.backends import jax_chunks
from assigncore.backend import Array, ArrayBackend, Function
from assigncore.backend.memory import CACHED_PAIRS
from assigncore.backend.solver import solve_batch
from assigncore.result import AssignResult
from assigncore.steps.candidates import Candidates, Distances, PointDistances
from assigncore.steps.overlaps import BestOverlaps, PairwiseOverlaps

__all__ = ["JaxBackend"]

EAGER_TILE = 32
"""How many times larger than a cached tile an eager one is, to pay for the dispatch of each operation."""


class JaxBackend(ArrayBackend):
    """Primitives of JAX."""

    name = "jax"

    def __init__(self) -> None:
        super().__init__(jnp)

    def is_traced(self, x: Array) -> bool:
        """Whether `x` is a tracer."""
        return isinstance(x, jax.core.Tracer)

    def device_of(self, x: Array) -> Any:
        """Return the array's device, or None for a tracer, which has none yet."""
        return None if self.is_traced(x) else x.device

    def pairs_per_tile(self, x: Array) -> int:
        """Return the largest tile within the budget, but not many times the cache of a host."""
        within_budget = self.most_pairs(x)
        if self.is_traced(x) or x.device.platform != "cpu":
            return within_budget
        return min(within_budget, EAGER_TILE * CACHED_PAIRS)

    def rounds_from_double(self, x: Array) -> bool:
        """Return false: the library's own functions are what its users know, and its compilers."""
        return False

    def stop_gradient(self, x: Array) -> Array:
        """Stop it."""
        return jax.lax.stop_gradient(x)

    def matrix_product(self, x: Array, y: Array) -> Array:
        """Ask for the dtype's precision, of which accelerators give less by default."""
        return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)

    def k_smallest(self, x: Array, k: int) -> tuple[Array, Array]:
        """Take the largest of the negated values, which JAX documents to come lowest index first."""
        if not 0 < k < x.shape[-1]:
            return super().k_smallest(x, k)
        # Subtracting from 0 makes no negative zero, which the selection would put below zero.
        values, index = jax.lax.top_k(0.0 - x, k)
        return 0.0 - values, index.astype(self.integer_dtype(x))

    def best_overlaps(self, pairs: PairwiseOverlaps) -> BestOverlaps:
        """Go through chunks on the device where a traced call would hold more than the budget."""
        length = self._chunk_of_pairs(pairs)
        return super().best_overlaps(pairs) if length is None else jax_chunks.best_overlaps(pairs, length)

    def best_of_priors(self, pairs: PairwiseOverlaps) -> Array:
        """Go through chunks likewise."""
        length = self._chunk_of_pairs(pairs)
        return super().best_of_priors(pairs) if length is None else jax_chunks.best_of_priors(pairs, length)

    def k_nearest(self, distances: Distances, k: int, levels: Sequence[slice]) -> Candidates:
        """Go through chunks likewise; one has `k` priors at least."""
        images, n_gts, n_priors = distances.shape
        like = distances.points if isinstance(distances, PointDistances) else distances.shapes
        if not self.is_traced(like) or images * n_gts * n_priors <= self.most_pairs(like):
            return super().k_nearest(distances, k, levels)
        length = max(k, jax_chunks.chunk_length(like, n_priors, images * n_gts))
        return jax_chunks.k_nearest(distances, k, levels, length)

    def _chunk_of_pairs(self, pairs: PairwiseOverlaps) -> int | None:
        """Return how many priors to handle at once; None for all."""
        if type(pairs) is not PairwiseOverlaps or not self.is_traced(pairs.priors):
            return None
        (images, n_gts), n_priors = pairs.gt_bboxes.shape[:2], pairs.eligible.shape[-1]
        kinds = 1 if pairs.alternatives is None else pairs.alternatives.shape[1]
        length = jax_chunks.chunk_length(pairs.priors, n_priors, images * n_gts * kinds)
        return None if length == n_priors else length

    def scatter_max(self, index: Array, values: Array, size: int, *, fill: float = 0) -> Array:
        """Scatter in place of comparing every place with every entry."""
        rows = jnp.arange(index.shape[0])[:, None]
        return jnp.full((index.shape[0], size), fill, dtype=values.dtype).at[rows, index].max(values)

    def count(self, index: Array, size: int) -> Array:
        """Scatter ones; places out of range are dropped."""
        rows = jnp.arange(index.shape[0])[:, None]
        places = jnp.where(index < 0, size, index)
        return jnp.zeros((index.shape[0], size), dtype=index.dtype).at[rows, places].add(1, mode="drop")

    def linear_sum_assignment(self, cost: Array) -> Array:
        """Call the host back where the costs are traced, which ``jax.vmap`` does once for its whole batch.

        JAX may call from a thread in which float64 is not switched on, whatever it is where the call was
        made, and would round the costs. So they travel as bits, and the answer in 32 of them.
        """
        if not self.is_traced(cost):
            return super().linear_sum_assignment(cost)
        is_double = cost.dtype == jnp.float64
        bits = jax.lax.bitcast_convert_type(cost, jnp.uint32) if is_double else cost

        def solve(each: Array) -> np.ndarray[Any, Any]:
            host = np.ascontiguousarray(each)
            return solve_batch(host.view(np.float64)[..., 0] if is_double else host).astype(np.int32)

        shape = jax.ShapeDtypeStruct(cost.shape[:-1], jnp.int32)  # type: ignore[no-untyped-call]
        columns = jax.pure_callback(solve, shape, bits, vmap_method="expand_dims")
        return columns.astype(self.integer_dtype(cost))

    def iterate(
        self,
        step: Callable[..., tuple[Array, ...]],
        state: tuple[Array, ...],
        most: int,
        *,
        done: Callable[[tuple[Array, ...]], Array],
    ) -> tuple[Array, ...]:
        """Loop on the device where the call is traced."""
        if not self.is_traced(state[0]):
            return super().iterate(step, state, most, done=done)
        _, last = jax.lax.while_loop(
            lambda carry: (carry[0] < most) & ~jnp.all(done(carry[1])),
            lambda carry: (carry[0] + 1, tuple(step(*carry[1]))),
            (jnp.asarray(0), tuple(state)),
        )
        return last

    def compile(self, function: Function) -> Function:
        """Compile with ``jax.jit``."""
        return cast("Function", jax.jit(function))

    def from_numpy(self, x: np.ndarray[Any, Any], device: Any = None) -> Array:
        """Return an array of the same dtype, where JAX has it switched on."""
        return jnp.asarray(x, device=device)

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """Return the values, once the device has them."""
        return np.asarray(x)


jax.tree_util.register_pytree_node(AssignResult, AssignResult.tree_flatten, AssignResult.tree_unflatten)
