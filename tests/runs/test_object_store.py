"""Runs in an S3 bucket, on a server of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from forgetmeter.results.results import open_run
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.study.running import run

KEY, SECRET = "key-of-the-test", "secret-of-the-test"
STUDY = {
    "models": ["standard:decoder"],
    "recipes": ["l1_unstructured:overall:0.5", "round_to_nearest:overall:4"],
    "tasks": ["facts:templates=0"],
    "evaluation.limit": 5,
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    found = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    found.start()
    host, port = found.get_host_and_port()
    yield f"http://{host}:{port}"
    found.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower()[:50]).strip("-")
    # A process has one file system for all buckets, with the settings that it was made with.
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"


def facts(location: str) -> Any:
    frame = open_run(location).outcomes
    return frame.sort_values(["recipe", "item_id"]).reset_index(drop=True)[["recipe", "item_id", "loglikelihoods"]]


def test_a_run_in_a_bucket_is_that_in_a_folder(bucket: str, tmp_path: Path) -> None:
    here, there = str(tmp_path / "run"), f"{bucket}/run"
    run({**STUDY, "output": here})
    finished = run({**STUDY, "output": there})
    assert (finished.computed, finished.failures) == (3, ())
    assert run({**STUDY, "output": there}).computed == 0
    assert facts(there).equals(facts(here))
    assert RunFolder(there).list() == RunFolder(here).list()
    for path in RunFolder(there).list():
        content = RunFolder(there).read(path)
        assert KEY.encode() not in content
        assert SECRET.encode() not in content


def test_of_several_that_create_a_file_one_does(bucket: str) -> None:
    folders = [RunFolder(f"{bucket}/run") for _ in range(8)]
    created: list[int] = []
    barrier = threading.Barrier(len(folders))

    def create(number: int) -> None:
        barrier.wait()
        if folders[number].create("file", f"{number}".encode()):
            created.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(len(folders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(created) == 1
    assert folders[0].read("file") == f"{created[0]}".encode()


def test_a_killed_run_goes_on_where_it_was(bucket: str, tmp_path: Path) -> None:
    here, there = str(tmp_path / "run"), f"{bucket}/run"
    run({**STUDY, "output": here})
    command = [sys.executable, "-m", "forgetmeter", "run", "--model", "standard:decoder", "--limit", "5"]
    command += ["--tasks", "facts:templates=0", "--recipes", ",".join(STUDY["recipes"]), "--out", there]
    process = subprocess.Popen(
        command, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("baseline on"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    time.sleep(0.1)
    assert 1 <= run({**STUDY, "output": there}).computed <= 3
    assert facts(there).equals(facts(here))
