"""Hashes of files, remembered in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from forgetmeter.basics.cache_folder import cache_folder
from forgetmeter.basics.file_digest import sha256_of

_LENGTH = 16
_remembers: ContextVar[bool] = ContextVar("remembers", default=True)


def short_hash(texts: Iterable[str]) -> str:
    """Return the first 16 hexadecimal digits of a SHA-256 of texts."""
    # Names of files need not be UTF-8.
    return hashlib.sha256("\n".join(texts).encode(errors="surrogateescape")).hexdigest()[:_LENGTH]


@contextmanager
def hashing_anew() -> Iterator[None]:
    """Read files whose hashes are remembered: changes through a memory map leave size and times as they were."""
    before = _remembers.set(False)
    try:
        yield
    finally:
        _remembers.reset(before)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, cached by path, size and times of change because weights are large."""
    status = path.stat()
    key = short_hash([str(path.resolve()), str(status.st_size), str(status.st_mtime_ns), str(status.st_ctime_ns)])
    remembered = cache_folder() / "hashes" / key
    with suppress(OSError, ValueError):
        digest, check = remembered.read_text(encoding="ascii").split()
        if _remembers.get() and check == short_hash([key, digest]):
            return digest
    digest = sha256_of(path)
    with suppress(OSError):
        # Without a cache, or with a damaged one, it is computed again.
        remembered.parent.mkdir(parents=True, exist_ok=True)
        remembered.write_text(f"{digest} {short_hash([key, digest])}", encoding="ascii")
    return digest
