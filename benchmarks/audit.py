"""Measure the audit: images a second by preset and jobs, memory, how cost grows, and a worker that is killed.

    python benchmarks/audit.py [--images 20000] [--memory 100000] [--presets rpn,atss] [--part speed ...]

The data are the 100 COCO images of the tests, repeated with the sides of their boxes scaled by up to a tenth.
Each figure is of a process of its own. On a machine that others use too, images a second of wall-clock time
say little; those a second of processor time, of all processes together, say more.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assigncore import audit
from assigncore.audit.presets import PRESETS
from assigncore.datasets import read_coco

COCO = Path(__file__).resolve().parents[1] / "tests" / "data" / "coco_val2014_100.json.xz"
BEFORE_TRAINING = ("rpn", "nwd", "rfla", "retinanet", "faster-rcnn-rcnn", "ssd", "atss", "vfnet", "yolof")
BEFORE_TRAINING += ("fsaf", "fcos", "reppoints", "guided-anchoring", "guided-anchoring-shape")
PARTS = ("speed", "memory", "growth", "cluster")


def write_scaled(path: Path, images: int, *, copies: int = 1) -> None:
    """Write a COCO file of so many images, each with its objects `copies` times, jittered anew."""
    source = json.loads(lzma.decompress(COCO.read_bytes()))
    rng = random.Random(0)
    objects: dict[int, list[dict[str, Any]]] = {}
    for annotation in source["annotations"]:
        objects.setdefault(annotation["image_id"], []).append(annotation)
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": source["categories"]}
    for i in range(images):
        image = source["images"][i % len(source["images"])]
        document["images"].append({**image, "id": i + 1, "file_name": f"{i + 1:012d}.jpg"})
        for annotation in objects.get(image["id"], []) * copies:
            x, y, width, height = annotation["bbox"]
            scale = rng.uniform(0.9, 1.1)
            width = max(1, min(width * scale, image["width"] - x))
            height = max(1, min(height * scale, image["height"] - y))
            number = len(document["annotations"]) + 1
            own = {"id": number, "image_id": i + 1, "bbox": [x, y, width, height], "area": width * height}
            document["annotations"].append({**annotation, **own})
    path.write_text(json.dumps(document), encoding="utf-8")


def seconds_of_processors() -> float:
    """Give the processor time of this process and of those it has started and seen end."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(path: str, preset: str, jobs: int, overrides: list[str]) -> dict[str, float]:
    """Audit a file; what is compiled and imported by then is not counted."""
    dataset = read_coco(path)
    audit.run(dataset.part(0, 8), preset, overrides=overrides)
    began, used = time.perf_counter(), seconds_of_processors()
    found = audit.run(dataset, preset, overrides=overrides, jobs=jobs)
    wall, processors = time.perf_counter() - began, seconds_of_processors() - used
    priors = found[0].statistics.priors.total / found.images_done
    return {"images": found.images_done, "wall": wall, "processors": processors, "priors": priors}


def measured(path: Path, preset: str, jobs: int, *overrides: str) -> dict[str, float]:
    """Measure in a process of its own."""
    words = [sys.executable, __file__, "--one", str(path), preset, str(jobs), *overrides]
    result: dict[str, float] = json.loads(subprocess.check_output(words).splitlines()[-1])
    return result


def rates(found: dict[str, float]) -> str:
    """Say how many images a second, by the clock and by the processors."""
    return f"{found['images'] / found['wall']:,.0f} | {found['images'] / found['processors']:,.0f}"


