"""Reading and atomic writing on local and remote file systems."""

from __future__ import annotations

import errno
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from forgetmeter.errors import UserError
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.runs.run_store import RunStore


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run") if request.param == "local" else f"memory://{uuid.uuid4().hex}/run")


def test_written_content_is_read_back(folder: RunFolder) -> None:
    assert folder.list() == []
    assert not folder.exists("a/b.txt")
    folder.write("a/b.txt", b"one")
    folder.write("a/b.txt", b"two")
    folder.write("top.txt", b"")
    assert folder.exists("a/b.txt")
    assert not folder.exists("a")
    assert folder.read("a/b.txt") == b"two"
    assert folder.list() == ["a/b.txt", "top.txt"]
    assert folder.list("a") == ["a/b.txt"]
    assert folder.list("absent") == []
    with folder.open("a/b.txt") as stream:
        assert stream.read(1) == b"t"


def test_removing_twice_is_allowed(folder: RunFolder) -> None:
    folder.write("a.txt", b"one")
    folder.remove("a.txt")
    folder.remove("a.txt")
    assert not folder.exists("a.txt")
    with pytest.raises(FileNotFoundError):
        folder.read("a.txt")


def test_create_keeps_an_existing_file(folder: RunFolder) -> None:
    assert folder.create("a/b.txt", b"one")
    assert not folder.create("a/b.txt", b"two")
    assert folder.read("a/b.txt") == b"one"
    assert folder.list() == ["a/b.txt"]


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "a//b", "", "."])
def test_paths_stay_inside(folder: RunFolder, path: str) -> None:
    with pytest.raises(ValueError, match="not a valid path"):
        folder.write(path, b"")


def test_only_local_folders_have_a_local_path(tmp_path: Path) -> None:
    assert RunFolder(str(tmp_path)).local_path("a/b") == tmp_path / "a" / "b"
    assert RunFolder("memory://run").local_path("a/b") is None


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_write_that_is_killed_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, old: bytes | None
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    folder = RunFolder(str(tmp_path))
    if old is not None:
        folder.write("a/b.txt", old)
    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), killed)
        with pytest.raises(KeyboardInterrupt):
            folder.write("a/b.txt", b"new")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in left] == ([] if old is None else [old])


def test_leftovers_of_a_killed_process_are_not_listed(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    folder.write("a/b.txt", b"one")
    (tmp_path / "a" / ".tmp-123-abc").write_bytes(b"on")
    assert folder.list() == ["a/b.txt"]


def test_only_one_of_many_creates_and_none_sees_a_partial_file(tmp_path: Path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda content: RunFolder(str(tmp_path)).create("a.bin", content), contents))
    assert sum(won) == 1
    assert RunFolder(str(tmp_path)).read("a.bin") == contents[won.index(True)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_create_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    folder = RunFolder(str(tmp_path))
    assert folder.create("a.txt", b"one")
    assert not folder.create("a.txt", b"two")
    assert folder.read("a.txt") == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_folder_itself_is_not_one_of_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As s3fs lists it if another process creates the first file in between."""
    folder = RunFolder(f"memory://{uuid.uuid4().hex}/run")
    found = folder._filesystem.find
    monkeypatch.setattr(folder._filesystem, "find", lambda path, **more: [path, *found(path, **more)])
    assert folder.list() == []
    folder.write("a.txt", b"")
    assert folder.list() == ["a.txt"]


def test_linked_folders_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.json").write_text("{}")
    run = tmp_path / "run"
    run.mkdir()
    (run / "variants").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    folder = RunFolder(str(run))
    assert folder.list() == folder.list("variants") == ["variants/a.json"]
    assert folder.list("items") == []


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(str(tmp_path))
    folder.write("variants/a/b.json", b"{}")
    scandir = os.scandir

    def refused(path: Any = ".") -> Any:
        if str(path).endswith("/a"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(UserError, match=r"variants' cannot be read \(Permission denied\); try again once it can"):
        folder.list("variants")


def test_file_systems_are_not_chained() -> None:
    """fsspec would take ``a::b`` for the folder ``a:``, as it would ``a::c``."""
    with pytest.raises(UserError, match="the location 'a::b' cannot be used: '::' would chain file systems"):
        RunStore("a::b")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_web_servers_are_not_taken_for_empty_folders(scheme: str) -> None:
    with pytest.raises(UserError, match="cannot be used: web servers cannot be written to; give a folder, or a URL"):
        RunStore(f"{scheme}://127.0.0.1:9/run")


def test_pipes_are_not_listed_since_reading_them_would_take_forever(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    os.mkfifo(tmp_path / "b.json")
    assert RunFolder(str(tmp_path)).list() == ["a.json"]
