"""An output folder that is either complete or absent."""

from __future__ import annotations

import errno
import glob
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from forgetmeter.basics.made_folder import made_folder
from forgetmeter.errors import UserError
from forgetmeter.models.location import check_utf8

# Of ``s3://bucket``, a path keeps one slash.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def check_output(out: Path) -> None:
    """Check that an output folder is empty or can be created.

    Raises:
        UserError: It is a link, a mount point or a file, it is not empty, or its path is not UTF-8.
    """
    check_utf8(out, f"--out '{out}'")
    if out.is_symlink() or out.is_mount():
        what = "a link" if out.is_symlink() else "a mount point"
        raise UserError(f"--out '{out}' is {what}, which cannot be replaced by a folder; name a new folder")
    if out.is_dir():
        if any(out.iterdir()):
            raise UserError(f"--out '{out}' already exists and is not empty; name a new folder")
    elif out.exists():
        raise UserError(f"--out '{out}' is a file; name a new folder")


def refuse_url(out: str | Path) -> None:
    """Refuse a URL, which would become a local folder.

    Raises:
        UserError: It is one.
    """
    if _URL.match(str(out)):
        raise UserError(f"--out '{out}' is a URL; name a local folder")


def check_apart(out: Path, source: Path) -> None:
    """Check that the output folder is not inside the source folder.

    Raises:
        UserError: It is inside.
    """
    if source.resolve() in (out.resolve(), *out.resolve().parents):
        raise UserError(f"--out '{out}' is inside the model's own folder; name a folder elsewhere")


def check_room(out: Path, needed: int) -> None:
    """Check that the disk has ``needed`` bytes free.

    Raises:
        UserError: The disk has less free space.
    """
    there = next(folder for folder in out.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(
            f"--out '{out}': {needed:,} bytes are needed, but the disk has {free:,} free; "
            "free some space, or name a folder on another disk"
        )


@contextmanager
def all_or_nothing(out: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that is renamed to ``out`` at the end, or removed on any error.

    Raises:
        UserError: The disk is full or not writable.
    """
    start = f".{out.name}.partial-{platform.node().replace('/', '')}-"
    partial = out.with_name(f"{start}{os.getpid()}")
    _remove_left_behind(out.parent, start)
    try:
        with made_folder(out.parent):
            try:
                partial.mkdir()
                yield partial
                _sync(partial)
                partial.rename(out)
                _sync(out.parent)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        why = (
            "the disk is full"
            if error.errno in _FULL
            else f"cannot be written ({error.strerror or error}); choose another folder"
        )
        raise UserError(f"--out '{out}': {why}; no files were left behind") from error


def _remove_left_behind(folder: Path, start: str) -> None:
    """Remove the temporary folders of processes of this machine that were killed."""
    for path in folder.glob(f"{glob.escape(start)}*") if folder.is_dir() else ():
        number = path.name.removeprefix(start)
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _sync(folder: Path) -> None:
    # Not all systems can sync a folder.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
