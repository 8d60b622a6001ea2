"""Archives of probe data: local folders and unpacking."""

from __future__ import annotations

import lzma
import os
import re
import shlex
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from forgetmeter.basics.cache_folder import cache_folder
from forgetmeter.errors import UserError

VARIABLE = "FORGETMETER_DATA"
_MOST_BYTES = 4 * 10**9
"""No probe unpacks to more than this."""


@dataclass(frozen=True)
class ProbeArchive:
    """A probe's published data; its folder has the layout its authors publish.

    Attributes:
        name: Name on the command line.
        folder: Its folder inside the data folder.
        address: URL of the zip archive, or of its only file.
        source: Origin, for messages.
        holds: Contents of its folder, for messages.
        marker: The file that identifies the probe's folder in the archive; if there is no archive, its only file.
        wanted: Matches the paths to unpack, relative to the probe's folder.
        tasks: Its tasks, each with a file or folder that it needs.
        terms: License and citation.
    """

    name: str
    folder: str
    address: str
    source: str
    holds: str
    marker: str
    wanted: re.Pattern[str]
    tasks: Mapping[str, str]
    terms: str

    @property
    def is_zip(self) -> bool:
        """Whether it is published as a zip archive, not as a single file."""
        return self.address.endswith(".zip")

    @property
    def fetch_again(self) -> str:
        """Advice for missing or damaged files, as the end of a message."""
        return f"fetch it again from {self.source}"

    def found(self, data: Path | None = None) -> Path:
        """Return the probe's folder inside the data folder.

        Raises:
            UserError: It does not exist; the message says what it must contain and where to get it.
        """
        folder = data_folder(data) / self.folder
        if not folder.is_dir():
            into = "" if data is None else f" --data {shlex.quote(str(data))}"
            raise UserError(
                f"'{folder}' does not exist; run forgetmeter data fetch {self.name}{into} (from {self.source}), or set "
                f"--data or {VARIABLE} to the folder that contains {self.folder}/ with {self.holds}"
            )
        return folder


def data_folder(given: Path | None = None) -> Path:
    """Return ``given``, else ``FORGETMETER_DATA``, else ``data`` in the cache folder."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else cache_folder() / "data"


def unpack(archive: ProbeArchive, path: Path, into: Path) -> int:
    """Unpack a probe's files from the zip file ``path``, or copy its only file, and return their number.

    Args:
        into: Output folder, created if needed; no path in the archive can write outside it.

    Raises:
        UserError: The file is not a zip archive, is damaged, or does not contain the probe.
    """
    if not archive.is_zip:
        into.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, into / archive.marker)
        return 1
    try:
        with zipfile.ZipFile(path) as opened:
            members = _members(archive, opened)
            for below, member in members.items():
                target = into / below
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as written:
                    shutil.copyfileobj(source, written, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"'{path.name}' is not a complete zip archive ({error}); fetch it again") from error
    return len(members)


def _members(archive: ProbeArchive, opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files to unpack by path relative to the probe's folder."""
    listed = [info for info in opened.infolist() if not info.is_dir()]
    root = _root(archive, [PurePosixPath(info.filename) for info in listed])
    found = {}
    for info in listed:
        below = info.filename.removeprefix(root)
        if info.filename.startswith(root) and archive.wanted.fullmatch(below):
            found[below] = info
    if sum(info.file_size for info in found.values()) > _MOST_BYTES:
        raise UserError(
            f"the archive unpacks to more than {_MOST_BYTES / 1e9:.0f} GB, so it is not {archive.folder}; "
            f"fetch it again from {archive.source}, or check --from"
        )
    return found


def _root(archive: ProbeArchive, paths: list[PurePosixPath]) -> str:
    """Return the probe's folder inside the archive, with a trailing slash, or an empty string."""
    holding = [path.parent for path in paths if path.name == archive.marker]
    if not holding:
        raise UserError(f"the archive contains no {archive.marker}, so it is not {archive.folder}")
    # Prefer a folder with the probe's name, then the topmost.
    best = min(holding, key=lambda parent: (parent.name != archive.folder, len(parent.parts)))
    return "" if best == PurePosixPath() else f"{best}/"
