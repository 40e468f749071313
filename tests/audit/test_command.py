"""The command line as a user meets it: what it prints, what it writes, and one line for every mistake."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

import assigncore
from assigncore import cli
from assigncore.audit import chunks, run
from assigncore.audit import command as command_module


def said(result):
    """Return the lines on stderr."""
    return result.stderr.splitlines()


def test_without_a_file_it_audits_the_bundled_sample(command):
    result = command("audit")
    assert result.exit_code == 0
    assert said(result) == []
    assert "bundled sample neon_trees.json" in result.stdout
    assert "4 images, 951 objects" in result.stdout
    assert "Objects without any positive" in result.stdout


def test_an_own_file_with_every_option(command, document, write, tmp_path):
    results = [{"image_id": 3, "category_id": 9, "bbox": [20, 30, 130, 140], "score": 0.9}]
    out = tmp_path / "deep" / "out"
    result = command(
        *("audit", write(document), "--assigner", "rpn", "--assigner", "faster-rcnn-rcnn"),
        *("--config", write({"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4}, "own.json")),
        *("--set", "rpn:pos_iou_thr=0.6", "--backend", "numpy", "--device", "cpu", "--batch-size", 3),
        *("--image-scale", "original", "--size-divisor", 64, "--seed", 5, "--gallery", 1),
        *("--proposals", write(results, "results.json"), "--out", out, "--images", tmp_path),
    )
    assert result.exit_code == 0, result.output
    assert said(result) == []
    report = json.loads((out / "report.json").read_text())
    assert [run["name"] for run in report["runs"]] == ["rpn pos_iou_thr=0.6", "faster-rcnn-rcnn", "own"]
    assert report["runs"][0]["assigner"]["pos_iou_thr"] == 0.6
    assert report["settings"]["size_divisor"] == 64
    assert report["settings"]["batch_size"] == 3
    assert report["runs"][1]["num_unmatched"] == 3
    assert f"Wrote {out / 'report.html'}, {out / 'report.json'} and 13 pictures" in result.stdout
    assert len(list(out.rglob("*.png"))) == 13


def test_no_gallery_if_none_is_wanted(command, document, write, tmp_path):
    assert command("audit", write(document), "--out", tmp_path / "o", "--gallery", 0).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "o").rglob("*.png")) == [
        "best_overlap.png",
        "levels.png",
        "positives.png",
    ]


def test_the_gallery_of_an_earlier_run_goes_and_nothing_else_does(command, document, write, tmp_path):
    options = ("audit", write(document), "--assigner", "atss", "--out", tmp_path / "o")
    assert command(*options, "--assigner", "rpn").exit_code == 0
    folder = tmp_path / "o" / "atss" / "gallery"
    assert sorted(p.name for p in folder.iterdir()) == ["01_a.png", "02_b.png"]
    mine = ["03_c.png", "01_a b.png", "01_a.jpg", "notes.txt", "01_a.png.txt"]
    for name in mine:
        (folder / name).write_text("mine")
    (folder / "04_folder.png").mkdir()
    kept = sorted([*mine, "04_folder.png"])
    assert command(*options, "--gallery", 1).exit_code == 0
    assert sorted(p.name for p in folder.iterdir()) == sorted([*kept, "01_a.png"])
    others = tmp_path / "o" / "rpn" / "gallery"
    assert len(list(others.iterdir())) == 2
    assert command(*options, "--gallery", 0).exit_code == 0
    assert sorted(p.name for p in folder.iterdir()) == kept
    assert all((folder / name).read_text() == "mine" for name in mine)


def test_the_page_shows_what_this_run_drew_and_nothing_else(command, document, write, tmp_path):
    folder = tmp_path / "o" / "own"
    options = ("audit", write(document), "--out", tmp_path / "o", "--gallery", 1, "--assigner")
    assert command(*options, "own=rpn", "--assigner", "atss").exit_code == 0
    assert (folder / "best_overlap.png").is_file()
    (folder / "gallery" / "mine.png").write_bytes(b"mine")
    assert command(*options, "own=fcos").exit_code == 0
    shown = re.findall('<img alt="([^"]*)"', (tmp_path / "o" / "report.html").read_text())
    assert shown == ["positives", "levels", "01 a"]
    assert not (folder / "best_overlap.png").exists()
    assert not (tmp_path / "o" / "comparison.png").exists()
    assert (folder / "gallery" / "mine.png").read_bytes() == b"mine"


def test_a_picture_takes_the_place_of_no_other_file(command, document, write, tmp_path):
    folder = tmp_path / "o" / "rpn" / "gallery"
    folder.mkdir(parents=True)
    (folder / "01_a.png").write_text("mine")
    for _ in range(2):
        assert command("audit", write(document), "--out", tmp_path / "o").exit_code == 0
        assert sorted(p.name for p in folder.iterdir()) == ["01_a.png", "01_a_2.png", "02_b.png"]
    assert (folder / "01_a.png").read_text() == "mine"


def test_simulated_proposals_are_announced(command, document, write):
    result = command("audit", write(document), "--assigner", "faster-rcnn-rcnn")
    assert "SIMULATED" in result.stdout


def test_crowd_regions_without_effect_are_announced(command, document, write):
    path = write(document)
    assert "the crowd region changes nothing: ignore_iof_thr is -1" in command("audit", path).stdout
    assert "changes nothing" not in command("audit", path, "--set", "ignore_iof_thr=0.5").stdout


def test_one_broken_annotation_is_named_skipped_and_counted(command, document, write, tmp_path):
    document["annotations"][1]["bbox"] = [100, 100, -40, 50]
    path = write(document)
    result = command("audit", path, "--out", tmp_path / "out", "--gallery", 0)
    assert result.exit_code == 0
    lines = said(result)
    assert len(lines) == 1
    assert lines[0].startswith(f"Warning: {path}: annotation 12: bbox: expected width and height above 0")
    assert "3 objects" in result.stdout
    assert "1 broken annotation skipped" in " ".join(result.stdout.split())
    data = json.loads((tmp_path / "out" / "report.json").read_text())["data"]
    assert data["num_skipped"] == 1
    assert data["skipped"][0]["annotation_id"] == 12


def test_many_broken_annotations_are_named_up_to_ten(command, document, write):
    document["annotations"] += [{"id": 100 + i} for i in range(25)]
    lines = said(command("audit", write(document)))
    assert len(lines) == 11
    assert lines[-1].endswith("15 more broken annotations skipped")


GOOD = "GOOD"
WRONG = {
    "a wrong path": (["nowhere.json"], "no such file"),
    "a folder": (["."], "is a folder"),
    "an empty file": ([""], "is empty"),
    "no JSON": (["{oops"], "is not valid JSON"),
    "JSON that is not COCO": ([{"info": {}, "boxes": []}], "is not a COCO annotation file"),
    "a results file": (
        [[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]],
        "is not a COCO annotation file",
    ),
    "an unknown preset": ([GOOD, "--assigner", "retinanett"], "did you mean retinanet?"),
    "an unknown knob": ([GOOD, "--set", "pos_iou=0.5"], "did you mean pos_iou_thr"),
    "a knob out of range": ([GOOD, "--set", "neg_iou_thr=[0.5, 0.1]"], "neg_iou_thr"),
    "an override without value": ([GOOD, "--set", "pos_iou_thr"], "expected KEY=VALUE"),
    "an unknown option": ([GOOD, "--asigner", "rpn"], "No such option"),
    "an option without value": ([GOOD, "--assigner"], "requires an argument"),
    "a second file": ([GOOD, "other.json"], "unexpected extra argument"),
    "an unknown backend": ([GOOD, "--backend", "tensorflow"], "'tensorflow' is not one of"),
    "a device NumPy has not": ([GOOD, "--device", "cuda"], "not available to numpy"),
    "no batch": ([GOOD, "--batch-size", "0"], "--batch-size"),
    "a batch size as text": ([GOOD, "--batch-size", "many"], "--batch-size"),
    "a wrong scale": ([GOOD, "--image-scale", "large"], "expected two edges like 1333x800"),
    "a scale no memory holds": ([GOOD, "--image-scale", "99999x99999"], "choose a smaller --image-scale"),
    "a wrong seed": ([GOOD, "--seed", "-1"], "--seed"),
    "a config that is not there": ([GOOD, "--config", "nowhere.toml"], "nowhere.toml: no such file"),
    "proposals that nothing uses": (
        [GOOD, "--proposals", "nowhere.json"],
        "no assigner of this run works on proposals",
    ),
    "proposals that are not there": (
        [GOOD, "--assigner", "faster-rcnn-rcnn", "--proposals", "nowhere.json"],
        "nowhere.json: no such file",
    ),
    "predictions that nothing reads": (
        [GOOD, "--predictions", "nowhere.json"],
        "no assigner of this run reads predictions; 'tood' and 'detr' do",
    ),
    "predictions that are not there": (
        [GOOD, "--assigner", "tood", "--predictions", "nowhere.json"],
        "nowhere.json: no such file",
    ),
    "annotations for predictions": (
        [GOOD, "--assigner", "tood", "--predictions", "annotations.json"],
        "--predictions annotations.json: expected a COCO results file",
    ),
    "no queries": (
        [GOOD, "--assigner", "detr", "--set", "priors.num_queries=0"],
        "detr: num_queries: expected an integer of at least 1, got 0",
    ),
    "an unknown cost": (
        [GOOD, "--assigner", "detr", "--set", 'match_costs=[{"type": "BoxCost"}]'],
        "detr: match_costs[0]: unknown match cost 'BoxCost'",
    ),
    "an unknown format": ([GOOD, "--format", "csv"], "'csv' is not one of"),
    "another format": ([GOOD, "--format", "yolo"], "annotations.json: names: expected a list"),
    "a split of a file": ([GOOD, "--split", "val"], "--split: coco has no splits"),
    "an image that is not there": ([GOOD, "--image-id", "q"], "there is no image 'q'"),
    "a class that is not there": ([GOOD, "--category", "cow"], "there is no category 'cow'"),
    "a class in capitals": (
        [GOOD, "--category", "Zebra"],
        "there is no category 'Zebra'; did you mean zebra?",
    ),
    "no image": ([GOOD, "--limit", "0"], "--limit"),
    "a seed for nothing": ([GOOD, "--sample", "1"], "--sample: draws the images that --limit counts"),
    "images that are not there": (
        [GOOD, "--out", "out", "--images", "nowhere"],
        "--images nowhere: no such folder",
    ),
    "a format for nothing": (
        ["--format", "coco"],
        "--format: says how annotations are read, but none are given",
    ),
    "an output without a name": ([GOOD, "--out", ""], "expected a path, got ''"),
    "a path that is too long": (["nowhere" * 900], "cannot be read: File name too long"),
    "a folder of images that is too long": ([GOOD, "--images", "nowhere" * 900], "File name too long"),
    "a scheduler without port": (
        [GOOD, "--scheduler", "host"],
        "expected an address such as tcp://host:8786",
    ),
    "a scheduler on the web": ([GOOD, "--scheduler", "http://host:1"], "expected an address such as tcp"),
    "a file for the output": ([GOOD, "--out", "annotations.json"], "cannot make this folder"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_and_exit_code_2(case, command, document, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (first, *rest), reason = WRONG[case]
    if first == GOOD:
        first = write(document)
    elif not str(first).startswith(("nowhere", ".", "--")):
        first = write(first)
    result = command("audit", first, *rest)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(said(result)) == 1
    assert said(result)[0].startswith("Error: ")
    assert reason in said(result)[0]


FIELDS = {
    "a field missing in all": ({"bbox": None}, "none of 5 annotations can be used.*'bbox' is missing"),
    "negative width in all": ({"bbox": [9, 9, -1, 5]}, "none of 5.*expected width and height above 0"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_only_broken_annotations_are_one_line_and_exit_code_2(case, command, document, write):
    change, reason = FIELDS[case]
    for annotation in document["annotations"]:
        annotation.update(change)
        if annotation["bbox"] is None:
            del annotation["bbox"]
    result = command("audit", write(document))
    assert result.exit_code == 2
    assert len(said(result)) == 1
    assert re.search(reason, said(result)[0])


@pytest.mark.parametrize(
    ("installed", "long", "named"), [(False, 0, True), (True, 0, False), (False, 99, False)]
)
def test_what_would_be_quicker_is_named_after_a_long_wait(installed, long, named, command, monkeypatch):
    monkeypatch.setattr(command_module, "LONG", long)
    monkeypatch.setattr(command_module, "find_spec", lambda _: object() if installed else None)
    assert ("assigncore[fast]" in command("audit").stderr) is named


def test_an_image_without_size_is_named(command, document, write):
    del document["images"][1]["height"]
    result = command("audit", write(document))
    assert result.exit_code == 2
    assert "image 3: expected height" in said(result)[0]


def test_running_out_of_memory_is_one_line(command, document, write, monkeypatch):
    def out_of_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr(command_module, "run", out_of_memory)
    result = command("audit", write(document))
    assert result.exit_code == 2
    assert said(result) == ["Error: out of memory; a smaller --image-scale or --batch-size needs less"]


def test_a_picture_that_cannot_be_written_is_one_line(command, document, write, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rpn").write_text("in the way")
    result = command("audit", write(document), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert len(said(result)) == 1
    place = tmp_path / "out"
    assert said(result)[0] == f"Error: --out {place}: {place / 'rpn'} cannot be written: File exists"
    assert (tmp_path / "out" / "report.json").is_file()


def test_help_and_version(command):
    assert "Usage" in command().stdout
    assert "--assigner" in command("audit", "--help").stdout
    assert command("--help").exit_code == 0
    assert f"version {assigncore.__version__}" in command("--version").stdout


def run_python(code, *arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


MAIN = "import sys; sys.argv[0] = 'assigncore'; from assigncore.cli import main; main()"


def test_the_program_itself(document, write, tmp_path):
    path = write(document)
    done = run_python(MAIN, "audit", path, "--out", tmp_path / "out", "--gallery", 1)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if not re.match("reading |[0-9,]+ of ", line)]
    assert "3 images, 4 objects" in done.stdout
    assert (tmp_path / "out" / "report.json").is_file()
    wrong = run_python(MAIN, "audit", tmp_path / "nowhere.json")
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert wrong.stderr.count("\n") == 1


def in_shell(redirection, *arguments, env=None):
    """Run the program in a shell with its output redirected; give what it says on stderr."""
    words = shlex.join([sys.executable, "-c", MAIN, *map(str, arguments)])
    done = subprocess.run(
        ["sh", "-c", f"{words} {redirection}"],
        capture_output=True,
        check=False,
        env={**os.environ, **(env or {})},
    )
    lines = [line for line in done.stderr.decode().splitlines() if not re.match("reading |[0-9,]+ of ", line)]
    return done.stdout, lines


@pytest.mark.parametrize(
    "redirection", ["| true", "> /dev/full", ">&-"], ids=["closed pipe", "full disk", "closed"]
)
def test_an_output_that_takes_nothing_loses_no_report(redirection, document, write, tmp_path):
    _, lines = in_shell(redirection, "audit", write(document), "--out", tmp_path / "o", "--gallery", 0)
    assert json.loads((tmp_path / "o" / "report.json").read_text())["data"]["objects"] == 4
    assert (tmp_path / "o" / "rpn" / "levels.png").is_file()
    assert len(lines) == 1
    assert lines[0].startswith("Error: standard output cannot be written")
    assert lines[0].endswith("report.json is whole")


@pytest.mark.parametrize("words", [["audit", "--help"], [], ["--version"]])
def test_an_output_that_takes_no_help_ends_in_one_line(words):
    _, lines = in_shell("> /dev/full", *words)
    assert lines == ["Error: No space left on device"]


def test_a_narrow_terminal_loses_no_name_and_no_number(document, write):
    options = ("audit", write(document), "--assigner", "rpn", "--assigner", "retinanet")
    wide, narrow = (in_shell("", *options, env={"COLUMNS": columns})[0].decode() for columns in ("100", "20"))
    rows = [line.split() for line in wide.splitlines() if line.startswith("│")]
    assert [line.split() for line in narrow.splitlines() if line.startswith("│")] == rows


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_unicode_shows_what_it_can(encoding, document, write):
    document["categories"][0]["name"] = "シマウマ"
    options = ("audit", write(document), "--image-scale", "original")
    text, lines = in_shell("", *options, env={"PYTHONIOENCODING": encoding, "COLUMNS": "80"})
    assert lines == []
    assert "Positives of each object" in text.decode(encoding)
    assert "????" in text.decode(encoding)


LIMITED = (
    "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
)


def test_a_full_disk_leaves_the_old_report_and_prints_the_tables(document, write, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "report.json").write_text("old")
    done = run_python(LIMITED + MAIN, "audit", write(document), "--out", tmp_path / "o")
    assert done.returncode == 2
    assert "Positives of each object" in done.stdout
    assert done.stderr.splitlines()[-1] == f"Error: --out {tmp_path / 'o'}: cannot be written: File too large"
    assert (tmp_path / "o" / "report.json").read_text() == "old"
    assert not list((tmp_path / "o").glob(".*"))


def test_an_interrupt_keeps_what_was_computed_and_says_so(command, document, write, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 2)

    def stop_after_the_first(*arguments, progress, **options):
        def stopping(done, total):
            progress(done, total)
            if done:
                raise KeyboardInterrupt

        return run(*arguments, progress=stopping, **{**options, "jobs": 1})

    monkeypatch.setattr(command_module, "run", stop_after_the_first)
    result = command("audit", write(document), "--out", tmp_path, "--gallery", 0)
    assert result.exit_code == 130
    assert said(result) == ["Interrupted: what was computed of 2 images is written and shown", "Interrupted"]
    assert "interrupted after 2 images" in " ".join(result.stdout.split())
    assert json.loads((tmp_path / "report.json").read_text())["images_done"] == 2


@pytest.mark.parametrize("module", ["click", "rich", "matplotlib"])
def test_a_missing_extra_is_one_line_that_says_what_to_install(module, tmp_path, document, write):
    block = f"import sys; sys.modules[{module!r}] = None; "
    done = run_python(block + MAIN, "audit", write(document), "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"package {module}" in done.stderr
    assert 'pip install "assigncore[audit]"' in done.stderr


def test_a_missing_module_of_another_kind_is_not_blamed_on_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "assigncore.audit.command", None)
    with pytest.raises(ModuleNotFoundError, match=r"assigncore\.audit\.command"):
        cli.main()


def test_importing_the_library_imports_nothing_of_the_command_line():
    wanted = "{'click', 'rich', 'matplotlib'} & set(sys.modules)"
    code = f"import sys, assigncore, assigncore.priors; print(sorted({wanted}))"
    assert run_python(code).stdout.strip() == "[]"


def test_the_command_line_draws_nothing_unless_asked():
    code = "import sys, assigncore.audit.command; print('matplotlib' in sys.modules, 'torch' in sys.modules)"
    assert run_python(code).stdout.strip() == "False False"
