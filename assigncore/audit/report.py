"""The report: everything the audit found, as one JSON document."""

from __future__ import annotations

import csv
import importlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from assigncore.audit.advice import Advice
from assigncore.audit.results import Results
from assigncore.audit.runs import Run
from assigncore.inspect.object_sizes import SIZE_CLASSES
from assigncore.whole_files import whole_file, write_whole

if TYPE_CHECKING:
    from assigncore.audit.audit import Audit

SCHEMA_VERSION = 1


def unmatched_rows(run: Run) -> list[dict[str, Any]]:
    """List the objects without positives in the data set's order, sizes in original and training pixels."""
    objects, places = run.findings.objects, run.places
    oriented = run.dataset.all_objects.oriented
    rows = []
    for i in np.nonzero(objects.totals == 0)[0].tolist():
        annotation, frame = run.annotation(i), run.scale.frame(run.image(i))
        x1, y1, x2, y2 = annotation.bbox
        scaled = frame.scale(np.asarray([annotation.bbox]))[0]
        rows.append(
            {
                "image_id": annotation.image_id,
                "file_name": frame.image.file_name,
                "annotation_id": annotation.id,
                "category": run.dataset.categories[annotation.category_id],
                "size_class": SIZE_CLASSES[objects.size[i]],
                "width": round(x2 - x1, 2),
                "height": round(y2 - y1, 2),
                "oriented": None if oriented is None else oriented[places[i]].round(4).tolist(),
                "training_width": round(float(scaled[2] - scaled[0]), 2),
                "training_height": round(float(scaled[3] - scaled[1]), 2),
                "best_overlap": (
                    None if objects.best_overlaps is None else round(float(objects.best_overlaps[i]), 4)
                ),
                "reason": run.reason(i),
            }
        )
    return rows


def make_report(audit: Audit) -> dict[str, Any]:
    """Collect the report; the keys are described in docs/audit.md.

    Nothing in it depends on the time or on how fast the machine is, so equal inputs give equal reports.
    """
    dataset, settings = audit.dataset, audit.settings
    return {
        "schema": "assigncore-audit",
        "schema_version": SCHEMA_VERSION,
        "versions": {
            "python": platform.python_version(),
            **{
                name: _version(name) for name in dict.fromkeys(("assigncore", "numpy", settings.backend.name))
            },
        },
        "backend": settings.backend.name,
        "device": None if settings.device is None else str(settings.device),
        "settings": {**asdict(audit.scale), "batch_size": settings.batch_size, "seed": settings.seed},
        "images_done": audit.images_done,
        "data": {
            "source": dataset.source,
            "format": dataset.format,
            "images": len(dataset.images),
            "images_without_objects": int(np.sum(np.diff(dataset.object_starts) == 0)),
            "objects": len(dataset.all_objects),
            "crowd_regions": len(dataset.all_crowds),
            "categories": len(dataset.categories),
            "clipped": dataset.num_clipped,
            "dropped": dataset.dropped,
            "notices": dataset.notices,
            "num_skipped": len(dataset.skipped),
            "skipped": [asdict(s) for s in dataset.skipped],
        },
        "predictions": None if settings.predictions is None else _results_section(settings.predictions),
        "runs": [_run_section(run) for run in audit.runs],
    }


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write the report as JSON; numbers that JSON does not know become strings."""
    write_whole(path, json.dumps(_plain(report), indent=1, default=str) + "\n")


def write_objects(run: Run, folder: Path) -> None:
    """Write a row for each object to ``objects.csv``, and to ``objects.parquet`` where pyarrow is there."""
    table = run.objects_table()
    columns = {name: column.tolist() for name, column in table.items()}
    for name in ("best_overlap", "training_width", "training_height"):
        columns[name] = [None if math.isnan(x) else round(x, 4) for x in columns[name]]
    with whole_file(folder / "objects.csv") as file:
        writer = csv.writer(_Lines(file))
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    if find_spec("pyarrow") is not None:
        arrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
        typed = {
            name: [str(x).encode(errors="backslashreplace").decode() for x in column]
            if table[name].dtype == object
            else column
            for name, column in columns.items()
        }
        with whole_file(folder / "objects.parquet", "wb") as file:
            parquet.write_table(arrow.table(typed), file)


class _Lines:
    """A file to which rows of CSV go, with line feeds between them.

    The writer ends them by a carriage return as well, since otherwise it would not quote one in a name.
    """

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def write(self, row: str) -> int:
        """Write a row."""
        return self.file.write(row.removesuffix("\r\n") + "\n")


def _results_section(results: Results) -> dict[str, Any]:
    images = [{"image_id": name, "entries": count} for name, count in results.unknown_images.items()]
    return {
        "source": str(results.path),
        "used": results.num_used,
        "without_area": sum(
            int(np.sum(np.any(found.boxes[:, :2] >= found.boxes[:, 2:], axis=-1)))
            for found in results.detections.values()
        ),
        "num_broken": len(results.broken),
        "broken": results.broken,
        "unknown_images": images,
        "suspicions": results.suspicions,
    }


def _run_section(run: Run) -> dict[str, Any]:
    statistics, settings = run.statistics, run.plan.settings
    unmatched = unmatched_rows(run)
    return {
        "name": run.plan.name,
        "source": settings.source,
        "assigner": settings.assigner,
        "priors": settings.priors,
        "approxs": settings.approxs,
        "allowed_border": settings.allowed_border,
        "image_scale": settings.image_scale,
        "notes": run.notes,
        "objects_by_size": [asdict(row) for row in statistics.sizes],
        "objects_by_category": [asdict(row) for row in run.categories],
        "reasons": [asdict(row) for row in statistics.reasons],
        "levels": [asdict(row) for row in statistics.levels],
        "prior_split": {**asdict(statistics.priors), "total": statistics.priors.total},
        "best_overlap": None if statistics.overlaps is None else asdict(statistics.overlaps),
        "matched_overlap": None if statistics.matched is None else asdict(statistics.matched),
        "advice": None if run.advice is None else _advice_section(run.advice),
        "variations": None if run.variations is None else asdict(run.variations),
        "num_unmatched": len(unmatched),
        "unmatched": unmatched,
    }


def _advice_section(advice: Advice) -> dict[str, Any]:
    return {**asdict(advice), "overrides": advice.overrides, "outcome": asdict(advice.outcome)}


def _version(package: str) -> str | None:
    """Find a library's version; a wheel may go by another name than its module (cupy-cuda12x)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _plain(value: Any) -> Any:
    """Turn mappings and tuples into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
