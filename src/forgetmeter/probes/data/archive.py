"""The published data of probes: where it is on this machine, and what of its archive is unpacked."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from forgetmeter.cache_folder import cache_folder
from forgetmeter.errors import UserError

VARIABLE = "FORGETMETER_DATA"
_MOST_BYTES = 4 * 10**9
"""An archive that unpacks to more is none of these."""


@dataclass(frozen=True)
class ProbeArchive:
    """A probe's data, in a folder laid out as its authors publish it.

    Attributes:
        name: What the user calls it.
        folder: Its folder in the data folder.
        address: Of the zip archive.
        source: Where it is from, for messages.
        holds: What its folder holds, for messages.
        marker: The file by which the probe's folder in the archive is known, below that folder.
        wanted: Matches the paths of what is unpacked, below the same folder.
        tasks: Its tasks, each with the folder or file without which there is nothing of it.
        terms: What its authors ask for.
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
    def fetch_again(self) -> str:
        """What to do about a file that is missing or damaged, as the end of a message."""
        return f"fetch it again from {self.source}"

    def found(self, data: Path | None = None) -> Path:
        """Return the probe's folder inside the data folder.

        Args:
            data: The data folder, where it was named.

        Raises:
            UserError: It is not there; the message says what it must hold and where to get it.
        """
        folder = data_folder(data) / self.folder
        if not folder.is_dir():
            raise UserError(
                f"there is no folder '{folder}': 'forgetmeter data fetch {self.name}' brings it, from {self.source}; "
                f"or set --data or {VARIABLE} to the folder in which {self.folder}/ is, with {self.holds}"
            )
        return folder


def data_folder(given: Path | None = None) -> Path:
    """Return the data folder: the one given, else ``FORGETMETER_DATA``, else ``data`` in the cache folder."""
    if given is not None:
        return given.expanduser()
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else cache_folder() / "data"


def unpack(archive: ProbeArchive, path: Path, into: Path) -> int:
    """Unpack a probe's files.

    Args:
        archive: What it is.
        path: The zip file.
        into: Folder to write them into; it is made. Nothing is written outside of it, whatever the archive says.

    Returns:
        How many files were written.

    Raises:
        UserError: It is no zip archive, is damaged, or does not hold the probe.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            members = _members(archive, opened)
            for below, member in members.items():
                target = into / below
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as written:
                    shutil.copyfileobj(source, written, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"'{path.name}' is no whole zip archive ({error}); fetch it again") from error
    return len(members)


def _members(archive: ProbeArchive, opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the wanted files by their path below the probe's folder."""
    listed = [info for info in opened.infolist() if not info.is_dir()]
    root = _root(archive, [PurePosixPath(info.filename) for info in listed])
    found = {}
    for info in listed:
        below = info.filename.removeprefix(root)
        if info.filename.startswith(root) and archive.wanted.fullmatch(below):
            found[below] = info
    if sum(info.file_size for info in found.values()) > _MOST_BYTES:
        raise UserError(
            f"the archive unpacks to more than {_MOST_BYTES / 1e9:.0f} GB, so that it is not {archive.folder}"
        )
    return found


def _root(archive: ProbeArchive, paths: list[PurePosixPath]) -> str:
    """Return the folder of the probe inside the archive, with a slash at its end, or nothing."""
    holding = [path.parent for path in paths if path.name == archive.marker]
    if not holding:
        raise UserError(f"the archive holds no {archive.marker}, so that it is not {archive.folder}")
    # The one that is named as the probe is, else the one that is furthest up.
    best = min(holding, key=lambda parent: (parent.name != archive.folder, len(parent.parts)))
    return "" if best == PurePosixPath() else f"{best}/"
