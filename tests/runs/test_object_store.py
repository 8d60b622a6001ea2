"""Runs in an S3 bucket, on a server of this machine."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from faulty_store import Faults, faulty_store
from moto.server import ThreadedMotoServer

from forgetmeter.errors import UserError
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
def store() -> Iterator[tuple[str, Faults]]:
    found = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    found.start()
    with faulty_store(found.get_host_and_port()) as both:
        yield both
    found.stop()


@pytest.fixture
def faults(store: tuple[str, Faults]) -> Iterator[Faults]:
    yield store[1]
    store[1].__init__()  # type: ignore[misc]


@pytest.fixture
def bucket(store: tuple[str, Faults], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", store[0])
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


@pytest.mark.slow
def test_a_busy_and_slow_store_is_asked_again(bucket: str, faults: Faults, tmp_path: Path) -> None:
    run({**STUDY, "output": str(tmp_path / "run")})
    dice = random.Random(0)
    faults.is_busy, faults.delay = lambda _: dice.random() < 0.2, 0.02
    finished = run({**STUDY, "output": f"{bucket}/run"})
    assert (finished.computed, finished.failures) == (3, ())
    assert faults.refused > 5
    assert facts(f"{bucket}/run").equals(facts(str(tmp_path / "run")))


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_no_empty_run(
    bucket: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = f"{bucket}/run"
    # The next file system of s3fs asks less often.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)

    def refused(is_busy: Callable[[str], bool], says: str, do: Callable[[], object]) -> None:
        faults.is_busy = is_busy
        with pytest.raises(UserError, match=says) as caught:
            do()
        assert "\n" not in str(caught.value)
        faults.is_busy = Faults.is_busy

    def start() -> object:
        return run({**STUDY, "output": there})

    writing = "cannot be written .*; once it can, run the same command again to continue with what is stored"
    reading = "cannot be read .*; try again once it can"
    refused(lambda request: request.startswith("PUT") and "variants" in request, f"variant.json' {writing}", start)
    refused(lambda request: request.startswith("HEAD"), f"/run' {reading}", start)
    assert start().computed == 3  # type: ignore[attr-defined]
    for what, name in (("HEAD", "study.json"), ("list-type", "/run/[a-z]+"), (".parquet", ".parquet")):
        refused(lambda request, what=what: what in request, f"{name}' {reading}", lambda: open_run(there).outcomes)  # type: ignore[misc]
    assert start().computed == 0  # type: ignore[attr-defined]


@pytest.mark.slow
def test_old_contents_falsify_nothing(bucket: str, faults: Faults, tmp_path: Path) -> None:
    """No large object store answers so today; what it costs is at most a refusal, and cells that are asked twice."""
    here, there = str(tmp_path / "run"), f"{bucket}/run"
    run({**STUDY, "output": here})
    faults.stale = 1.0
    for recipes in (STUDY["recipes"][:1], STUDY["recipes"]):
        for _ in range(10):
            try:
                finished = run({**STUDY, "recipes": recipes, "output": there})
            except UserError as error:
                assert "\n" not in str(error)
                time.sleep(1.0)
            else:
                assert finished.failures == ()
                break
    faults.stale = 0.0
    assert run({**STUDY, "output": there}).computed == 0
    assert facts(there).equals(facts(here))


@pytest.mark.slow
def test_two_runs_in_one_bucket_share_their_cells(bucket: str, tmp_path: Path) -> None:
    here, there = str(tmp_path / "run"), f"{bucket}/run"
    run({**STUDY, "output": here})
    started = threading.Barrier(2)
    computed = []

    def start() -> None:
        started.wait()
        computed.append(run({**STUDY, "output": there}).computed)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 2
    assert facts(there).equals(facts(here))


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:1"])
def test_one_line_says_what_is_missing(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: str | None
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if endpoint is None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    # A file system is kept for all runs of a process.
    fsspec.filesystem("s3").clear_instance_cache()
    for act in (lambda: run({**STUDY, "output": f"{bucket}/run"}), lambda: open_run(f"{bucket}/run")):
        with pytest.raises(
            UserError, match=r"cannot be read \((Unable to locate credentials|Could not connect)"
        ) as caught:
            act()
        assert "\n" not in str(caught.value)
    fsspec.filesystem("s3").clear_instance_cache()
