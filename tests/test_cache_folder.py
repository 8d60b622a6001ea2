"""The location of the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.cache_folder import cache_folder


def test_the_variable_wins_over_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("FORGETMETER_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
    for unset in (lambda: monkeypatch.setenv("FORGETMETER_CACHE", ""), lambda: monkeypatch.delenv("FORGETMETER_CACHE")):
        unset()
        assert cache_folder().name == "forgetmeter"
        assert cache_folder() != Path.home() / "elsewhere"
