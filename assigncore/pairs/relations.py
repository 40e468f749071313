"""What ground truths and priors may have to do with each other: relations between them, as predicates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

from assigncore.backend import Array, ArrayBackend
from assigncore.boxes.formulas import columns, inside, near
from assigncore.inspect.trace import is_recording
from assigncore.pairs.listed import Pairs, TilePairs
from assigncore.pairs.tiles import Tile, TileView, cut_tiles, join_tiles

__all__ = [
    "Inside",
    "InsideOfSize",
    "Near",
    "Relation",
    "Touching",
    "decided_by_pairs",
    "holds_for_any",
    "largest_code",
]


@dataclass(frozen=True, eq=False)
class Relation:
    """A relation that pairs of valid ground truths and eligible priors fulfil: this one, all of them.

    Attributes
    ----------
    backend : ArrayBackend
        The library of the arrays.
    gt_valid : array (B, G) of bool
        False where a ground truth has nothing to do with any prior.
    eligible : array (B or 1, N) of bool
        False where a prior has nothing to do with any ground truth.
    """

    backend: ArrayBackend
    gt_valid: Array
    eligible: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of images, priors and ground truths: B, N, G."""
        return int(self.gt_valid.shape[0]), int(self.eligible.shape[1]), int(self.gt_valid.shape[1])

    def of(self, pairs: Pairs) -> Array:
        """Tell which pairs fulfil it, (b, g, n)."""
        return pairs.of_priors(self.eligible) & pairs.of_gts(self.gt_valid)

    @property
    def like(self) -> Array:
        """The last array, of coordinates where there are any: an array of their dtype."""
        return next(x for x in reversed(vars(self).values()) if hasattr(x, "shape"))

    @property
    def arrays(self) -> dict[str, Array]:
        """All arrays by name, coordinates first."""
        return {name: x for name, x in reversed(vars(self).items()) if hasattr(x, "shape")}

    def on(self, backend: ArrayBackend, arrays: Iterable[Array]) -> Self:
        """Return the same relation of another backend, with its `arrays` in their order."""
        changes: dict[str, Any] = dict(zip(self.arrays, arrays, strict=True))
        return replace(self, backend=backend, **changes)


@dataclass(frozen=True, eq=False)
class Inside(Relation):
    """The prior's point lies in the ground truth's box: see :func:`assigncore.boxes.formulas.inside`.

    Attributes
    ----------
    points : array (B or 1, N, 2)
        x, y in pixels, or in any other unit that is also that of the boxes.
    boxes : array (B, G, 4) or (B, G, 5)
        Boxes x1, y1, x2, y2, or oriented ones.
    margin : float, optional
        By more than how much a point must be inside, measured by subtraction.
    closed : bool, default False
        Whether the sides belong to a box.
    """

    points: Array
    boxes: Array
    margin: float | None = None
    closed: bool = False

    def of(self, pairs: Pairs) -> Array:
        """Compare coordinates."""
        return super().of(pairs) & self.holds(pairs)

    def holds(self, pairs: Pairs) -> Array:
        """Compare coordinates, whether or not the pairs are valid."""
        points, boxes = pairs.of_priors(self.points), pairs.of_gts(self.boxes)
        return inside(points, boxes, margin=self.margin, closed=self.closed)


@dataclass(frozen=True, eq=False, kw_only=True)
class InsideOfSize(Inside):
    """The prior's point lies in the ground truth's box, which is of a size that suits the prior.

    Attributes
    ----------
    least, most : array (B or 1, N)
        From what to what size a ground truth may be.
    size : array (B, G)
        Sizes of the ground truths.
    anywhere : array (B, G) of bool
        True where a ground truth may have priors for any size.
    """

    least: Array
    most: Array
    size: Array
    anywhere: Array

    def holds(self, pairs: Pairs) -> Array:
        """Compare coordinates and sizes."""
        size = pairs.of_gts(self.size)
        fits = (pairs.of_priors(self.least) <= size) & (size <= pairs.of_priors(self.most))
        return super().holds(pairs) & (fits | pairs.of_gts(self.anywhere))

    def at(self, prior: Array) -> InsideOfSize:
        """Return the same of some priors (B, E) in place of all."""

        def pick(x: Array) -> Array:
            picked = self.backend.gather_rows(x if x.ndim == 3 else x[..., None], prior)
            return picked if x.ndim == 3 else picked[..., 0]

        own = {name: pick(getattr(self, name)) for name in ("points", "eligible", "least", "most")}
        return replace(self, **own)


