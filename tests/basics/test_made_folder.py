"""Creates folders for output."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.basics.made_folder import made_folder


def test_a_failure_leaves_no_new_folder_but_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(OSError, match="full"), made_folder(tmp_path / "old" / "new" / "newer"):
        raise OSError(28, "full")
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
    with pytest.raises(OSError, match="full"), made_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "kept").write_text("x")
        raise OSError(28, "full")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["kept"]


def test_what_is_written_stays(tmp_path: Path) -> None:
    with made_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "c").write_text("x")
    with made_folder(tmp_path / "a" / "empty"):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "c", "empty"]
