"""The audit on a cluster of several processes gives the bytes of one process, also when a worker dies."""

import dataclasses
import logging
import os
import signal
import socket

import pytest
from distributed import Client, LocalCluster

from assigncore import audit
from assigncore.audit import chunks, execution
from assigncore.datasets import read_coco

NAMES = ("atss", "faster-rcnn-rcnn")


@pytest.fixture(scope="module")
def cluster():
    # In processes, since only these can be killed; without the warnings that one was.
    with LocalCluster(
        n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
    ) as cluster:
        yield cluster


@pytest.fixture
def many(repeated, write, monkeypatch):
    """Read the document fifteen times over, in chunks of two images."""
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 2)
    return read_coco(write(repeated(15)))


def bytes_of(found):
    rows = [dataclasses.asdict(run.findings.objects) for run in found]
    return [
        {name: None if x is None else x.tobytes() for name, x in row.items()} for row in rows
    ], found.report()


def test_a_worker_that_is_killed_changes_nothing(cluster, many):
    expected = audit.run(many, NAMES, image_scale="original")
    victims = []

    with Client(cluster, set_as_default=False) as client:
        pids = client.run(os.getpid)

        def kill_one(done, total):
            if 0 < done < total and not victims:
                victims.append(next(iter(pids.values())))
                os.kill(victims[0], signal.SIGKILL)

        found = audit.run(many, NAMES, image_scale="original", executor=client, progress=kill_one)
        assert victims
        assert set(client.run(os.getpid).values()) != set(pids.values())
    assert bytes_of(found) == bytes_of(expected)


def test_the_command_computes_on_a_cluster(cluster, command, document, write, tmp_path):
    path, address = write(document), cluster.scheduler_address
    assert command("audit", path, "--out", tmp_path / "a", "--gallery", 0).exit_code == 0
    result = command("audit", path, "--out", tmp_path / "b", "--gallery", 0, "--scheduler", address)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a" / "report.json").read_bytes() == (tmp_path / "b" / "report.json").read_bytes()


def test_a_cluster_that_is_not_there_is_one_line(command, document, write, monkeypatch):
    monkeypatch.setattr(execution, "PATIENCE", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        result = command("audit", write(document), "--scheduler", address)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"Error: --scheduler {address}: cannot be reached")


def test_jobs_are_not_for_a_cluster(command, document, write):
    result = command("audit", write(document), "--jobs", 2, "--scheduler", "tcp://localhost:1")
    assert result.exit_code == 2
    assert "--jobs: says how many processes of this machine compute" in result.stderr
