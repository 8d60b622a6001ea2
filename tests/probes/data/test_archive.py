"""Where the probes' data is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.data.archive import data_folder
from forgetmeter.probes.registry import archives


def test_the_argument_wins_over_the_variable_and_that_over_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FORGETMETER_DATA", raising=False)
    assert data_folder() == tmp_path / "cache" / "data"
    monkeypatch.setenv("FORGETMETER_DATA", "~/named")
    assert data_folder() == Path.home() / "named"
    assert data_folder(tmp_path) == tmp_path


def test_a_missing_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "BEAR").mkdir()
    assert archives()["bear"].found(tmp_path) == tmp_path / "BEAR"
    with pytest.raises(UserError) as caught:
        archives()["lama"].found(tmp_path)
    for part in (str(tmp_path / "LAMA"), "relations.jsonl", "https://dl.fbaipublicfiles.com/LAMA/data.zip", "--data"):
        assert part in str(caught.value)
