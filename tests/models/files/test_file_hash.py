"""Remembered hashes of files, which a damaged cache does not change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from forgetmeter.models.files.file_hash import file_hash, hashing_anew


@pytest.mark.parametrize(
    "damage",
    [
        lambda known: known.replace(known[:1], b"0" if known[:1] != b"0" else b"1", 1),
        lambda known: known[:64],
        lambda known: b"\xff\xfe" + known,
        lambda known: known[:0],
    ],
    ids=["another digit", "as earlier versions wrote it", "not text", "empty"],
)
def test_a_damaged_entry_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert file_hash(file) == digest
    (entry,) = (tmp_path / "cache" / "hashes").iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert file_hash(file) == digest
    assert entry.read_bytes() == whole


def test_an_intact_entry_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"content")
    known = file_hash(file)
    monkeypatch.setattr("forgetmeter.models.files.file_hash.sha256_of", lambda _: "read again")
    assert file_hash(file) == known
    with hashing_anew():
        assert file_hash(file) == "read again"
    assert file_hash(file) == "read again"
