"""Progress is told within a second, also where stderr is no terminal, and says how long the rest takes."""

import re
import time

from assigncore.audit import progress


def test_a_line_is_written_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "FIRST", 0.01)
    monkeypatch.setattr(progress, "NOW_AND_THEN", 0.05)
    with progress.shown_progress() as update:
        time.sleep(0.1)
        update(0, 2000)
        update(500, 2000)
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"reading annotations, \d+:\d\d", lines[0])
    assert re.fullmatch(r"500 of 2,000 images \(25%\), [\d,]+ a second, \d+:\d\d left", lines[-1])


def test_what_is_done_in_a_moment_says_nothing(capsys):
    with progress.shown_progress() as update:
        update(1, 1)
    assert capsys.readouterr().err == ""
