"""A folder that is whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from forgetmeter.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def check_output(out: Path) -> None:
    """Check that a folder can be made, or is there and empty.

    Raises:
        UserError: It cannot, or something is there.
    """
    if out.is_symlink() or out.is_mount():
        what = "a link" if out.is_symlink() else "where a disk is mounted"
        raise UserError(f"--out '{out}' is {what}, which no folder can take the place of; name a new folder")
    if out.is_dir():
        if any(out.iterdir()):
            raise UserError(f"--out '{out}' is there and is not empty; name a new folder")
    elif out.exists():
        raise UserError(f"--out '{out}' is a file; name a new folder")


def check_apart(out: Path, source: Path) -> None:
    """Check that a folder to be is not inside of the one that is read.

    Raises:
        UserError: It is.
    """
    if source.resolve() in (out.resolve(), *out.resolve().parents):
        raise UserError(f"--out '{out}' is inside of the model's own folder; name a folder elsewhere")


def check_room(out: Path, needed: int) -> None:
    """Check that the disk has room.

    Args:
        out: The folder to be.
        needed: Bytes.

    Raises:
        UserError: It has not.
    """
    there = next(folder for folder in out.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(
            f"--out '{out}': {needed:,} bytes are needed and the disk has {free:,} left; "
            "make room, or name a folder on another disk"
        )


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out`` that becomes it at the end, or is removed whatever goes wrong.

    Raises:
        UserError: The disk is full or cannot be written to.
    """
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            yield partial
            _sync(partial)
            partial.rename(out)
            _sync(out.parent)
        except OSError as error:
            why = "the disk is full" if error.errno in _FULL else f"cannot be written ({error.strerror or error})"
            raise UserError(f"--out '{out}': {why}; nothing was left there") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(folder: Path) -> None:
    # Not all systems can do it to a folder.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
