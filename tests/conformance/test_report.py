"""The report as data and as a page: complete, checked, and without a network."""

import base64
import copy
import json
import re

import numpy as np
import pytest

from assigncore.conformance import (
    Agreement,
    CaseResult,
    Cell,
    Mode,
    Part,
    Report,
    check,
    load_packed,
    validate_report,
)
from assigncore.conformance.report.page import render_page
from assigncore.conformance.scenes.kinds import KINDS, draw_scene

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
        (("schema",), 1, "schema: got 1, expected 3"),
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


def downloads(page):
    """Decode the inputs that a page holds, as strictly as a browser does."""

    def refuse(word):
        raise ValueError(word)

    links = re.findall(r'download="([^"]+)" href="data:application/json;base64,([^"]+)"', page)
    assert len(links) == len({name for name, _ in links})
    return {name: json.loads(base64.b64decode(coded), parse_constant=refuse) for name, coded in links}


def cell_of(*results, part=Part.GENERATED, variant="MaxIoUAssigner"):
    return Cell(variant, "torch", Mode.EAGER, results, part=part, dtype="float32")


def test_the_page_stands_alone_and_shows_what_disagrees():
    page = render_page(REPORT)
    assert "Something disagrees" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "http" not in page.replace("http-equiv", "")
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))
    assert "gt_inds: 1 &lt; 2 &amp; so on" in page
    assert "margin 4 units in the last place" in page
    assert page.count('<svg class="small"') == page.count("<figure") == 3
    assert "cupy eager: not run: no CUDA device" in page
    for level in Agreement:
        assert f'badge {level.name.lower()}"' in page, "the legend has every level"
    inputs = downloads(page)["ties-0-1.json"]
    assert inputs["arrays"]["gt_bboxes"] == draw_scene("ties-0-1").arrays["gt_bboxes"].tolist()
    assert inputs["levels"] == [[8, 8, 8], [4, 4, 16], [2, 2, 32]]


def test_numbers_that_json_lacks_are_read_back():
    page = render_page(Report((cell_of(CaseResult("non_finite-0-3", Agreement.ERROR, "x")),), {}))
    arrays = downloads(page)["non_finite-0-3.json"]["arrays"]
    for name, x in draw_scene("non_finite-0-3").arrays.items():
        np.testing.assert_array_equal(np.array(arrays[name]).astype(x.dtype).reshape(x.shape), x)


def test_a_scene_is_in_the_page_once_and_cases_with_one_message_are_one():
    names = [f"{kind}-0-{number}" for number in range(3) for kind in ("fpn", "crowd", "points")]
    cells = [cell_of(*(CaseResult(name, Agreement.ERROR, "the same") for name in names)) for _ in range(40)]
    page = render_page(Report(tuple(cells), {}))
    assert page.count("<pre>the same</pre>") == 40
    assert list(downloads(page)) == ["fpn-0-0.json"]
    assert all(page.count(name) >= 40 for name in names)
    assert page.count("<details id") == 40
    assert 0 < page.count(" open>") < 40


def test_inputs_of_every_part_are_found():
    case = load_packed("MaxIoUAssigner")[0]
    cells = (
        cell_of(CaseResult(case.name, Agreement.DIFFERENT, "x"), part=Part.GOLDENS),
        cell_of(CaseResult("ties", Agreement.DIFFERENT, "ties-0-2: the later one was taken"), part=Part.LAWS),
        cell_of(CaseResult("cuda_graph fpn-10-0", Agreement.ERROR, "NotCaptured"), part=Part.GUARANTEES),
        cell_of(CaseResult("one_box", Agreement.DIFFERENT, "prior 0 got 1")),
        cell_of(
            CaseResult("dtypes", Agreement.DIFFERENT, "float16 is declared and not shown"), part=Part.PROMISES
        ),
    )
    page = render_page(Report(cells, {}), {"MaxIoUAssigner": (case,)})
    inputs = downloads(page)
    golden = f"MaxIoUAssigner-{case.name}.json"
    assert set(inputs) == {golden, "ties-0-2.json", "fpn-10-0.json", "one_box.json"}
    assert inputs[golden]["arrays"]["gt_bboxes"] == case.inputs["gt_bboxes"].tolist()
    assert inputs[golden]["init"] == {name: repr(value) for name, value in case.init.items()}
    assert "loses its dimension to a squeeze" in page
    # Without the golden cases that were run, others of the same name are not taken for them.
    assert golden not in downloads(render_page(Report(cells, {})))


def test_columns_in_which_nothing_was_run_are_left_out_unless_there_are_no_others():
    page = render_page(REPORT)
    assert '<th colspan="1">cupy</th>' not in page
    alone = render_page(Report(REPORT.cells[1:], {}))
    assert '<th colspan="1">cupy</th>' in alone
    assert "Nothing was run" in alone
    assert ">not run: no CUDA device</td>" in alone


@pytest.mark.parametrize("name", [f"{kind}-0-{number}" for number, kind in enumerate(KINDS)])
def test_every_kind_of_scene_can_be_drawn(name):
    page = render_page(Report((cell_of(CaseResult(name, Agreement.ERROR, "x")),), {}))
    picture = re.search(r"<figure.*?</svg>", page, re.DOTALL)[0]
    assert "nan" not in picture
    assert "inf" not in picture
    assert picture.count("<circle") > 0
