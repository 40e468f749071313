"""Positives that another assigner has given, compared by a value of each: fewer of them stay."""

from __future__ import annotations

from dataclasses import dataclass, replace

from assigncore.backend import Array, ArrayBackend
from assigncore.checks import common_backend, raise_precision, spread
from assigncore.pairs.tiles import TileView, cut_tiles
from assigncore.result import AssignResult, check_result
from assigncore.steps.candidates import FAR, Candidates, k_smallest_per_gt

__all__ = ["Positives", "read_positives"]


@dataclass(frozen=True, eq=False)
class Positives:
    """The positives of a result, with what they are compared by.

    Attributes
    ----------
    result : AssignResult
        Of any assigner, with one ground truth and one prior at least.
    backend : ArrayBackend
        The library of the arrays.
    codes : array (B, N) of integers
        The codes of the result, with one batch dimension.
    values : array (B, N)
        What positives are compared by; of other priors without meaning.
    """

    result: AssignResult
    backend: ArrayBackend
    codes: Array
    values: Array

    def k_least(self, k: int, level: slice | None = None) -> Candidates:
        """Find each ground truth's `k` positives of the least values, among the priors of a level or all.

        One whose value is not finite is not found.
        """
        backend, xp = self.backend, self.backend.xp
        images, n_gts = int(self.codes.shape[0]), self.result.num_gts
        start, stop = (0, int(self.codes.shape[1])) if level is None else (level.start, level.stop)
        number = xp.arange(n_gts, device=backend.device_of(self.codes))[None, :]

        def of_positives(view: TileView) -> Array:
            own = view.of_priors(self.codes)[:, None, :] == view.gt_numbers(self.codes)
            value = view.of_priors(self.values)[:, None, :]
            return xp.where(own & xp.isfinite(value), value, FAR)

        tiles = [
            tile._replace(first_prior=tile.first_prior + start, last_prior=tile.last_prior + start)
            for tile in cut_tiles(backend, (self.values, self.codes), images, stop - start, n_gts)
        ]
        return k_smallest_per_gt(backend, tiles, xp.broadcast_to(number, (images, n_gts)), k, of_positives)

    def keep(self, index: Array, kept: Array) -> AssignResult:
        """Return the result with no positives but those of `index` (B, G, K) that are `kept`."""
        xp, flat = self.backend.xp, (int(self.codes.shape[0]), -1)
        stays = self.backend.scatter_max(
            xp.reshape(index, flat),
            xp.reshape(xp.astype(kept, self.codes.dtype), flat),
            int(self.codes.shape[1]),
        )
        before = self.result
        dropped = xp.reshape((self.codes > 0) & (stays == 0), tuple(before.gt_inds.shape))
        labels = None if before.labels is None else xp.where(dropped, -1, before.labels)
        return replace(before, gt_inds=xp.where(dropped, 0, before.gt_inds), labels=labels)


def read_positives(result: AssignResult, name: str, values: Array) -> Positives | None:
    """Check the values of the positives of a result, the argument `name`; None where there can be none.

    Raises
    ------
    TypeError
        If `result` is none, or `values` is no array of its library, or of a wrong kind of dtype.
    ValueError
        If the shape does not fit.
    """
    check_result("result", result)
    backend = common_backend({"gt_inds": result.gt_inds, name: values})
    shape = tuple(result.gt_inds.shape)
    values = spread(name, values, backend, shape[:-1], shape[-1:], "real floating")
    if 0 in (*shape, result.num_gts):
        return None
    (values,) = raise_precision(backend, backend.stop_gradient(values))
    both = result.gt_inds, values
    return Positives(result, backend, *(backend.xp.reshape(x, (-1, shape[-1])) for x in both))
