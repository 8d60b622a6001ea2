"""A folder, local or at any fsspec URL, whose files are written atomically."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, cast
from uuid import uuid4

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from forgetmeter.basics.made_folder import made_folder
from forgetmeter.errors import UserError, one_line
from forgetmeter.runs.layout import TEMPORARY


class UnreadableError(UserError, OSError):
    """A file of a run cannot be opened, such as one with a folder in its place; or the location does not answer."""


class RunFolder:
    """Files under one location, named by relative paths with ``/`` as separator.

    Attributes:
        location: As given by the user: a folder or an fsspec URL such as ``s3://bucket/run``.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        if "::" in location:
            raise ValueError("'::' would chain file systems; choose another name")
        if location.partition("://")[0] in ("http", "https"):
            raise ValueError("web servers cannot be written to; give a folder, or a URL such as s3://bucket/run")
        self._filesystem, root = url_to_fs(location)
        self._root = str(root).rstrip("/")
        self._is_local = isinstance(self._filesystem, LocalFileSystem)

    @property
    def is_shared(self) -> bool:
        """Whether other processes see the same files."""
        return not isinstance(self._filesystem, MemoryFileSystem)

    def local_path(self, path: str) -> Path | None:
        """Return a file's path on this machine; ``None`` if the location is remote."""
        return Path(self._full(path)) if self._is_local else None

    def is_file(self) -> bool:
        """Return whether the location itself is a file.

        Raises:
            UnreadableError: The location does not answer.
        """
        return self._is_file(self._root, "") if self._root else False

    def exists(self, path: str) -> bool:
        """Return whether the file exists.

        Raises:
            UnreadableError: The location does not answer.
        """
        return self._is_file(self._full(path), path)

    def _is_file(self, full: str, path: str) -> bool:
        # Unlike isfile, which says no if the location does not answer.
        self._filesystem.invalidate_cache()
        try:
            with self._reading(path):
                return bool(self._filesystem.info(full)["type"] == "file")
        except FileNotFoundError:
            pass
        return False

    def list(self, under: str = "") -> list[str]:
        """Return the sorted paths of all files below the folder ``under``, without temporary files.

        Raises:
            UnreadableError: The location does not answer.
        """
        self._filesystem.invalidate_cache()
        full = self._full(under) if under else self._root or "/"
        with self._reading(under):
            found = list(_local_files(full)) if self._is_local else self._filesystem.find(full)
        relative = (str(path)[len(self._root) :].lstrip("/") for path in found)
        # While another process starts a run, an object store may list the folder itself.
        return sorted(path for path in relative if path and not path.rpartition("/")[2].startswith(TEMPORARY))

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            FileNotFoundError: The file does not exist.
            UnreadableError: There is something else in its place.
        """
        full = self._full(path)
        with self._reading(path):
            return bytes(self._filesystem.cat_file(full))
        raise AssertionError("unreachable: the block above returns or raises")

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file to read parts of it.

        Raises:
            FileNotFoundError: The file does not exist.
            UnreadableError: There is something else in its place.
        """
        full = self._full(path)
        with self._reading(path):
            stream = self._filesystem.open(full, "rb")
        with stream:
            yield cast(IO[bytes], stream)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn the errors of an object store's libraries, such as missing credentials, into ``OSError``."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            if self._is_local:
                raise
            raise OSError(one_line(error)) from error

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            with self._asking():
                yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(*error.args) from error
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise FileNotFoundError(*error.args) from error
            is_folder = isinstance(error, IsADirectoryError)
            do = "remove what is in its place, and run the study again" if is_folder else "try again once it can"
            where = "/".join(filter(None, (self.location, path)))
            raise UnreadableError(f"'{where}' cannot be read ({error.strerror or one_line(error)}); {do}") from error

    def write(self, path: str, content: bytes) -> None:
        """Write a file atomically: readers see the whole old or the whole new content, even after a crash.

        Object stores upload atomically; locally, the content goes to a temporary file, is flushed to disk and renamed.
        """
        if not self._is_local:
            full = self._full(path)
            with self._asking():
                self._filesystem.pipe_file(full, content)
            return
        with self._written_aside(path, content) as (temporary, target):
            temporary.replace(target)

    def write_together(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Write files in order; if one cannot be written, those before it that did not exist are removed."""
        new: list[str] = []
        with ExitStack() as made:
            try:
                for path, content in files:
                    if self._is_local:
                        made.enter_context(made_folder(Path(self._full(path)).parent))
                    if not self.exists(path):
                        new.append(path)
                    self.write(path, content)
            except BaseException:
                for path in new:
                    with suppress(OSError):
                        self.remove(path)
                raise

    def create(self, path: str, content: bytes) -> bool:
        """Write a file unless it exists, and return whether it was written.

        If several processes create the same file, one of them gets ``True``.
        """
        if not self._is_local:
            if self.exists(path):
                return False
            full = self._full(path)
            try:
                with self._asking():
                    self._filesystem.pipe_file(full, content, mode="create")
            except FileExistsError:
                return False
            return True
        with self._written_aside(path, content) as (temporary, target):
            return _place(temporary, target)

    def check_writable(self) -> None:
        """Check that a local location is writable, at its nearest existing folder, leaving no file behind.

        Raises:
            OSError: It is not writable.
        """
        if self._is_local:
            root = Path(self._root or "/")
            nearest = next(folder for folder in (root, *root.parents) if folder.exists())
            with tempfile.TemporaryFile(dir=nearest):
                pass

    def remove(self, path: str) -> None:
        """Remove a file if it exists."""
        full = self._full(path)
        with suppress(FileNotFoundError), self._asking():
            self._filesystem.rm_file(full)

    def _full(self, path: str) -> str:
        parts = path.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"'{path}' is not a valid path relative to the run")
        return f"{self._root}/{path}"

    @contextmanager
    def _written_aside(self, path: str, content: bytes) -> Iterator[tuple[Path, Path]]:
        target = Path(self._full(path))
        temporary = target.parent / f"{TEMPORARY}{os.getpid()}-{uuid4().hex}"
        with made_folder(target.parent):
            try:
                with temporary.open("xb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                yield temporary, target
            finally:
                temporary.unlink(missing_ok=True)


def _place(temporary: Path, target: Path) -> bool:
    """Give a complete temporary file its final name unless that is taken; return whether it was free."""
    try:
        # Unlike a rename, linking fails if the name is taken.
        target.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:
        # Some file systems (exFAT, some network shares) do not support hard links.
        if target.exists():
            return False
        temporary.replace(target)
    return True


def _local_files(folder: str) -> Iterator[str]:
    """Yield the files below a folder, linked ones among them; fsspec leaves out what is linked or cannot be listed.

    Raises:
        OSError: A folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        # Another process may remove a folder in the meantime, or it does not exist yet.
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    if Path(folder).is_file():
        yield folder
    seen = set()
    for here, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Reading a pipe or a device would take forever.
        yield from (path for name in files if Path(path := f"{here}/{name}").is_file())
