"""Questions about pairs beneath ``jax.jit``: a chunk of priors after the other where all would be too many.

A compiled program has no tiles of its own: it would hold the overlaps of all pairs. These are loops on the
device, of the portable answers for one chunk each, and put together they are the portable answers for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from assigncore.backend import Array, get_backend
from assigncore.pairs.tiles import Tile, TileView
from assigncore.steps.candidates import (
    FAR,
    Candidates,
    Distances,
    PointDistances,
    k_nearest_in_tiles,
)
from assigncore.steps.overlaps import (
    BestOverlaps,
    PairwiseOverlaps,
    best_in_tiles,
    best_of_priors_in_tiles,
    last_at_best,
)

__all__ = ["best_of_priors", "best_overlaps", "chunk_length", "k_nearest"]


def chunk_length(like: Array, n_priors: int, per_prior: int) -> int:
    """Return how many priors are handled at once, where each is in `per_prior` pairs, within the budget."""
    return min(n_priors, max(1, get_backend(like).most_pairs(like) // max(1, per_prior)))


def best_overlaps(pairs: PairwiseOverlaps, length: int) -> BestOverlaps:
    """Find the extremes, `length` priors at a time."""
    cut = _cut_pairs(pairs, length)

    def extremes(chunk: tuple[Array, ...]) -> tuple[Array, ...]:
        best = best_in_tiles(_pairs_of(pairs, chunk))
        return best.of_prior, best.gt_inds, best.of_gt, best.prior_of_gt

    of_prior, gt_inds, of_gt, prior_of_gt = jax.lax.map(extremes, cut)
    # The first chunk that has the best has the first prior.
    first = jnp.argmax(of_gt, axis=0)
    place = jnp.take_along_axis(prior_of_gt, first[None], axis=0)[0] + first * length
    n_priors = pairs.eligible.shape[-1]
    best_of_gt = jnp.max(of_gt, axis=0)

    def attained(gt_eligible: Array) -> Array:
        def within(chunk: tuple[Array, ...]) -> Array:
            own = _pairs_of(pairs, chunk).collapsed()
            tile = Tile(0, int(own.gt_bboxes.shape[0]), 0, length)
            return last_at_best(own, TileView(own.backend, tile, own.gt_bboxes), best_of_gt, gt_eligible)

        return _joined(jax.lax.map(within, cut), n_priors)

    return BestOverlaps(
        of_prior=_joined(of_prior, n_priors),
        gt_inds=_joined(gt_inds, n_priors),
        of_gt=best_of_gt,
        prior_of_gt=place.astype(prior_of_gt.dtype),
        eligible=pairs.eligible,
        last_at_best=attained,
    )


def best_of_priors(pairs: PairwiseOverlaps, length: int) -> Array:
    """Find each prior's best, `length` priors at a time."""
    best = jax.lax.map(
        lambda chunk: best_of_priors_in_tiles(_pairs_of(pairs, chunk)), _cut_pairs(pairs, length)
    )
    return _joined(best, pairs.eligible.shape[-1])


def k_nearest(distances: Distances, k: int, levels: Sequence[slice], length: int) -> Candidates:
    """Find the nearest on each level, `length` priors of it at a time."""
    found = [_k_nearest_of_level(_of_level(distances, level), k, length) for level in levels]
    return Candidates(
        jnp.concat([one.index + level.start for one, level in zip(found, levels, strict=True)], axis=-1),
        jnp.concat([one.value for one in found], axis=-1),
    )


def _k_nearest_of_level(distances: Distances, k: int, length: int) -> Candidates:
    size = distances.shape[2]
    if size <= length:
        return k_nearest_in_tiles(distances, k, [slice(0, size)])
    arrays, rebuilt = _cut_distances(distances)
    chunks = tuple(_cut(x, 1, length, fill) for x, fill in arrays)

    def nearest(chunk: tuple[Array, ...]) -> tuple[Array, Array]:
        own = k_nearest_in_tiles(rebuilt(chunk), k, [slice(0, length)])
        return own.value, own.index

    value, index = jax.lax.map(nearest, chunks)
    index = index + (jnp.arange(value.shape[0]) * length)[:, None, None, None].astype(index.dtype)
    # In the order of the chunks, so that the first of equally near ones comes first.
    value, index = (jnp.concat(list(x), axis=-1) for x in (value, index))
    value, order = get_backend(value).k_smallest(value, min(k, size))
    return Candidates(jnp.take_along_axis(index, order, axis=-1), value)


def _of_level(distances: Distances, level: slice) -> Distances:
    if not isinstance(distances, PointDistances):
        return replace(distances, shapes=distances.shapes[:, level, :])
    resort, groups = distances.last_resort, distances.groups
    return replace(
        distances,
        points=distances.points[:, level, :],
        eligible=distances.eligible[:, level],
        last_resort=None if resort is None else resort[:, level],
        groups=None if groups is None else (groups[0][:, level], groups[1]),
    )


def _cut_distances(
    distances: Distances,
) -> tuple[list[tuple[Array, float]], Callable[[tuple[Array, ...]], Distances]]:
    """Return what belongs to priors, with what fills it up, and how a chunk of it makes distances again."""
    if not isinstance(distances, PointDistances):
        return [(distances.shapes, FAR)], lambda chunk: replace(distances, shapes=chunk[0])
    resort, groups = distances.last_resort, distances.groups
    arrays = [(distances.points, 0.0), (distances.eligible, False)]
    arrays += [] if resort is None else [(resort, False)]
    arrays += [] if groups is None else [(groups[0], 0)]

    def rebuilt(chunk: tuple[Array, ...]) -> Distances:
        points, eligible, *rest = chunk
        return replace(
            distances,
            points=points,
            eligible=eligible,
            last_resort=None if resort is None else rest[0],
            groups=None if groups is None else (rest[-1], groups[1]),
        )

    return arrays, rebuilt


def _cut_pairs(pairs: PairwiseOverlaps, length: int) -> tuple[Array, ...]:
    """Cut what belongs to priors into chunks, filled up with what overlaps nothing."""
    axis = 1 if pairs.alternatives is None else 2
    cut = (_cut(pairs.priors, axis, length, 0.0), _cut(pairs.eligible, 1, length, False))
    return cut if pairs.alternatives is None else (*cut, _cut(pairs.alternatives, 2, length, False))


def _pairs_of(pairs: PairwiseOverlaps, chunk: tuple[Array, ...]) -> PairwiseOverlaps:
    priors, eligible, *rest = chunk
    return replace(pairs, priors=priors, eligible=eligible, alternatives=rest[0] if rest else None)


def _cut(x: Array, axis: int, length: int, fill: float) -> Array:
    """Cut an axis into chunks of `length`, the last filled up: (chunks, ..., length, ...)."""
    chunks = -(-x.shape[axis] // length)
    widths: list[tuple[Any, Any]] = [(0, 0)] * x.ndim
    widths[axis] = (0, chunks * length - x.shape[axis])
    padded = jnp.pad(x, widths, constant_values=fill)
    shape = (*x.shape[:axis], chunks, length, *x.shape[axis + 1 :])
    return jnp.moveaxis(padded.reshape(shape), axis, 0)


def _joined(chunks: Array, n_priors: int) -> Array:
    """Join what chunks say of their priors, (chunks, B, length), into (B, N)."""
    joined = jnp.moveaxis(chunks, 0, 1).reshape(chunks.shape[1], -1)
    return joined[:, :n_priors]
