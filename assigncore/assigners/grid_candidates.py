"""The anchors of a grid that ground truths may take, by their shapes and the cells near their centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assigncore.backend import Array, get_backend
from assigncore.box_formulas import box_centers
from assigncore.checks import check_knob
from assigncore.coordinates import at_least, columns, divided, quotient
from assigncore.scene import Scene

__all__ = ["GridCandidates", "check_maps", "grid_candidates"]

CELLS = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1))
"""Steps to the cells of a candidate: its own, left, up, right, down."""


@dataclass(frozen=True, eq=False)
class GridCandidates:
    """Anchors at cells, (B, E) each: whether a ground truth takes it, its prior, and what it is."""

    found: Array
    prior: Array
    level: Array
    anchor: Array
    x: Array
    y: Array

    def extras(self, gt_inds: Array) -> dict[str, Array]:
        """Return what a result tells of the candidates."""
        names = ("prior", "level", "anchor", "x", "y")
        return {"candidate_gt_inds": gt_inds} | {f"candidate_{name}": getattr(self, name) for name in names}


def grid_candidates(
    scene: Scene,
    strides: tuple[int, ...],
    sizes: tuple[tuple[int, int], ...],
    *,
    near: float,
    factor: float,
) -> GridCandidates:
    """List every anchor at every cell a ground truth may take, those that it does not take included.

    Parameters
    ----------
    scene : Scene
        With ``base_sizes`` (1, L, A, 2) beside.
    strides : tuple of int
        Pixels a cell of each level is wide and high.
    sizes : tuple of pairs of int
        Height and width of each level in cells.
    near : float
        How near to a neighbour cell a centre must be, in cells.
    factor : float
        Widths and heights of an anchor and a ground truth differ by less.
    """
    xp = scene.xp
    n_anchors, images, n_gts = int(scene.beside["base_sizes"].shape[-2]), scene.shape[0], scene.shape[2]
    shape = (images, len(CELLS), n_anchors, n_gts)
    device, integers = scene.backend.device_of(scene.priors), scene.backend.integer_dtype(scene.priors)
    anchor = xp.arange(n_anchors, dtype=integers, device=device)[None, None, :, None]
    x, y = columns(box_centers(scene.gt_bboxes))
    parts: list[list[Array]] = []
    start = 0
    for level, (stride, (height, width)) in enumerate(zip(strides, sizes, strict=True)):
        cell_x, near_x = _along(divided(x, stride), width, [step for step, _ in CELLS], near)
        cell_y, near_y = _along(divided(y, stride), height, [step for _, step in CELLS], near)
        cell_x, cell_y = xp.astype(cell_x, integers), xp.astype(cell_y, integers)
        found = (near_x & near_y)[:, :, None, :] & _fits(scene, level, factor)[:, None, :, :]
        found = found & scene.gt_valid[:, None, None, :]
        cell_x, cell_y = cell_x[:, :, None, :], cell_y[:, :, None, :]
        prior = ((anchor * height + cell_y) * width + cell_x) + start
        rest = (xp.full_like(anchor, level), anchor, cell_x, cell_y)
        flat = (images, len(CELLS) * n_anchors * n_gts)
        parts.append([xp.reshape(xp.broadcast_to(a, shape), flat) for a in (found, prior, *rest)])
        start += n_anchors * height * width
    return GridCandidates(*(xp.concat(list(part), axis=1) for part in zip(*parts, strict=True)))


def _fits(scene: Scene, level: int, factor: float) -> Array:
    """Tell which anchors of a level fit which ground truths, (B, A, G)."""
    xp = scene.xp
    base = scene.beside["base_sizes"][:, level, :, None, :]
    sides = (scene.gt_bboxes[..., 2:] - scene.gt_bboxes[..., :2])[:, None, :, :]
    there = (base > 0) & (sides > 0)
    ratio = quotient(xp.where(there, sides, 1.0), xp.where(base > 0, base, 1.0))
    return xp.all(there & (ratio < factor) & (quotient(xp.ones_like(ratio), ratio) < factor), axis=-1)


def _along(x: Array, size: int, steps: list[int], near: float) -> tuple[Array, Array]:
    """Return the cells of centres along one axis, and whether the centres are near to them, (B, 5, G)."""
    xp = get_backend(x).xp
    mirrored = size - x
    before = (x - xp.floor(x) < near) & (x > 1)
    after = (mirrored - xp.floor(mirrored) < near) & (mirrored > 1)
    always = x == x
    close = {0: always, -1: before, 1: after}
    cell = xp.stack([xp.trunc(x + step * near) for step in steps], axis=1)
    last = xp.full((), float(size - 1), dtype=x.dtype, device=get_backend(x).device_of(x))
    return xp.minimum(at_least(cell, 0.0), last), xp.stack([close[step] for step in steps], axis=1)


def check_maps(
    sizes: Sequence[tuple[int, int]], strides: Sequence[int], n_levels: int, n_anchors: int, n_priors: int
) -> tuple[tuple[int, int], ...]:
    """Return the levels' sizes, checked.

    Raises
    ------
    ValueError
        If there are no anchors, not as many sizes as levels, one is not positive, or they do not sum to N.
    """
    if n_levels * n_anchors == 0:
        raise ValueError(f"base_sizes: expected levels and anchors, got {n_levels} and {n_anchors}")
    for name, given in (("featmap_sizes", sizes), ("featmap_strides", strides)):
        if len(given) != n_levels:
            raise ValueError(f"{name}: expected {n_levels}, one a level of base_sizes, got {len(given)}")
    for stride in strides:
        check_knob("featmap_strides", stride, at_least=1)
    maps = tuple((int(height), int(width)) for height, width in sizes)
    if any(height < 1 or width < 1 for height, width in maps):
        raise ValueError(f"featmap_sizes: expected heights and widths of at least 1, got {maps}")
    total = sum(n_anchors * height * width for height, width in maps)
    if total != n_priors:
        raise ValueError(
            f"featmap_sizes: expected {n_anchors} anchors on all cells to be {n_priors} priors, got {total}"
        )
    return maps
