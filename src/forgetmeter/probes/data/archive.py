"""The archives in which probes are published, and what of them is unpacked."""

from __future__ import annotations

import lzma
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from forgetmeter.errors import UserError
from forgetmeter.probes.data.folder import BEAR, LAMA, LAMA_ADDRESS

_MOST_BYTES = 4 * 10**9
"""An archive that unpacks to more is none of these."""


@dataclass(frozen=True)
class ProbeArchive:
    """Where a probe is published.

    Attributes:
        name: What the user calls it.
        folder: Its folder in the data folder.
        address: Of the zip archive.
        marker: The file by which the probe's folder in the archive is known, below that folder.
        wanted: Matches the paths of what is unpacked, below the same folder.
        tasks: Its tasks, each with the folder or file without which there is nothing of it.
        terms: What its authors ask for.
    """

    name: str
    folder: str
    address: str
    marker: str
    wanted: re.Pattern[str]
    tasks: Mapping[str, str]
    terms: str


ARCHIVES = {
    archive.name: archive
    for archive in (
        ProbeArchive(
            name="lama",
            folder=LAMA,
            address=LAMA_ADDRESS,
            marker="relations.jsonl",
            wanted=re.compile(r"relations\.jsonl|(TREx|Google_RE|Squad|ConceptNet)/[\w.-]+\.jsonl"),
            tasks={
                "lama/trex": "TREx",
                "lama/google_re": "Google_RE",
                "lama/squad": "Squad",
                "lama/conceptnet": "ConceptNet",
            },
            terms="CC-BY-NC 4.0; cite Petroni et al. 2019, Language Models as Knowledge Bases?",
        ),
        ProbeArchive(
            name="bear",
            folder=BEAR,
            # Of one commit, so that it is the same for everybody.
            address="https://github.com/lm-pub-quiz/BEAR/archive/725b4e3139d0a5fdf914b0419ba744273dddc689.zip",
            marker="metadata_relations.json",
            wanted=re.compile(r"metadata_relations\.json|P\d+\.jsonl"),
            tasks={"bear": "metadata_relations.json"},
            terms="cite Wiland, Ploner and Akbik 2024, BEAR: A Unified Framework for Evaluating Relational Knowledge",
        ),
    )
}


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
