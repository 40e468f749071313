"""Train real models of other frameworks for two steps, with their assigners and with ours: ``make clients``.

Each model is run twice in processes of their own, from the same seed on the same synthetic images; losses and
gradient norms are compared. What is done is in the record already, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RECORD = HERE / "results.json"
PAGE = HERE.parent / "docs" / "clients.md"

CLOSE = (1e-5, 1e-4)
"""Relative difference of losses and norm that last bits make: the second step starts from other weights."""

SMALL = 1e-3
"""What is smaller is compared absolutely, to this scale."""

FINE = ("equal", "last bits", "ties", "left", "ran")
"""Verdicts that ask for nothing."""

SETTINGS = {"OMP_NUM_THREADS": "1", "YOLO_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
"""The environment of the processes: both sides run at once, each on a core, and nothing is fetched."""

LIMIT = 600
"""Seconds a model may take."""


def run_script(name: str, *arguments: str) -> dict[str, Any]:
    """Run a script beside this one in a process of its own; give the JSON of its last line, or the error."""
    command = [sys.executable, "-W", "ignore", str(HERE / name), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {LIMIT} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no word"])[-1][:300]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def train(ties: str, client: str, models: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train models one after another with their assigner and with ours; yield each and how they compare."""
    command = [sys.executable, "-W", "ignore", str(HERE / "models.py"), ties, client, *models]
    # What the frameworks say is of use only where one fails, which the record says too.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            yield told["model"], compare(told["theirs"], told["ours"])


