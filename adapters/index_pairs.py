"""Matching lists of targets with the outputs of set predictors, and the index pairs they ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from assigncore.adapters.core_by_knobs import CoreByKnobs
from assigncore.assigners import HungarianAssigner
from assigncore.result import AssignResult

__all__ = ["Pairs", "SetMatcher", "Target", "checked_weights", "pairs_of"]

Pairs = list[tuple[Tensor, Tensor]]
"""For each image the matched predictions, ascending, and the target of each; int64 on the CPU."""

Target = Mapping[str, Tensor]

UNIT = 4096.0
"""Pixels that boxes relative to the image are scaled to: a power of two, which rounds nothing."""


def checked_weights(matcher: Any, *names: str) -> tuple[float, ...]:
    """Return the weights that a matcher has by these names, of which some must count.

    Raises
    ------
    ValueError
        If all weights are 0.
    """
    weights = tuple(getattr(matcher, name) for name in names)
    if not any(weights):
        raise ValueError(f"{', '.join(names)}: expected at least one that is not 0, got 0 for all")
    return weights


class SetMatcher(CoreByKnobs, torch.nn.Module):
    """Match the predictions of each image with its targets, at the least total cost.

    A subclass names the costs, and the entries of outputs and targets they read.

    Parameters
    ----------
    nonfinite : {"raise", "forbid"}
        What happens to a pair whose cost is NaN or infinite: an error that names it, or it is never matched.
    """

    predictions: Mapping[str, str]
    """Entries of outputs by the core's names."""
    ground_truths: Mapping[str, str]
    """Entries of targets by the core's names."""
    auxiliary = "aux_outputs"
    """The entry of outputs that holds those of the earlier decoder layers."""
    draws_points = False
    """Whether random numbers are drawn, between those that a loss draws for a layer and for the next."""

    def __init__(self, nonfinite: str) -> None:
        super().__init__()
        self.nonfinite = nonfinite
        self._known: list[tuple[tuple[Any, ...], int, Any]] = []

    def costs(self, **options: Any) -> Sequence[Mapping[str, Any]]:
        """Return the terms of the cost as configs."""
        raise NotImplementedError(type(self).__name__)

    def build(self, **options: Any) -> HungarianAssigner:
        """Build the core's assigner."""
        return HungarianAssigner(self.costs(**options), nonfinite=self.nonfinite)

    def forward(self, outputs: Mapping[str, Any], targets: Sequence[Target]) -> Any:
        """Match one decoder layer.

        Parameters
        ----------
        outputs : mapping of str to Tensor
            The predictions of B images. Further entries are not read.
        targets : sequence of mapping of str to Tensor
            The targets of each image.

        Returns
        -------
        list of tuple of Tensor
            For each image the matched predictions, ascending, and the target of each; int64 on the CPU, as
            published. As many pairs as there are targets, or predictions where those are fewer.

        Raises
        ------
        ValueError
            If a cost is not finite: the message names the term, image, prediction and target. If shapes do
            not fit, or there is not one target for each image.
        KeyError
            If an entry is missing.
        """
        return self._match_one(outputs, targets)

    def match_layers(self, outputs: Mapping[str, Any], targets: Sequence[Target]) -> list[Any]:
        """Match all decoder layers in one solve.

        Parameters
        ----------
        outputs : mapping of str to Any
            The predictions of the last layer, and under ``aux_outputs`` those of the others.
        targets : sequence of mapping of str to Tensor
            The targets of each image.

        Returns
        -------
        list
            What `forward` returns of each layer: the last one first, then the others in their order.

        Notes
        -----
        The layers have equally many predictions. There is one transfer to the host, where `forward` on each
        layer has one a layer.
        """
        return self._match([outputs, *outputs.get(self.auxiliary, ())], targets)

    @contextmanager
    def ahead(
        self, layers: Sequence[Mapping[str, Any]], targets: Sequence[Target], groups: int = 1
    ) -> Iterator[None]:
        """Match layers in one solve, so that `forward` with one of them has its answer while this lasts.

        A loss that calls its matcher layer by layer is spared all solves but this one, or one for each number
        of predictions where layers differ in it.

        Parameters
        ----------
        layers : sequence of mapping of str to Tensor
            What `forward` will be called with: known by the tensors in it, not by their values.
        targets : sequence of mapping of str to Tensor
            The targets of each image, the same sequence then.
        groups : int, default 1
            Equal groups of predictions, each matched on its own.
        """
        alike: dict[tuple[int, ...], list[Mapping[str, Any]]] = {}
        for layer in layers:
            shape = tuple(layer[next(iter(self.predictions.values()))].shape)
            alike.setdefault(shape, []).append(layer)
        before = self._known
        self._known = [
            *before,
            *(
                (self._identity(layer, targets), groups, pairs)
                for some in alike.values()
                for layer, pairs in zip(some, self._match(some, targets, groups), strict=True)
            ),
        ]
        try:
            yield
        finally:
            self._known = before

    def _identity(self, layer: Mapping[str, Any], targets: Any) -> tuple[Any, ...]:
        return (*(layer.get(entry) for entry in self.predictions.values()), targets)

    def _match_one(self, layer: Mapping[str, Any], targets: Any, groups: int = 1) -> Any:
        """Match a layer, unless that is done already."""
        own = self._identity(layer, targets)
        for known, of_groups, pairs in self._known:
            if of_groups == groups and all(a is b for a, b in zip(known, own, strict=True)):
                return pairs
        return self._match([layer], targets, groups)[0]

    def _match(
        self,
        layers: Sequence[Mapping[str, Any]],
        targets: Sequence[Target],
        groups: int = 1,
        prior_valid: Tensor | None = None,
    ) -> list[Any]:
        self._check_entries(layers, targets)
        if not targets:
            return [[] for _ in layers]
        inputs = {
            name: _stacked(entry, [self._prepared(name, layer[entry]) for layer in layers])
            for name, entry in self.predictions.items()
        }
        device = next(iter(inputs.values())).device
        for name, entry in self.ground_truths.items():
            rows = [self._prepared(name, target[entry]) for target in targets]
            inputs[name] = _padded(entry, rows)
        sizes = [
            _size(place, target, tuple(self.ground_truths.values())) for place, target in enumerate(targets)
        ]
        most = torch.arange(max(sizes), device=device)
        valid = most < torch.tensor(sizes, device=device)[:, None]
        if prior_valid is not None:
            inputs["prior_valid"] = prior_valid
        gt_inds = self._assign(inputs, valid, groups).gt_inds.cpu()
        return [pairs_of(layer) for layer in (gt_inds if len(layers) > 1 else gt_inds[None])]

    def _check_entries(self, layers: Sequence[Mapping[str, Any]], targets: Sequence[Target]) -> None:
        """Check that nothing is missing, and that there is a target for each image."""
        for layer in layers:
            _require("outputs", layer, self.predictions.values())
        for place, target in enumerate(targets):
            _require(f"targets[{place}]", target, self.ground_truths.values())
        images = len(layers[0][next(iter(self.predictions.values()))])
        if len(targets) != images:
            raise ValueError(f"targets: expected {images}, one for each image, got {len(targets)}")

    def _prepared(self, name: str, x: Tensor) -> Tensor:
        """Bring an entry to the core's form: boxes in pixels, corner to corner."""
        x = x.detach()
        if name == "gt_labels" and x.numel() == 0:
            return x.new_zeros(0, dtype=torch.int64)
        if not name.endswith("bboxes"):
            return x
        if x.ndim == 1 and len(x) == 0:
            x = x.reshape(0, 4)
        x = x if x.dtype == torch.float64 else x.float()
        center, half = x[..., :2] * UNIT, x[..., 2:] * (UNIT / 2)
        return torch.cat([center - half, center + half], dim=-1)

    def _assign(self, inputs: Mapping[str, Tensor], gt_valid: Tensor, groups: int) -> AssignResult:
        return self._solve(self.core(), inputs, gt_valid, groups)

    def _solve(
        self, assigner: HungarianAssigner, inputs: Mapping[str, Tensor], gt_valid: Tensor, groups: int
    ) -> AssignResult:
        """Solve in equal groups; predictions beyond the last whole one are left out."""
        if groups != 1:
            logits = inputs["pred_logits"]
            queries = int(logits.shape[-2])
            if not 1 <= groups <= queries:
                raise ValueError(
                    f"group_detr: expected from 1 to {queries}, the number of predictions, got {groups}"
                )
            lead, whole = logits.ndim - 2, queries - queries % groups
            inputs = {
                name: x.narrow(lead, 0, whole) if name in self.predictions else x
                for name, x in inputs.items()
            }
            assigner = replace(assigner, groups=groups)
        return assigner.assign(**inputs, gt_valid=gt_valid, image_shape=(UNIT, UNIT))


