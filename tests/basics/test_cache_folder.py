"""The location of the cache, and what is removed from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forgetmeter.basics.cache_folder import SOURCE, cache_folder, entries, remove

MODEL = "0123456789abcdef-3"


def test_the_variable_wins_over_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("FORGETMETER_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
    for unset in (lambda: monkeypatch.setenv("FORGETMETER_CACHE", ""), lambda: monkeypatch.delenv("FORGETMETER_CACHE")):
        unset()
        assert cache_folder().name == "forgetmeter"
        assert cache_folder() != Path.home() / "elsewhere"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with a converted model, probes' data and checksums, and with folders that are the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FORGETMETER_CACHE", str(folder))
    files = {
        f"models/{MODEL}/model.safetensors": "x" * 1000,
        f"models/{MODEL}/{SOURCE}": '{"source": "/models/tiny.gguf"}',
        f"models/{MODEL}-header/config.json": "{}",
        "models/.tmp-a1b2/model.safetensors": "x",
        "models/mine/model.safetensors": "x",
        "data/LAMA/fetched.json": '{"address": "https://lama.example/data.zip"}',
        "data/BEAR/facts.jsonl": "put there by hand",
        "hashes/0123456789abcdef": "x" * 64,
        "notes.txt": "mine",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_only_what_the_program_put_there_is_listed(cache: Path) -> None:
    found = {entry.name: (entry.what, entry.source) for entry in entries()}
    assert found == {
        "models/.tmp-a1b2": ("unfinished conversion", ""),
        f"models/{MODEL}": ("converted model", "/models/tiny.gguf"),
        f"models/{MODEL}-header": ("header of a model", ""),
        "data/LAMA": ("data of a probe", "https://lama.example/data.zip"),
        "hashes": ("checksums of files", ""),
    }
    (converted,) = [entry for entry in entries() if entry.what == "converted model"]
    assert converted.bytes == 1000 + (cache / "models" / MODEL / SOURCE).stat().st_size


def test_removing_all_leaves_the_users_files(cache: Path) -> None:
    assert all(map(remove, entries()))
    left = sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file())
    assert left == ["data/BEAR/facts.jsonl", "models/mine/model.safetensors", "notes.txt"]


def test_what_links_point_to_is_never_removed(cache: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(cache / "models" / MODEL, elsewhere / MODEL)
    (cache / "models" / f"{MODEL}0").symlink_to(elsewhere / MODEL)
    (cache / "models" / MODEL / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert f"models/{MODEL}0" not in {entry.name for entry in entries()}
    assert all(map(remove, entries()))
    assert (elsewhere / MODEL / "model.safetensors").is_file()
    shutil.rmtree(cache / "models")
    (cache / "models").symlink_to(elsewhere, target_is_directory=True)
    assert entries() == []


def test_what_another_process_uses_is_left_alone(cache: Path) -> None:
    (before,) = [entry for entry in entries() if entry.what == "converted model"]
    os.utime(before.path, (0, 0))
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from forgetmeter.basics.cache_folder import use\nuse(Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", f"{script}print('used', flush=True)\ninput()", str(before.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"used\n"
        (entry,) = [entry for entry in entries() if entry.what == "converted model"]
        assert entry.used > 0
        assert not remove(entry)
        assert (cache / "models" / MODEL / "model.safetensors").is_file()
        other.communicate(b"\n")
    assert remove(entry)