def train_twice(client: str, models: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train models, and those that differ again with ties pinned."""
    different = {}
    for model, found in train("free", client, models):
        if found["verdict"] == "different":
            different[model] = found
        else:
            yield model, found
    for model, found in train("pinned", client, list(different)) if different else ():
        if found["verdict"] in ("equal", "last bits"):
            yield model, {**found, "verdict": "ties", "free": different[model]["apart"]}
        else:
            yield model, different[model]


def run_configs(framework: str) -> dict[str, Any]:
    """Hold the assigners of a framework's published configs together with ours; see ``configs.py``."""
    found = run_script("configs.py", framework)
    if "error" not in found:
        return found
    return {"assigners": {"none": {"config": "", "verdict": "failed", "why": found["error"]}}, "unread": []}


def run_page(part: str) -> dict[str, Any]:
    """Execute a part of a page of docs/coming_from; see ``pages.py``."""
    found = run_script("pages.py", part)
    return {"verdict": "failed", "why": found["error"]} if "error" in found else found


def compare(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Compare two sides: the largest relative difference of a loss or a norm in any step."""
    for side, found in (("theirs", theirs), ("ours", ours)):
        if "error" in found:
            return {"verdict": "failed", "why": f"{side}: {found['error']}"}
    each = [
        [abs(a - b) / max(abs(a), SMALL) for a, b in zip(*step, strict=True)]
        for step in zip(theirs["numbers"], ours["numbers"], strict=True)
    ]
    apart = max(max(step) for step in each)
    if not all(math.isfinite(number) for step in theirs["numbers"] for number in step):
        return {"verdict": "failed", "why": "theirs: a loss or norm is not finite"}
    if not ours["switched"]:
        verdict = "left"
    else:
        close = all(max(step) <= bound for step, bound in zip(each, CLOSE, strict=True))
        verdict = "equal" if apart == 0 else "last bits" if close else "different"
    return {"verdict": verdict, "apart": apart, "switched": ours["switched"], "left": ours["left"]}


def page(record: dict[str, Any]) -> str:
    """Write the page of a record."""
    lines = [
        "# Real clients",
        "",
        "Written by `make clients`: models built from the frameworks' own settings train for two steps on",
        "synthetic images, with their assigners and with ours. Compared are each of the losses and the norm",
        "of its gradients. *Equal* is to the bit, *last bits* within 1e-5 relative, and 1e-4 in the second",
        "step, whose weights differ already; *ties* is one of these once every sort and top-k takes the",
        "lowest index among equals, which PyTorch leaves open; *left* is what has no assigner, or one of",
        "another kind, which the switch names and leaves.",
        "",
        "Of MMDetection's config folders those have no model here that train a method of another folder",
        "on other data, with another backbone or schedule; GLIP, whose head needs layers of an earlier",
        "version of transformers; ConvNeXt, which is MMPretrain's; the trackers QDTrack, MaskTrack R-CNN and",
        "Mask2Former for video, which train on pairs of frames; and Soft Teacher, which trains on images",
        "without labels.",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in record["versions"].items()) + ".",
        "",
        "| client | model | losses and gradients | largest difference | switched |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, found in sorted(record["models"].items()):
        client, model = key.split("/", 1)
        apart = f"{found['apart']:.1e}" if "apart" in found else found.get("why", "")
        places = len(found.get("switched", ()))
        lines.append(f"| {client} | `{model}` | {found['verdict']} | {apart} | {places} |")
    return "\n".join([*lines, *_page_of_pages(record["pages"]), *_page_of_configs(record["configs"])]) + "\n"


def _page_of_pages(parts: dict[str, Any]) -> list[str]:
    lines = [
        "",
        "## The pages of coming_from",
        "",
        "Each block of Python of the [pages](coming_from/README.md), and the pieces of code in their lines",
        "that switch, are read from the page and executed in the framework. Two training steps before and",
        "after are compared, with ties as they are.",
        "",
        "| page | code begins | what it showed |",
        "| --- | --- | --- |",
    ]
    for found in parts.values():
        page = f"[{found['page']}.md](coming_from/{found['page']}.md)" if "page" in found else ""
        lines.append(f"| {page} | `{found.get('code', '')}` | {found['verdict']}: {found['why']} |")
    return lines


def _page_of_configs(configs: dict[str, Any]) -> list[str]:
    lines = [
        "",
        "## Assigners of published configs",
        "",
        "Every distinct `assigner` dict of the frameworks' config files, under whatever key, built by their",
        "registry and by one that has the drop-ins alone, and called with three random scenes. Of theirs,",
        "every sort and top-k takes the lowest index among equals. Indices, labels and flags are compared to",
        "the bit, overlaps, boxes and scores to 1e-5. Files cannot be read that import a package that is not",
        "here, or name a file that was not published.",
        "",
        "| framework | dicts | equal | left | otherwise | files that cannot be read |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for framework, told in configs.items():
        verdicts = [each["verdict"] for each in told["assigners"].values()]
        equal, left = verdicts.count("equal"), verdicts.count("left")
        counts = (len(verdicts), equal, left, len(verdicts) - equal - left, len(told["unread"]))
        lines.append(f"| {framework} | " + " | ".join(str(n) for n in counts) + " |")
    for framework, told in configs.items():
        lines += ["", f"### {framework}", ""]
        lines += ["| assigner | first found in | answers |", "| --- | --- | --- |"]
        for key, each in sorted(told["assigners"].items()):
            answer = each["verdict"] + (f": {each['why']}" if each["why"] else "")
            lines.append(f"| `{key}` | {each['config']} | {answer} |")
    return lines


def main() -> int:
    """Run what the record lacks; return 0 if nothing is different or failed."""
    parser = argparse.ArgumentParser(prog="clients", description=__doc__)
    parser.add_argument("--only", default="", help="clients or models whose name contains this")
    parser.add_argument("--again", action="store_true", help="forget what the record has")
    asked = parser.parse_args()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    record: dict[str, Any] = {"versions": {}, "models": {}, "pages": {}, "configs": {}}
    if RECORD.exists() and not asked.again:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    listed = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "models.py")], capture_output=True, text=True, check=True
    )
    told = json.loads(listed.stdout.splitlines()[-1])
    record["versions"] = told["versions"]
    for client, models in told["models"].items():
        verdicts = {model: record["models"].get(f"{client}/{model}", {}).get("verdict") for model in models}
        wanted = [
            model
            for model, verdict in verdicts.items()
            if asked.only in f"{client}/{model}" and verdict not in FINE
        ]
        for model, found in train_twice(client, wanted) if wanted else ():
            record["models"][f"{client}/{model}"] = found
            RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            print(f"{client}/{model}", found["verdict"], found.get("apart", found.get("why")), flush=True)
    for part in told["pages"]:
        verdict = record["pages"].get(part, {}).get("verdict")
        if asked.only not in f"pages/{part}" or verdict in FINE:
            continue
        record["pages"][part] = run_page(part)
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"pages/{part}", record["pages"][part]["verdict"], record["pages"][part]["why"], flush=True)
    for framework in told["configs"]:
        configs = record["configs"].get(framework, {"assigners": {}})["assigners"].values()
        done = configs and all(one["verdict"] in FINE for one in configs)
        if asked.only not in f"configs/{framework}" or done:
            continue
        record["configs"][framework] = run_configs(framework)
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        verdicts = [one["verdict"] for one in record["configs"][framework]["assigners"].values()]
        print(f"configs/{framework}: {verdicts.count('equal')} of {len(verdicts)} equal", flush=True)
    PAGE.write_text(page(record), encoding="utf-8")
    every = [*record["models"].values(), *record["pages"].values()]
    every += [one for told in record["configs"].values() for one in told["assigners"].values()]
    return int(any(found["verdict"] not in FINE for found in every))


if __name__ == "__main__":
    sys.exit(main())
