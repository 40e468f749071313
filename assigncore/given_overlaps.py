"""Overlaps that are given as an array, in the place of boxes they are computed from."""

from __future__ import annotations

from dataclasses import dataclass

from assigncore.backend import Array, get_backend
from assigncore.best_overlaps import PairwiseOverlaps
from assigncore.checks import check_dtype, check_shape
from assigncore.scene import Beside, Scene, read_scene
from assigncore.tiles import Tile, TileView, cut_tiles

__all__ = ["GivenOverlaps", "read_overlaps"]


@dataclass(frozen=True, eq=False)
class GivenOverlaps(PairwiseOverlaps):
    """Overlaps (B or 1, G, N) that are there already: a tile of them is cut out, not computed."""

    def collapsed(self) -> GivenOverlaps:
        """Return the same pairs: what does not count is masked, since there are no boxes."""
        return self

    def tiles(self) -> list[Tile]:
        """Cut the pairs into tiles."""
        images, n_gts, n_priors = (int(n) for n in self.gt_bboxes.shape)
        return cut_tiles(self.backend, (self.gt_bboxes,), images, n_priors, n_gts)

    def of(self, view: TileView) -> Array:
        """Return the overlaps (b, g, n) of a tile."""
        pairs = view.of_priors(self.counted)[:, None, :] & view.of_gts(self.gt_valid)[:, :, None]
        return self.backend.xp.where(pairs, view.of_priors(self.gt_bboxes, axis=2), -float("inf"))


def read_overlaps(
    overlaps: Array,
    *,
    gt_labels: Array | None = None,
    gt_valid: Array | None = None,
    prior_valid: Array | None = None,
) -> tuple[Scene, PairwiseOverlaps]:
    """Check given overlaps, and bring them to the forms of assigners that compute theirs.

    Parameters
    ----------
    overlaps : array (..., G, N)
        How much each ground truth has in common with each prior. What is not finite counts as 0.
    gt_labels : array (..., G) of integers, optional
        Classes.
    gt_valid, prior_valid : array (..., G) and (..., N) of bool, optional
        False where a row is padding, or takes no part.

    Returns
    -------
    scene : Scene
        Its boxes are zeros.
    pairs : PairwiseOverlaps
        The overlaps.

    Raises
    ------
    TypeError
        If an input is no array, of a wrong kind of dtype, or of another library than `overlaps`.
    ValueError
        If shapes do not fit or inputs are on different devices.
    """
    backend = get_backend(overlaps, "overlaps")
    check_shape("overlaps", overlaps, "(..., G, N)", None, None)
    check_dtype("overlaps", overlaps, backend, "real floating")
    xp, device = backend.xp, backend.device_of(overlaps)
    n_gts, n_priors = (int(n) for n in overlaps.shape[-2:])
    scene = read_scene(
        xp.zeros((n_priors, 4), dtype=overlaps.dtype, device=device),
        xp.zeros((n_gts, 4), dtype=overlaps.dtype, device=device),
        gt_labels=gt_labels,
        gt_valid=gt_valid,
        prior_valid=prior_valid,
        beside={"overlaps": Beside(overlaps, ("G", "N"), required=True)},
    )
    table = scene.beside["overlaps"]
    shape = (scene.shape[0], n_gts, n_priors)
    table = xp.broadcast_to(xp.where(xp.isfinite(table), table, 0.0), shape)
    pairs = GivenOverlaps(
        backend=backend,
        measure=_no_measure,
        zero_when_disjoint=False,
        priors=scene.priors,
        gt_bboxes=table,
        counted=scene.prior_whole,
        gt_valid=scene.gt_valid,
    )
    return scene, pairs


def _no_measure(gt_bboxes: Array, priors: Array) -> Array:
    raise NotImplementedError("the overlaps are given, none are computed")
