"""A file is the old one or the new one, and nothing is left beside it."""

import os
import signal
import subprocess
import sys

import pytest

from assigncore.whole_files import whole_file, write_whole


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "report.json"
    write_whole(path, "old ä")
    write_whole(path, "new ä")
    assert path.read_bytes() == "new ä".encode()
    write_whole(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert os.listdir(tmp_path) == ["report.json"]


def test_what_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "report.json"
    write_whole(path, "old")

    def fail():
        with whole_file(path) as file:
            file.write("new")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


WRITER = """
import sys
from assigncore.whole_files import whole_file
with whole_file(sys.argv[1]) as file:
    file.write("new")
    file.flush()
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "report.json"
    write_whole(path, "old")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "begun\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert path.read_text() == "old"


def test_a_new_file_may_be_read_by_those_who_may_read_others(tmp_path):
    (tmp_path / "other").write_text("")
    write_whole(tmp_path / "file", "")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_through_a_link_the_file_behind_it_is_replaced(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_device_is_written_as_it_is():
    write_whole("/dev/null", "gone")
    assert not os.path.isfile("/dev/null")


def test_names_may_be_as_long_as_a_name_can_be(tmp_path):
    write_whole(tmp_path / ("a" * 255), "content")
