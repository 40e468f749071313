"""Chunks of a data set: what one worker computes at a time, and how what they found is brought together.

A data set is cut by the indices of its images alone, and what is found of a chunk depends on nothing else. So
however many workers there are, and wherever, the parts are the same and are merged in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assigncore.audit.assigning import Decider, Settings, assign_images, make_layout
from assigncore.audit.config import Plan
from assigncore.audit.frames import ExactSize, ImageScale
from assigncore.audit.statistics import Findings, collect
from assigncore.datasets import Dataset

__all__ = ["CHUNK_SIZE", "Chunk", "assign_chunk", "cut", "num_chunks", "num_images"]

CHUNK_SIZE = 512
"""Images of a chunk: enough of each size to fill batches, few enough that progress is seen."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of a data set, and all that is needed to assign them.

    Attributes
    ----------
    start : int
        Index of the first image.
    dataset : Dataset
        These images alone.
    settings : Settings
        With the proposals and predictions of these images alone.
    """

    start: int
    dataset: Dataset
    settings: Settings


def num_chunks(dataset: Dataset) -> int:
    """Count the chunks of a data set."""
    return -(-len(dataset.images) // CHUNK_SIZE)


def num_images(dataset: Dataset, numbers: Iterable[int]) -> int:
    """Count the images of some chunks of a data set."""
    return sum(min(CHUNK_SIZE, len(dataset.images) - number * CHUNK_SIZE) for number in numbers)


def cut(dataset: Dataset, settings: Settings, number: int) -> Chunk:
    """Cut the chunk of some number, counted from 0, out of a data set."""
    start = number * CHUNK_SIZE
    part = dataset.part(start, start + CHUNK_SIZE)
    proposals, predictions = (
        None if results is None else results.part(part.images)
        for results in (settings.proposals, settings.predictions)
    )
    return Chunk(start, part, replace(settings, proposals=proposals, predictions=predictions))


def assign_chunk(
    plans: Sequence[Plan],
    scale: ImageScale | ExactSize,
    chunk: Chunk,
    deciders: Sequence[dict[Any, Decider]] | None = None,
) -> tuple[Findings, ...]:
    """Run every assigner over the images of a chunk.

    Parameters
    ----------
    plans : sequence of Plan
    scale : ImageScale or ExactSize
        Of the plans that have none of their own.
    chunk : Chunk
    deciders : sequence of dict, optional
        Of each plan, functions that were compiled for earlier chunks.

    Returns
    -------
    tuple of Findings
        One for each plan; images by their indices in the whole data set.
    """
    order = {image.id: chunk.start + i for i, image in enumerate(chunk.dataset.images)}
    found = []
    for plan, own in zip(plans, deciders or [{} for _ in plans], strict=True):
        frames = [(plan.scale or scale).frame(image) for image in chunk.dataset.images]
        stream = assign_images(plan, chunk.dataset, frames, chunk.settings, own)
        found.append(
            collect(stream, order, len(make_layout(plan, chunk.dataset, chunk.settings).level_names))
        )
    return tuple(found)