def speed(folder: Path, images: int, presets: tuple[str, ...]) -> Iterator[str]:
    """Measure every preset with one process and with two."""
    path = folder / "scaled.json"
    write_scaled(path, images)
    few = folder / "few.json"
    write_scaled(few, max(500, images // 10))
    yield f"| {images:,} images | priors an image | 2 jobs, images/s | of processors | 1 job | of it |"
    yield "|---|---|---|---|---|---|"
    for preset in presets:
        two, one = measured(path, preset, 2), measured(few, preset, 1)
        yield f"| `{preset}` | {two['priors']:,.0f} | {rates(two)} | {rates(one)} |"


def growth(folder: Path, images: int, _: tuple[str, ...]) -> Iterator[str]:
    """Measure how the cost grows with images, with objects of an image, and with priors of an image."""
    yield "| | images | objects an image | priors an image | ms of processor time an image |"
    yield "|---|---|---|---|---|"
    fewer = max(500, images // 20)
    cases = [(fewer, 1, ()), (2 * fewer, 1, ()), (4 * fewer, 1, ()), (fewer, 4, ()), (fewer, 16, ())]
    cases += [(fewer, 1, (f"image_scale={edge}",)) for edge in ("667x400", "2666x1600")]
    for preset in ("atss", "retinanet"):
        for count, copies, overrides in cases:
            path = folder / f"{count}_{copies}.json"
            if not path.exists():
                write_scaled(path, count, copies=copies)
            found = measured(path, preset, 1, *overrides)
            each = 1e3 * found["processors"] / found["images"]
            yield f"| `{preset}` | {count:,} | {8.3 * copies:,.1f} | {found['priors']:,.0f} | {each:.2f} |"


def memory(folder: Path, images: int, presets: tuple[str, ...]) -> Iterator[str]:
    """Watch the memory of the command and all of its processes, over a file of many images."""
    path = folder / "many.json"
    write_scaled(path, images)
    yield "| preset, 2 jobs | file | images | largest resident size of all processes together | seconds |"
    yield "|---|---|---|---|---|"
    for preset in [name for name in ("atss", "rpn") if name in presets]:
        began, most = time.perf_counter(), 0.0
        words = [sys.executable, "-m", "assigncore", "audit", str(path), "--assigner", preset, "--jobs", "2"]
        command = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while command.poll() is None:
            most = max(most, sum(map(resident_bytes, family(command.pid))))
            time.sleep(0.2)
        size, seconds = path.stat().st_size / 1e6, time.perf_counter() - began
        yield f"| `{preset}` | {size:.0f} MB | {images:,} | {most / 1e6:,.0f} MB | {seconds:.0f} |"


def family(pid: int) -> list[int]:
    """List a process and all that it has started, as Linux tells."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


def resident_bytes(pid: int) -> float:
    """Tell how much memory a process holds; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def cluster(folder: Path, images: int, _: tuple[str, ...]) -> Iterator[str]:
    """Audit on a local cluster of two workers, of which one is killed when a quarter is done."""
    from distributed import Client, LocalCluster

    path = folder / "cluster.json"
    write_scaled(path, images)
    dataset = read_coco(path)
    expected = audit.run(dataset, "atss").report()
    yield "| `atss` on a local cluster | workers | killed | seconds | same report |\n|---|---|---|---|---|"
    for workers, kills in ((1, False), (2, False), (2, True)):
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
            Client(local, set_as_default=False) as client,
        ):
            audit.run(dataset.part(0, 1024), "atss", executor=client)
            pids = list(client.run(os.getpid).values()) if kills else []

            def kill_one(done: int, total: int, pids: list[int] = pids) -> None:
                if pids and done > total / 4:
                    os.kill(pids.pop(), signal.SIGKILL)
                    pids.clear()

            began = time.perf_counter()
            found = audit.run(dataset, "atss", executor=client, progress=kill_one)
            seconds, same = time.perf_counter() - began, found.report() == expected
            yield f"| {images:,} images | {workers} | {'one' if kills else 'none'} | {seconds:.1f} | {same} |"


def main() -> None:
    """Print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--memory", type=int, default=100_000)
    parser.add_argument("--presets", type=lambda text: tuple(text.split(",")), default=BEFORE_TRAINING)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        path, preset, jobs, *overrides = asked.one
        print(json.dumps(measure(path, preset, int(jobs), overrides)))
        return
    for preset in asked.presets:
        if preset not in PRESETS:
            parser.error(f"unknown preset {preset!r}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, nice {os.nice(0)}", flush=True)
    parts = {"speed": speed, "memory": memory, "growth": growth, "cluster": cluster}
    with tempfile.TemporaryDirectory() as folder:
        for part in asked.part or PARTS:
            images = asked.memory if part == "memory" else asked.images
            print(flush=True)
            for line in parts[part](Path(folder), images, asked.presets):
                print(line, flush=True)


if __name__ == "__main__":
    main()