@dataclass(frozen=True, eq=False)
class Near(Relation):
    """The prior's point is less than its reach away from the ground truth's centre, along each axis.

    Attributes
    ----------
    points, reach : array (B or 1, N, 2)
        x, y in pixels, and how far along them is near.
    centers : array (B, G, 2)
        x, y in pixels.
    """

    points: Array
    reach: Array
    centers: Array

    def of(self, pairs: Pairs) -> Array:
        """Compare coordinates with the centre's, less and more the reach."""
        points, reach = pairs.of_priors(self.points), pairs.of_priors(self.reach)
        return super().of(pairs) & near(points, pairs.of_gts(self.centers), reach)


@dataclass(frozen=True, eq=False)
class Touching(Relation):
    """The prior's box and the ground truth's may share area; one without extent must be inside the other.

    Attributes
    ----------
    priors, boxes : array (B or 1, N, 4) and (B, G, 4)
        Boxes x1, y1, x2, y2.
    """

    priors: Array
    boxes: Array

    def of(self, pairs: Pairs) -> Array:
        """Compare sides."""
        x1, y1, x2, y2 = columns(pairs.of_priors(self.priors))
        left, top, right, bottom = columns(pairs.of_gts(self.boxes))
        return super().of(pairs) & (x1 < right) & (x2 > left) & (y1 < bottom) & (y2 > top)


def holds_for_any(relation: Relation, *, too: Inside | None = None) -> Array:
    """Tell which priors fulfil a relation, and maybe another one `too`, with one ground truth, (B, N)."""
    backend, xp, (images, n_priors, _) = relation.backend, relation.backend.xp, relation.shape
    if 0 in relation.shape:
        return xp.zeros((images, n_priors), dtype=xp.bool, device=backend.device_of(relation.eligible))
    listed = backend.listed(relation)
    if listed is not None:
        return listed.holds_for_any(None if too is None else too.holds(listed))

    def of_tile(pairs: TilePairs) -> tuple[Array]:
        holds = relation.of(pairs)
        return (xp.any(holds if too is None else holds & too.holds(pairs), axis=1),)

    return _in_tiles(relation, of_tile)[0]


def largest_code(relation: Relation, code: Callable[[Pairs], Array]) -> Array:
    """Find the largest of what ground truths say to each prior that they have to do with.

    Parameters
    ----------
    relation : Relation
        Ground truths say nothing to priors that do not fulfil it.
    code : callable
        Maps pairs to what is said: integers (b, g, n), or (b, g, 1), from 1; 0 where nothing is.

    Returns
    -------
    array (B, N) of integers
        0 where nothing is said.
    """
    backend, xp, (images, n_priors, _) = relation.backend, relation.backend.xp, relation.shape
    if 0 in relation.shape:
        return xp.zeros((images, n_priors), dtype=xp.int32, device=backend.device_of(relation.eligible))

    listed = None if is_recording() else backend.listed(relation)
    if listed is not None:
        return listed.largest(code(listed))

    def largest(pairs: TilePairs) -> tuple[Array]:
        return (pairs.largest(xp.where(relation.of(pairs), code(pairs), 0)),)

    return _in_tiles(relation, largest)[0]


def decided_by_pairs(relation: Relation, decide: Callable[[Pairs], tuple[Array, ...]]) -> tuple[Array, ...]:
    """Decide about priors and pairs by the pairs that fulfil a relation, listed, or by tiles of all pairs.

    Parameters
    ----------
    relation : Relation
        Pairs that do not fulfil it decide nothing; there must be a pair.
    decide : callable
        Maps pairs to one value for each prior, of :meth:`Pairs.largest`, then to any number of masks of the
        pairs. It must ask itself what pairs of a tile fulfil the relation.

    Returns
    -------
    tuple of array (B, N) and arrays (B, G, N) of bool
        0 and false where nothing is decided.
    """
    listed = None if is_recording() else relation.backend.listed(relation)
    if listed is not None:
        of_priors, *masks = decide(listed)
        return of_priors, *map(listed.whole, masks)
    return _in_tiles(relation, decide)


def _in_tiles(relation: Relation, decide: Callable[[TilePairs], tuple[Array, ...]]) -> tuple[Array, ...]:
    """Join what is decided of each tile of all pairs."""
    backend = relation.backend
    tiles = cut_tiles(backend, list(relation.arrays.values()), *relation.shape)
    if is_recording():
        # What is recorded is said of all pairs at once.
        tiles = [Tile(0, relation.shape[0], 0, relation.shape[1])]
    parts = [decide(TilePairs(TileView(backend, tile, relation.gt_valid))) for tile in tiles]
    return tuple(join_tiles(backend.xp, tiles, list(of_tiles)) for of_tiles in zip(*parts, strict=True))
