"""Checksums of files, against hashlib."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from forgetmeter.basics.file_digest import sha256_of


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 21) + 3])
def test_the_digest_is_that_of_the_whole_content(size: int, tmp_path: Path) -> None:
    content = bytes(place * 31 % 251 for place in range(size))
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()
