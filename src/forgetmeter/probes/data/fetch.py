"""Downloading a probe's data into the data folder, all or nothing."""

from __future__ import annotations

import http.client
import json
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from forgetmeter.basics.file_digest import sha256_of
from forgetmeter.basics.made_folder import made_folder
from forgetmeter.errors import UserError
from forgetmeter.probes.by_relation import CountsRelations
from forgetmeter.probes.data.archive import ProbeArchive, data_folder, unpack
from forgetmeter.probes.loading import load_task
from forgetmeter.probes.registry import archives
from forgetmeter.specs.suggestion import unknown

NOTE = "fetched.json"
_CHUNK = 1 << 20
_SECONDS = 60.0


Listener = Callable[[int, int | None], None]
"""Called with the number of bytes received and, if known, the total."""


def ignore_progress(_done: int, _size: int | None) -> None:
    """Ignore progress."""


def download(address: str, path: Path, *, listen: Listener) -> None:
    """Download an ``https://`` or ``http://`` URL to a file.

    Raises:
        UserError: The download fails or is incomplete.
        OSError: The file cannot be written.
    """
    done = 0
    with path.open("wb") as file:
        for chunk, size in _chunks(address):
            file.write(chunk)
            done += len(chunk)
            listen(done, size)


def _chunks(address: str) -> Iterator[tuple[bytes, int | None]]:
    """Yield chunks, each with the total size if known."""
    request = urllib.request.Request(address, headers={"User-Agent": "forgetmeter"})
    done = 0
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            length = answer.headers.get("Content-Length")
            size = int(length) if length and length.isdigit() else None
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                yield chunk, size
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{address} cannot be fetched ({reason})") from error
    if size is not None and done != size:
        raise UserError(f"the download of {address} ended after {done:,} of {size:,} bytes")


@dataclass(frozen=True)
class Fetched:
    """A probe in the data folder.

    Attributes:
        relations: Number of relations per task, for tasks whose files exist.
        address: URL or path it was fetched from; ``None`` if it was already there.
        sha256: SHA-256 of the archive in hexadecimal; ``None`` if it was already there.
    """

    folder: Path
    relations: dict[str, int]
    address: str | None = None
    sha256: str | None = None


def fetch(
    name: str, *, data: Path | None = None, source: str | None = None, listen: Listener = ignore_progress
) -> Fetched:
    """Fetch a probe, unless it is already there. A failure leaves nothing behind.

    Args:
        name: Name of the probe's data, such as ``lama``.
        source: Another URL, or a local file as published, in place of the official one.

    Raises:
        UserError: The probe is unknown, its folder exists but is incomplete, or it cannot be fetched, unpacked or
            written.
    """
    if name not in (published := archives()):
        raise UserError(unknown("probe", name, published))
    archive = published[name]
    place = data_folder(data) / archive.folder
    if place.exists():
        return Fetched(place, _checked(archive, place, f"move '{place}' away to fetch it again"))
    try:
        with (
            made_folder(place.parent),
            tempfile.TemporaryDirectory(prefix=f".{archive.folder}.", dir=place.parent) as beside,
        ):
            fetched = _into(archive, Path(beside), source, listen)
            relations = _checked(archive, fetched.folder, "it differs from the published data")
            fetched.folder.rename(place)
    except OSError as error:
        raise UserError(f"'{place}' cannot be written ({error.strerror or error}); choose another --data") from error
    return Fetched(place, relations, fetched.address, fetched.sha256)


def _into(archive: ProbeArchive, beside: Path, source: str | None, listen: Listener) -> Fetched:
    address = source or archive.address
    packed, folder = beside / "archive", beside / archive.folder
    form = "FILE.zip" if archive.is_zip else Path(archive.address).name
    if address.startswith(("https://", "http://")):
        try:
            download(address, packed, listen=listen)
        except UserError as error:
            raise UserError(
                f"{error}; download it another way, then: forgetmeter data fetch {archive.name} --from {form}"
            ) from error
    else:
        packed = Path(address).expanduser()
        if not packed.is_file():
            kind = "a zip file" if archive.is_zip else "a file"
            raise UserError(f"'{address}' does not exist (allowed: {kind}, an https:// or http:// address)")
    unpack(archive, packed, folder)
    sha256 = sha256_of(packed)
    note = {"address": address, "sha256": sha256}
    (folder / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    return Fetched(folder, {}, address, sha256)


def _checked(archive: ProbeArchive, folder: Path, fix: str) -> dict[str, int]:
    """Read every fact and return the number of relations per task, without tasks whose files are all missing."""
    found: dict[str, int] = {}
    problems: list[str] = []
    for task, inside in archive.tasks.items():
        if not (folder / inside).exists():
            continue
        try:
            loaded = load_task(task, limit=1, data=folder.parent)
        except UserError as error:
            problems.append(str(error).splitlines()[0])
        else:
            found[task] = len(loaded.relations) if isinstance(loaded, CountsRelations) else 1
    if problems or not found:
        lacking = f"it contains none of {', '.join(archive.tasks.values())}"
        raise UserError(f"'{folder.name}' is incomplete: {problems[0] if problems else lacking}; {fix}")
    return found
