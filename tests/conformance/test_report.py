"""The report as data and as a page: complete, checked, and without a network."""

import base64
import copy
import json
import re

import pytest

from assigncore.conformance import Agreement, CaseResult, Cell, Mode, Part, Report, check, validate_report
from assigncore.conformance.page import render_page
from assigncore.conformance.scene_kinds import draw_scene

REPORT = Report(
    (
        Cell(
            "MaxIoUAssigner", "torch", Mode.EAGER,
            (
                CaseResult("fpn-0-0", Agreement.IDENTICAL),
                CaseResult("ties-0-1", Agreement.DIFFERENT, "gt_inds: 1 < 2 & so on"),
                CaseResult("crowd-0-2", Agreement.NEAR_TIE, "turns", 4.0),
                CaseResult("non_finite-0-3", Agreement.HANG, "no answer within 1 s"),
            ),
            part=Part.GENERATED, dtype="float32",
        ),
        Cell("MaxIoUAssigner", "cupy", Mode.EAGER, (), "no CUDA device", Part.GENERATED, "float32"),
    ),
    {"torch": "2"},
    {"torch": {"library": "torch", "version": "2", "device": "cpu", "model": "x", "driver": ""}},
    seed=3,
    duration=1.5,
)  # fmt: skip


def test_a_report_says_what_ran_where():
    data = json.loads(json.dumps(REPORT.to_json()))
    assert validate_report(data) == ()
    assert (data["agrees"], data["compared"], data["seed"], data["duration_s"]) == (False, 4, 3, 1.5)
    near = data["cells"][0]["cases"][2]
    assert near == {"case": "crowd-0-2", "status": "near_tie", "message": "turns", "margin": 4.0}
    assert data["cells"][0]["worst"] == "hang"
    assert data["cells"][1]["not_run"] == "no CUDA device"
    assert validate_report(check("PointAssigner", "numpy", cases=2).to_json()) == ()


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("schema",), 1, "schema: got 1, expected 2"),
        (("seed",), "3", "seed: wrong type str"),
        (("agrees",), True, "agrees: got True, the cases say False"),
        (("cells", 0, "mode"), "fast", "cells[0].mode: 'fast' is none of"),
        (("cells", 0, "worst"), "close", "cells[0].worst: got 'close', the cases say 'hang'"),
        (("cells", 0, "not_run"), "why", "cells[0]: not run, yet it has cases"),
        (("cells", 0, "cases", 1, "status"), "fine", "cells[0].cases[1].status: 'fine' is none of"),
        (("cells", 0, "cases", 1), 5, "cells[0].cases[1]: expected a mapping, got int"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_wrong_with_a_report_is_told(path, value, fault):
    data = copy.deepcopy(REPORT.to_json())
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (found,) = validate_report(data)
    assert found.startswith(fault)


def test_missing_parts_are_told():
    data = REPORT.to_json()
    del data["platform"]
    assert validate_report(data) == ("platform: missing",)
    assert validate_report([]) == ("expected a mapping, got list",)


def test_the_page_stands_alone_and_shows_what_disagrees():
    page = render_page(REPORT)
    assert "Something disagrees" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "http" not in page.replace("http-equiv", "")
    assert "gt_inds: 1 &lt; 2 &amp; so on" in page
    assert "margin 4 units in the last place" in page
    assert page.count("<svg") == 3
    assert "no CUDA device" in page
    link = re.search(r'download="ties-0-1.json" href="data:application/json;base64,([^"]+)"', page)
    inputs = json.loads(base64.b64decode(link[1]))
    assert inputs["arrays"]["gt_bboxes"] == draw_scene("ties-0-1").arrays["gt_bboxes"].tolist()
    assert inputs["levels"] == [[8, 8, 8], [4, 4, 16], [2, 2, 32]]
