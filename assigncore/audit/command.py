"""`assigncore audit`: options in, table, report and pictures out, every mistake one line."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from assigncore.audit.assigning import BATCH_SIZE
from assigncore.audit.audit import Audit, run
from assigncore.audit.config import make_plans
from assigncore.audit.devices import BACKENDS
from assigncore.audit.errors import AuditError
from assigncore.audit.execution import connected
from assigncore.audit.page import make_page
from assigncore.audit.presets import DEFAULT_PRESET, PRESETS
from assigncore.audit.progress import shown_progress
from assigncore.audit.report import write_objects
from assigncore.audit.table import print_audit
from assigncore.audit.what_if import read_variations
from assigncore.backend.threads import num_cores
from assigncore.datasets import InputFileError
from assigncore.datasets.reading import FORMATS, Format
from assigncore.inspect.display import plural, shown
from assigncore.terminal import HeldOutput, OutputError, write_text
from assigncore.whole_files import write_whole

MAX_WARNINGS = 10

PICTURES = 8
"""Pictures of a gallery by default: as quick to draw as some hundred images are to assign."""

MAX_LINE = 2000
"""Characters of a line on stderr; names of files can be of any length."""

MIN_WIDTH = 72
"""Columns of the tables at least: in fewer they lose names and numbers, where terminals only break lines."""

LONG = 10.0
"""Seconds of assigning after which the extra for speed is named."""


class OneLineGroup(click.Group):
    """A command group that answers every mistake with one line on stderr and exit code 2."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and turn the exceptions of mistakes into that line."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except (AuditError, InputFileError, click.ClickException) as error:
            message = error.format_message() if isinstance(error, click.ClickException) else str(error)
            _say(f"Error: {message}")
            sys.exit(2)
        except MemoryError:
            click.echo("Error: out of memory; a smaller --image-scale or --batch-size needs less", err=True)
            sys.exit(2)
        except OSError as error:
            # Of what is written beside the report, such as the help: standard output may be closed or full.
            _say(f"Error: {error.strerror or error}")
            sys.exit(2)
        except click.Abort:
            click.echo("Interrupted", err=True)
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=OneLineGroup, invoke_without_command=True)
@click.version_option(package_name="assigncore")
@click.pass_context
def cli(context: click.Context) -> None:
    """Label assignment for object detection."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


class PathType(click.Path):
    """A path; an empty one, as a variable of the shell that is not set gives it, would be this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take a text for a path."""
        if not os.fspath(value):
            self.fail("expected a path, got ''", param, ctx)
        return super().convert(value, param, ctx)


PATH = PathType(path_type=Path)


@cli.command()
@click.argument("annotations", required=False, type=PATH)
@click.option(
    "--format", type=click.Choice(FORMATS), help="What ANNOTATIONS are. Default: what they look like."
)
@click.option("--split", help="Part of a YOLO or VOC data set: train, val, test. Default: train; all of VOC.")
@click.option(
    "--image-id",
    "image_ids",
    multiple=True,
    metavar="ID",
    help="Only this image, by id or file name. May be given several times.",
)
@click.option(
    "--category",
    "categories",
    multiple=True,
    metavar="NAME",
    help="Only the objects of this class, by name or id. May be given several times.",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many images, the first.")
@click.option(
    "--sample", type=click.IntRange(0), metavar="SEED", help="Draw the images of --limit at random."
)
@click.option(
    "--assigner",
    "assigners",
    multiple=True,
    metavar="[NAME=]PRESET",
    help=f"Published setting to audit: {', '.join(PRESETS)}. Default {DEFAULT_PRESET}. "
    "Give it several times to see several side by side, with names of their own if they are of one preset.",
)
@click.option(
    "--config",
    "configs",
    multiple=True,
    type=PATH,
    help="JSON or TOML file with your own setting: an assigner's config dict, or base, assigner, priors.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a knob: pos_iou_thr=0.6, priors.ratios=[0.5,1,2], allowed_border=0, "
    "image_scale=512x512!; "
    "NAME:KEY=VALUE for one of several assigners.",
)
@click.option(
    "--backend", type=click.Choice(BACKENDS), default="numpy", show_default=True, help="Array library."
)
@click.option("--device", help="Where it computes, as the library calls it: cpu, cuda, cuda:1.")
@click.option(
    "--batch-size", type=click.IntRange(1), default=BATCH_SIZE, show_default=True, help="Images at a time."
)
@click.option(
    "--image-scale",
    default="1333x800",
    show_default=True,
    metavar="LONGxSHORT",
    help="Limits of the edges that images are scaled to, aspect ratio kept; '300x300!' for exactly this "
    "width and height; or 'original'.",
)
@click.option(
    "--size-divisor",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Images are padded to multiples of this.",
)
@click.option(
    "--proposals",
    type=PATH,
    help="COCO results file with the proposals for a second stage. Without it they are simulated.",
)
@click.option(
    "--predictions",
    type=PATH,
    help="COCO results file with a detector's boxes, for assigners that read predictions. Without it they "
    "are simulated from the annotations.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of simulated proposals and predictions.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Processes of this machine. Default: one for each core.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Compute on a Dask cluster instead: the address of its scheduler, such as tcp://host:8786.",
)
@click.option(
    "--reasons/--no-reasons",
    default=True,
    show_default=True,
    help="Whether to find out why objects have no positives; images with such objects are assigned twice.",
)
@click.option(
    "--suggest",
    is_flag=True,
    help="Fit the anchors to the objects, try that and other changes, and advise what to change.",
)
@click.option(
    "--vary",
    "variations",
    multiple=True,
    metavar="KEY=VALUE,VALUE,...",
    help="Run every value of a knob, as priors.scales=[4],[8],[16]; of several, every combination.",
)
@click.option("--out", type=PATH, help="Folder for report.json and pictures.")
@click.option(
    "--images",
    type=PATH,
    help="Folder of the image files: for the gallery, and for sizes that the annotations lack.",
)
@click.option(
    "--gallery",
    type=click.IntRange(0),
    metavar="N",
    help=f"Images to draw for each assigner, the worst first. Default: {PICTURES} pictures in all.",
)
def audit(
    annotations: Path | None,
    format: Format | None,
    split: str | None,
    image_ids: tuple[str, ...],
    categories: tuple[str, ...],
    limit: int | None,
    sample: int | None,
    assigners: tuple[str, ...],
    configs: tuple[Path, ...],
    overrides: tuple[str, ...],
    backend: str,
    device: str | None,
    batch_size: int,
    image_scale: str,
    size_divisor: int,
    proposals: Path | None,
    predictions: Path | None,
    seed: int,
    jobs: int | None,
    scheduler: str | None,
    reasons: bool,
    suggest: bool,
    variations: tuple[str, ...],
    out: Path | None,
    images: Path | None,
    gallery: int | None,
) -> None:
    """Show what a label assigner makes of annotations, before anything is trained.

    ANNOTATIONS are a COCO or LVIS file, YOLO's data.yaml or folder, a folder of Pascal VOC's XML files or of
    DOTA's labels, or a CrowdHuman file, any of them packed by gzip.

    Without ANNOTATIONS it audits the bundled sample: 951 tree crowns in four airborne images.
    """
    if jobs is not None and scheduler is not None:
        raise AuditError("--jobs: says how many processes of this machine compute, but --scheduler others")
    read_variations(variations, make_plans(assigners, configs, overrides))
    pictures = None if out is None else _prepare_pictures(out)
    jobs = _default_jobs(backend, device) if jobs is None else jobs
    start = time.perf_counter()
    on_cluster = nullcontext() if scheduler is None else connected(scheduler)
    with on_cluster as executor, shown_progress() as progress:
        found = run(
            annotations,
            [*assigners, *configs],
            format=format,
            split=split,
            images=images,
            image_ids=image_ids,
            categories=categories,
            limit=limit,
            sample=sample,
            overrides=overrides,
            image_scale=image_scale,
            size_divisor=size_divisor,
            proposals=proposals,
            predictions=predictions,
            seed=seed,
            reasons=reasons,
            backend=backend,
            device=device,
            batch_size=batch_size,
            jobs=jobs,
            executor=executor,
            progress=progress,
        )
        seconds, is_complete = time.perf_counter() - start, found.is_complete
        # Whatever of the output fails, the rest is written, the report before anything else.
        failed: list[Exception] = []
        if out is not None:
            with _kept_in(failed, out):
                found.write_report(out / "report.json")
                _write_objects(found, out)
        if is_complete and (suggest or variations):
            where = {"jobs": jobs, "executor": executor, "progress": progress}
            found, is_complete = _try_changes(found, suggest, variations, **where)
            if out is not None:
                with _kept_in(failed, out):
                    found.write_report(out / "report.json")
                    _write_advice(found, out)
    if not found.is_complete:
        done = plural(found.images_done, "image")
        click.echo(f"Interrupted: what was computed of {done} is written and shown", err=True)
    _say_what_is_quicker(seconds)
    _warn(found)
    tables = HeldOutput()
    console = Console(file=tables)
    console.width = max(console.width, MIN_WIDTH)
    print_audit(console, found)
    with _kept_in(failed, out):
        tables.write_out()
    if out is not None and pictures is not None:
        dataset = found.dataset
        count = max(1, PICTURES // len(found)) if gallery is None else gallery
        with _kept_in(failed, out):
            with Console(stderr=True).status("drawing the pictures"):
                drawn = pictures.draw_all(
                    found.runs, dataset, found.settings, out, dataset.image_folder, count
                )
            write_whole(out / "report.html", make_page(found, drawn))
            files = f"{out / 'report.html'}, {out / 'report.json'}"
            write_text(f"\nWrote {files} and {sum(map(len, drawn))} pictures\n")
    if failed:
        raise failed[0]
    if not is_complete:
        raise click.Abort


@contextmanager
def _kept_in(failed: list[Exception], out: Path | None) -> Iterator[None]:
    """Keep an error of the output for later; files are written beside their places, in hidden ones."""
    try:
        yield
    except OutputError as error:
        failed.append(AuditError(f"{error}; {out / 'report.json'} is whole" if out else str(error)))
    except OSError as error:
        name = str(error.filename2 or error.filename or "")
        where = f" {name}" if name and not name.endswith(".part") else ""
        failed.append(AuditError(f"--out {out}:{where} cannot be written: {error.strerror or error}"))


def _try_changes(found: Audit, suggest: bool, variations: Sequence[str], **where: Any) -> tuple[Audit, bool]:
    """Try what is asked for, and tell whether all of it was tried; an interrupted run keeps the audit."""
    try:
        if variations:
            found = found.vary(variations, **where)
        if suggest:
            found = found.suggest(**where)
    except KeyboardInterrupt:
        click.echo("Interrupted: not all changes were tried, the audit itself is whole", err=True)
        return found, False
    return found, True


def _write_objects(found: Audit, out: Path) -> None:
    """Write every assigner's objects."""
    for one, folder in zip(found, _folders(found, out), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        write_objects(one, folder)


def _write_advice(found: Audit, out: Path) -> None:
    """Write the settings that are advised where `--config` can read them."""
    for one, folder in zip(found, _folders(found, out), strict=True):
        if one.advice is not None and one.advice.config:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "advice.toml", one.advice.config)


