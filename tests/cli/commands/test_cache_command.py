"""The command ``cache``, on a GGUF that a command converted."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner
from written_ggufs import write_llama_gguf

from forgetmeter.cli.main import app
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint


def cache(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["cache", *arguments], catch_exceptions=False)
    return done.stdout.splitlines()


@pytest.fixture
def gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    write_llama_gguf(tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


def test_an_empty_cache_is_said_to_be(gguf: Path) -> None:
    assert cache() == [f"{gguf.parent}/cache contains nothing cached by forgetmeter"]


def test_converted_models_are_listed_with_their_source_and_cleared(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint(str(gguf))
    # A lock of this process would keep the folder.
    monkeypatch.setattr("forgetmeter.models.files.cached_folder.use", lambda _: None)
    name = f"models/{checkpoint.folder.name}"
    lines = cache()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    assert "converted model" in line
    assert str(gguf) in line
    assert lines[-2].endswith(f" in {gguf.parent}/cache")
    assert cache("clear", name)[0].startswith(f"removed {name} (converted model, ")
    assert not checkpoint.folder.exists()
    assert [line.partition(" (")[0] for line in cache("clear", "--all")[:-1]] == [
        f"removed {name}-header", "removed hashes",
    ]  # fmt: skip


def test_wrong_requests_and_folders_in_use_are_refused(gguf: Path) -> None:
    folder = open_checkpoint(str(gguf)).folder
    for arguments, says in (
        ((), "name what to remove, or give --all"),
        (("hashes", "--all"), "give names or --all, not both"),
        (("hashs",), "unknown cache entry 'hashs'; did you mean 'hashes'"),
        (("--all",), f"models/{folder.name} is in use by another process"),
    ):
        with pytest.raises(UserError, match=says):
            cache("clear", *arguments)
    assert folder.is_dir()


def test_an_empty_cache_has_nothing_to_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"^unknown cache entry 'foo' \(there are none\)$"):
        cache("clear", "foo")
