"""The audit from Python: run it, look at its tables and pictures, write its report."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from assigncore.audit.advice import Objects, advise
from assigncore.audit.assigning import BATCH_SIZE, Settings, make_layout
from assigncore.audit.chunks import num_images
from assigncore.audit.config import Plan, make_plans
from assigncore.audit.devices import open_backend
from assigncore.audit.errors import AuditError
from assigncore.audit.execution import Progress, assign_all
from assigncore.audit.frames import SIZE_DIVISOR, ExactSize, ImageScale, parse_scale
from assigncore.audit.inputs import reads_predictions
from assigncore.audit.notes import about_counts, collect_notes
from assigncore.audit.proposals import Proposals
from assigncore.audit.report import make_report, write_report
from assigncore.audit.results import load_results
from assigncore.audit.runs import Run
from assigncore.audit.statistics import Findings, summarize
from assigncore.audit.what_if import Evaluate, Variations, outcome_of, read_variations, try_variations
from assigncore.checks import check_knob, several
from assigncore.datasets import Dataset, InputFileError, read_dataset, sample_dataset
from assigncore.datasets.reading import Format, as_path
from assigncore.inspect.display import plural

__all__ = ["Audit", "assign_dataset", "run"]

PathLike: TypeAlias = str | os.PathLike[str]

TRIED_IMAGES = 1000
"""Images that changes are tried on: enough to rank them, few enough to try many."""


@dataclass(frozen=True)
class Audit(Sequence[Run]):
    """What some assigners make of a data set: a sequence of :class:`Run`, one for each assigner.

    Attributes
    ----------
    runs : tuple of Run
        In the order in which the assigners were given.
    dataset : Dataset
    scale : ImageScale or ExactSize
        Of the assigners that have none of their own.
    settings : Settings
    images_done : int
        Images that were assigned: all, unless the run was interrupted.
    """

    runs: tuple[Run, ...]
    dataset: Dataset
    scale: ImageScale | ExactSize
    settings: Settings
    images_done: int

    def __len__(self) -> int:
        """Count the assigners."""
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        """Go through the runs."""
        return iter(self.runs)

    def __getitem__(self, which: Any) -> Any:
        """Give a run by its index, by its name, or by that without what was changed."""
        if not isinstance(which, str):
            return self.runs[which]
        plain = [one for one in self.runs if one.plan.settings.name == which]
        for one in [*(one for one in self.runs if one.name == which), *plain]:
            return one
        raise KeyError(f"{which!r}: expected one of {', '.join(repr(one.name) for one in self.runs)}")

    def __repr__(self) -> str:
        """Say what there is in a line for each run."""
        objects = len(self.runs[0].findings.objects)
        what = f"{plural(self.images_done, 'image')}, {plural(objects, 'object')} in {self.dataset.source}"
        return "\n".join([f"Audit of {what}", *(f"  {one!r}" for one in self.runs)])

    @property
    def is_complete(self) -> bool:
        """Whether every image was assigned; an interrupted run keeps what it has."""
        return self.images_done == len(self.dataset.images)

    def suggest(
        self,
        *,
        images: int = TRIED_IMAGES,
        jobs: int = 1,
        executor: Any = None,
        progress: Progress | None = None,
    ) -> Audit:
        """Find out what to change so that fewer objects go without positives, by trying it.

        Parameters
        ----------
        images : int, default 1000
            How many images to try changes on at most, evenly spread over those with objects.
        jobs, executor, progress
            As in `run`.

        Returns
        -------
        Audit
            The same, with `advice` in every run.

        Examples
        --------
        >>> from assigncore import audit
        >>> advice = audit.run(assigners="detr").suggest()[0].advice
        >>> advice.causes
        ('Too few queries: an image has up to 574 objects, and there are 100 queries.',)
        >>> advice.overrides, advice.today.without, advice.outcome.without
        (('priors.num_queries=574',), 653, 0)
        """
        _check_counts(1, images=images, jobs=jobs)
        tried = self._tried_on(images)
        runs = []
        for one in self.runs:
            evaluate = self._evaluator(tried, jobs, executor, progress)
            findings = one.findings if tried is self.dataset else evaluate((one.plan,))[0]
            frames = [one.scale.frame(image) for image in tried.images]
            boxes = [frame.boxes(tried.objects(frame.image)) for frame in frames]
            objects = Objects(np.concatenate(boxes), len(frames), max(map(len, boxes)), self.scale)
            runs.append(replace(one, advice=advise(one.plan, findings, objects, evaluate)))
        return replace(self, runs=tuple(runs))

    def vary(
        self,
        variations: str | Sequence[str],
        *,
        images: int = TRIED_IMAGES,
        jobs: int = 1,
        executor: Any = None,
        progress: Progress | None = None,
    ) -> Audit:
        """Run the assigners with some knobs varied.

        Parameters
        ----------
        variations : str or sequence of str
            ``"KEY=VALUE,VALUE,..."`` for all assigners, ``"NAME:KEY=VALUE,..."`` for one. Of several, every
            combination is run.
        images : int, default 1000
            How many images to run them on at most, evenly spread over those with objects.
        jobs, executor, progress
            As in `run`.

        Returns
        -------
        Audit
            The same, with `variations` in every run that some are for.

        Raises
        ------
        AuditError
            If one is no key with values, is for an assigner that is not run, or there are too many.

        Examples
        --------
        >>> from assigncore import audit
        >>> varied = audit.run(assigners="atss").vary(["priors.strides=[8,16,32],[4,8,16]"])[0].variations
        >>> [(one.overrides, one.outcome.without) for one in varied.what_ifs]
        [(('priors.strides=[8,16,32]',), 54), (('priors.strides=[4,8,16]',), 30)]
        """
        given = several("variations", variations, str, expected="texts KEY=VALUE,VALUE")
        combinations = read_variations(given, [one.plan for one in self.runs])
        _check_counts(1, images=images, jobs=jobs)
        tried = self._tried_on(images)
        evaluate = self._evaluator(tried, jobs, executor, progress)
        runs = []
        for one in self.runs:
            what_ifs = try_variations(one.plan, combinations, evaluate)
            if what_ifs:
                findings = one.findings if tried is self.dataset else evaluate((one.plan,))[0]
                found = Variations(len(tried.images), outcome_of(findings), what_ifs)
                one = replace(one, variations=found)
            runs.append(one)
        return replace(self, runs=tuple(runs))

    def _tried_on(self, most: int) -> Dataset:
        """Give the images that changes are tried on: all, or some evenly spread over those with objects."""
        if len(self.dataset.images) <= most and self.is_complete:
            return self.dataset
        indices = np.flatnonzero(np.diff(self.dataset.object_starts))
        if len(indices) > most:
            indices = indices[np.arange(most) * len(indices) // most]
        return self.dataset.take(indices.tolist())

    def _evaluator(self, tried: Dataset, jobs: int, executor: Any, progress: Progress | None) -> Evaluate:
        settings = replace(self.settings, reasons=False)

        def evaluate(plans: Sequence[Plan]) -> Sequence[Findings]:
            if not plans:
                return ()
            found = assign_dataset(
                plans, tried, self.scale, settings, jobs=jobs, executor=executor, progress=progress
            )
            if not found.is_complete:
                raise KeyboardInterrupt
            return [one.findings for one in found.runs]

        return evaluate

    def report(self) -> dict[str, Any]:
        """Collect everything that was found, in the form of ``report.json``."""
        return make_report(self)

    def write_report(self, path: PathLike) -> None:
        """Write ``report.json``."""
        write_report(self.report(), Path(path))


def run(
    annotations: Dataset | PathLike | None = None,
    assigners: str | PathLike | Sequence[str | PathLike] = (),
    *,
    format: Format | None = None,
    split: str | None = None,
    images: PathLike | None = None,
    image_ids: int | str | Collection[int | str] = (),
    categories: int | str | Collection[int | str] = (),
    limit: int | None = None,
    sample: int | None = None,
    overrides: str | Sequence[str] = (),
    image_scale: str = "1333x800",
    size_divisor: int = SIZE_DIVISOR,
    proposals: PathLike | None = None,
    predictions: PathLike | None = None,
    seed: int = 0,
    reasons: bool = True,
    backend: str = "numpy",
    device: str | None = None,
    batch_size: int = BATCH_SIZE,
    jobs: int = 1,
    executor: Any = None,
    progress: Progress | None = None,
) -> Audit:
    """Run label assigners over a data set, and count what they make of it.

    Parameters
    ----------
    annotations : Dataset or path, optional
        Default: the bundled sample.
    assigners : str or path, or sequence of them
        Names of presets, such as ``"retinanet"``, and config files, told by their ending ``.json`` or
        ``.toml``. Default: ``"rpn"``.
    format, split, images : optional
        What the annotations are, which part of them, and where the image files are, as `read_dataset` takes
        them.
    image_ids, categories, limit : optional
        Only these images; only the objects of these classes; at most so many images: see `Dataset.filter`.
    sample : int, optional
        Seed by which the images of `limit` are drawn, instead of the first.
    overrides : str or sequence of str
        ``"KEY=VALUE"`` for all assigners, ``"NAME:KEY=VALUE"`` for one.
    image_scale : str, default "1333x800"
        Limits of the edges that images are scaled to; ``"300x300!"`` for exactly that; or ``"original"``.
    size_divisor : int, default 32
        Images are padded to multiples of this.
    proposals, predictions : path, optional
        COCO results for second stages, and for assigners that read predictions. Default: simulated.
    seed : int, default 0
        Of what is simulated.
    reasons : bool, default True
        Whether to find out why objects have no positives, which assigns images with such objects twice.
    backend : {"numpy", "torch", "jax", "cupy"}
        Array library that computes.
    device : str, optional
        Where it computes, as the library calls it.
    batch_size : int, default 8
        Images at a time.
    jobs : int, default 1
        Processes of this machine. As always with processes, a script that takes more calls this beneath
        ``if __name__ == "__main__":``.
    executor : concurrent.futures.Executor or distributed.Client, optional
        Where to compute instead.
    progress : callable, optional
        Called with the numbers of images done and of all, at first and from time to time.

    Returns
    -------
    Audit
        Equal to the last bit for any number of jobs, batch size and executor, on one type of processor. After
        a KeyboardInterrupt it holds what was computed until then.

    Raises
    ------
    AuditError, InputFileError
        If something is wrong with what is given; the message is one line.
    TypeError
        If an argument is of a type that it cannot have.
    KeyboardInterrupt
        If it came before anything was computed.

    Examples
    --------
    >>> from assigncore import audit
    >>> found = audit.run(assigners=["rpn", "retinanet"])
    >>> found
    Audit of 4 images, 951 objects in bundled sample neon_trees.json (DeepForest, Weinstein et al. 2020, MIT)
      Run(rpn: 951 objects, 430 without positives)
      Run(retinanet: 951 objects, 20 without positives)
    >>> found["retinanet"].objects_table()["positives"].mean().round(1)
    np.float64(10.4)
    """
    _check_counts(1, limit=1 if limit is None else limit, jobs=jobs)
    _check_counts(1, size_divisor=size_divisor, batch_size=batch_size)
    _check_counts(0, sample=0 if sample is None else sample, seed=seed)
    given = several("assigners", assigners, str, os.PathLike, expected="names of presets or paths")
    files = [Path(one) for one in given if _is_file(one)]
    overrides = several("overrides", overrides, str, expected="texts KEY=VALUE")
    plans = make_plans([str(one) for one in given if not _is_file(one)], files, overrides)
    scale = parse_scale(image_scale, "--image-scale", size_divisor)
    if proposals is not None and not any(isinstance(p.priors, Proposals) for p in plans):
        raise AuditError("--proposals: no assigner of this run works on proposals; 'faster-rcnn-rcnn' does")
    if predictions is not None and not any(map(reads_predictions, plans)):
        raise AuditError("--predictions: no assigner of this run reads predictions; 'tood' and 'detr' do")
    if sample is not None and limit is None:
        raise AuditError("--sample: draws the images that --limit counts, which is not given")
    whole = _read(annotations, format, split, images)
    try:
        dataset = whole.filter(image_ids=image_ids, categories=categories, limit=limit, seed=sample)
    except ValueError as error:
        raise AuditError(f"{whole.source}: {error}") from None
    library, at = open_backend(backend, device)
    boxes = (
        None
        if proposals is None
        else load_results("--proposals", as_path("proposals", proposals), whole).of_part(dataset)
    )
    detections = None
    if predictions is not None:
        path = as_path("predictions", predictions)
        detections = load_results("--predictions", path, whole, with_classes=True)
        detections = detections.of_part(dataset)
    settings = Settings(library, at, batch_size, boxes, detections, seed, reasons)
    return assign_dataset(plans, dataset, scale, settings, jobs=jobs, executor=executor, progress=progress)


def assign_dataset(
    plans: Sequence[Plan],
    dataset: Dataset,
    scale: ImageScale | ExactSize,
    settings: Settings,
    *,
    jobs: int = 1,
    executor: Any = None,
    progress: Progress | None = None,
) -> Audit:
    """Do what `run` does, with everything built and read: see there."""
    by_chunk = assign_all(plans, dataset, scale, settings, jobs=jobs, executor=executor, progress=progress)
    done = sorted(by_chunk)
    runs = []
    for i, plan in enumerate(plans):
        names = make_layout(plan, dataset, settings).level_names
        findings = Findings.merged([by_chunk[number][i] for number in done])
        statistics = summarize(findings, names)
        notes = (*collect_notes(plan, dataset, settings), *about_counts(plan, statistics.priors))
        runs.append(Run(plan, dataset, plan.scale or scale, names, findings, statistics, notes))
    return Audit(tuple(runs), dataset, scale, settings, num_images(dataset, done))


def _read(
    annotations: Dataset | PathLike | None, format: Format | None, split: str | None, images: PathLike | None
) -> Dataset:
    if annotations is None or isinstance(annotations, Dataset):
        for option, value in {"format": format, "split": split, "images": images}.items():
            if value is not None:
                raise AuditError(f"--{option}: says how annotations are read, but none are given to read")
        return sample_dataset() if annotations is None else annotations
    path = as_path("annotations", annotations)
    try:
        return read_dataset(path, format, images=images, split=split)
    except InputFileError:
        raise
    except ValueError as error:
        raise AuditError(f"--{error}") from None


def _check_counts(least: int, **counts: Any) -> None:
    """Check that arguments are whole numbers of at least so much."""
    for name, value in counts.items():
        try:
            check_knob(name, value, at_least=least, integer=True)
        except ValueError as error:
            raise AuditError(str(error)) from None


def _is_file(assigner: str | PathLike) -> bool:
    """Tell a config file from a preset's name."""
    return isinstance(assigner, os.PathLike) or assigner.lower().endswith((".json", ".toml"))