def _stacked(entry: str, layers: Sequence[Tensor]) -> Tensor:
    """Stack tensors (B, N, ...) of several layers into (L, B, N, ...)."""
    shapes = {tuple(x.shape) for x in layers}
    if len(shapes) > 1:
        raise ValueError(f"{entry}: expected one shape (B, N, ...) for all layers, got {sorted(shapes)}")
    return torch.stack(list(layers)) if len(layers) > 1 else layers[0]


def _padded(entry: str, rows: Sequence[Tensor]) -> Tensor:
    """Stack tensors (G, ...) of images into (B, G, ...), zeros where an image has fewer."""
    shapes = {tuple(x.shape[1:]) for x in rows}
    if len(shapes) > 1:
        raise ValueError(f"{entry}: expected one shape (G, ...) for all images, got {sorted(shapes)}")
    return pad_sequence(list(rows), batch_first=True)


def _require(where: str, given: Mapping[str, Any], entries: Iterable[str]) -> None:
    """Check that a mapping has some entries."""
    missing = [entry for entry in entries if entry not in given]
    if missing:
        raise KeyError(f"{where}: expected {', '.join(missing)}, got {', '.join(given) or 'nothing'}")


def _size(place: int, target: Target, entries: Sequence[str]) -> int:
    """Return how many objects the target of an image has."""
    sizes = {entry: len(target[entry]) for entry in entries}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{size} of {entry}" for entry, size in sizes.items())
        raise ValueError(f"targets[{place}]: expected as many {' as '.join(sizes)}, got {told}")
    return next(iter(sizes.values()))


def pairs_of(gt_inds: Tensor) -> Pairs:
    """Return the pairs of each image of `gt_inds` (B, N)."""
    found = []
    for row in gt_inds:
        (matched,) = torch.nonzero(row > 0, as_tuple=True)
        found.append((matched, row[matched] - 1))
    return found
