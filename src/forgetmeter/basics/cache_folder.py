"""The cache folder: its location, and what this program keeps in it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

try:
    import fcntl
except ImportError:  # Windows, which does not remove open files
    fcntl = None  # type: ignore[assignment]

SOURCE = "source.json"
"""Says what a folder was made from. Data of probes has ``fetched.json``, which earlier versions wrote, too."""
_NOTES = (SOURCE, "fetched.json")
_MODEL = re.compile(r"[0-9a-f]{16}-\d+(?P<header>-header)?")
_HASH = re.compile(r"[0-9a-f]{16}")
UNFINISHED = ".tmp-"
"""What the names of folders begin with that are not complete, or no longer used."""

_held: list[int] = []


def cache_folder() -> Path:
    """Return ``FORGETMETER_CACHE`` if it is set, else the user's cache folder for this program."""
    named = os.environ.get("FORGETMETER_CACHE")
    return Path(named).expanduser() if named else user_cache_path("forgetmeter", appauthor=False)


@dataclass(frozen=True)
class CacheEntry:
    """A folder in the cache.

    Attributes:
        name: Its path in the cache folder.
        what: Kind of content, such as ``converted model``.
        source: Origin of the content; empty if unknown.
        bytes: Size of its files.
        used: When it was last used or made, in seconds since the epoch.
    """

    path: Path
    name: str
    what: str
    source: str
    bytes: int
    used: float


def entries() -> list[CacheEntry]:
    """List what this program keeps in the cache; anything else there, and links, are left out."""
    return [_entry(path, what) for path, what in _places() if path.is_dir() and not path.is_symlink()]


def use(folder: Path) -> None:
    """Mark a folder of the cache as used now and by this process, so that no other process removes it."""
    with suppress(OSError):
        os.utime(folder)
        if fcntl is not None:
            _held.append(os.open(folder, os.O_RDONLY))
            fcntl.flock(_held[-1], fcntl.LOCK_SH)


def remove(entry: CacheEntry) -> bool:
    """Remove an entry; links in it are removed, but not what they point to.

    Returns:
        Whether it was removed; false if another process uses it.

    Raises:
        OSError: It cannot be removed.
    """
    opened = os.open(entry.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        if fcntl is not None:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Under its name, a folder is either complete or absent.
        shutil.rmtree(entry.path.rename(entry.path.with_name(f"{UNFINISHED}{entry.path.name}-{os.getpid()}")))
    except BlockingIOError:
        return False
    finally:
        os.close(opened)
    return True


def _places() -> Iterator[tuple[Path, str]]:
    models, data, hashes = (cache_folder() / name for name in ("models", "data", "hashes"))
    for path in _inside(models):
        if match := _MODEL.fullmatch(path.name):
            yield path, "header of a model" if match["header"] else "converted model"
        elif path.name.startswith(UNFINISHED):
            yield path, "unfinished conversion"
    for path in _inside(data):
        if any((path / note).is_file() for note in _NOTES):
            yield path, "data of a probe"
    found = _inside(hashes)
    if found and all(_HASH.fullmatch(path.name) for path in found):
        yield hashes, "checksums of files"


def _inside(folder: Path) -> list[Path]:
    return [] if folder.is_symlink() or not folder.is_dir() else sorted(folder.iterdir())


def _entry(path: Path, what: str) -> CacheEntry:
    files = [file.lstat() for file in path.rglob("*") if file.is_symlink() or file.is_file()]
    name = path.relative_to(cache_folder()).as_posix()
    return CacheEntry(path, name, what, _source(path), sum(file.st_size for file in files), path.stat().st_mtime)


def _source(path: Path) -> str:
    for note in _NOTES:
        with suppress(OSError, ValueError, AttributeError):
            said = json.loads((path / note).read_text(encoding="utf-8"))
            return str(said.get("source") or said.get("address") or "")
    return ""
