"""What all match costs have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from assigncore.backend import Array
from assigncore.inputs import MatchScene, read_match_scene
from assigncore.registry import Configured

__all__ = ["MatchCost"]


class MatchCost(Configured, ABC):
    """A term of the cost of matching predictions with ground truths.

    A frozen dataclass whose last knob is its `weight`. It is called with arrays by the names every assigner
    uses, and reads those in `needs`; any leading dimensions are a batch and broadcast.

    Notes
    -----
    Nothing is masked here: padding has whatever cost its numbers give. A pair whose cost cannot be told,
    since a number is NaN or a label is none of the classes, costs NaN, never something finite. Costs of
    masks and of tokens are products of matrices: their last bits differ between libraries, and between an
    image alone and in a batch.
    """

    weight: float

    @property
    @abstractmethod
    def needs(self) -> tuple[str, ...]:
        """The names of the arrays the cost reads."""

    @property
    def columns(self) -> int:
        """The columns of the boxes it reads: 4, or 5 for oriented boxes."""
        return 4

    @property
    def masks_are_logits(self) -> bool:
        """Whether masks are logits to it: it then reads ``mask_decay`` too, ``exp(-|pred_masks|)``."""
        return False

    def of_images(self, scene: MatchScene) -> Mapping[str, Array]:
        """Compute what it must know of all pairs of an image beforehand: arrays (B, ...) by name."""
        return {}

    @abstractmethod
    def unweighted(self, scene: MatchScene, arrays: Mapping[str, Array]) -> Array:
        """Compute the cost (b, n, G) of checked arrays, each (b or 1, ...), before it is weighted.

        Masks are flat here, (b or 1, n, P) and (b or 1, G, P), in the computing dtype.
        """

    def __call__(self, **inputs: Any) -> Array:
        """Compute the weighted cost of each prediction with each ground truth.

        Parameters
        ----------
        **inputs : array
            By the names of :data:`assigncore.inputs.COST_INPUTS`. Those that are not in `needs` are
            checked, and not used.

        Returns
        -------
        array (..., N, G)
            The cost times `weight`, in the computing dtype, which is at least float32.

        Raises
        ------
        TypeError
            If a name is unknown or an input is of a wrong type.
        ValueError
            If a needed input is missing or a shape does not fit.
        """
        from assigncore.costs.combine import cost_terms

        needed = dict.fromkeys(self.needs, type(self).__name__)
        scene = read_match_scene(inputs, needed, columns=self.columns)
        (term,) = cost_terms(scene, (self,)).values()
        return scene.restore(term)