def _folders(found: Audit, out: Path) -> list[Path]:
    """Give every assigner's folder."""
    from assigncore.audit.style import slugs  # Needs Matplotlib, as all of --out does.

    return [out / name for name in slugs([one.name for one in found])]


def _default_jobs(backend: str, device: str | None) -> int:
    """Take all cores where the host computes; a device, and JAX's compiler, serve one process."""
    return num_cores() if backend in ("numpy", "torch") and device in (None, "cpu") else 1


def _prepare_pictures(out: Path) -> Any:
    """Make the folder and load what draws, so that neither fails after the work is done."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(f"--out {out}: cannot make this folder: {error.strerror}") from None
    try:
        return importlib.import_module("assigncore.audit.pictures")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        hint = 'pip install "assigncore[audit]"'
        raise AuditError(
            f"--out: pictures need the package {package}, which is not installed: {hint}"
        ) from None


def _warn(found: Audit) -> None:
    """Name the broken annotations, and the proposals and predictions that are not used, on stderr."""
    dataset, results = found.dataset, (found.settings.proposals, found.settings.predictions)
    for skipped in dataset.skipped[:MAX_WARNINGS]:
        _say(f"Warning: {dataset.source}: {skipped}; skipped")
    more = len(dataset.skipped) - MAX_WARNINGS
    if more > 0:
        _say(f"Warning: {dataset.source}: {plural(more, 'more broken annotation')} skipped")
    lines = [line for one in results if one is not None for line in one.warnings()]
    # Each once: one file can hold both proposals and predictions.
    for line in dict.fromkeys(lines):
        _say(f"Warning: {line}")


def _say(line: str) -> None:
    """Write a line on stderr, with nothing in it that a terminal would act upon."""
    click.echo(shown(line, MAX_LINE), err=True)


def _say_what_is_quicker(seconds: float) -> None:
    """Name the extra that would have spared most of a long wait."""
    if seconds > LONG and find_spec("numba") is None:
        hint = "pip install 'assigncore[fast]'"
        click.echo(f"Assigning took {seconds:.0f} s; {hint} makes it several times faster on a CPU", err=True)
