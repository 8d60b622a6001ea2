"""Checksums of a report's files, and what of a run's folder does not match them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

from forgetmeter.runs.file_checks import strangers
from forgetmeter.runs.filesystem import RunFolder

CHECKSUMS = "report.sha256"


def checksums(files: Mapping[str, bytes]) -> bytes:
    """Return the checksums of files by path, as ``sha256sum --check`` reads them."""
    return "".join(f"{sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items())).encode()


def report_problems(location: str) -> Iterator[str]:
    """Yield which files of a report in a run's folder are not as they were written, one sentence each."""
    folder = RunFolder(location)
    others = [path for path in strangers(folder.list()) if path != CHECKSUMS]
    stated = _stated(folder) if folder.exists(CHECKSUMS) else {}
    if stated is None:
        yield f"{CHECKSUMS} is not as it was written"
        return
    for path, digest in stated.items():
        if path not in others:
            yield f"{path} is missing from the report"
        elif sha256(folder.read(path)).hexdigest() != digest:
            yield f"{path} is not as the report was written"


def unknown_files(location: str) -> list[str]:
    """Return the paths of files in a run's folder that are neither part of the run nor of a report with checksums."""
    folder = RunFolder(location)
    stated = (_stated(folder) if folder.exists(CHECKSUMS) else None) or {}
    return [path for path in strangers(folder.list()) if path != CHECKSUMS and path not in stated]


def _stated(folder: RunFolder) -> dict[str, str] | None:
    try:
        lines = folder.read(CHECKSUMS).decode().splitlines()
    except UnicodeDecodeError:
        return None
    pairs = [line.split("  ", 1) for line in lines]
    return {pair[1]: pair[0] for pair in pairs} if all(len(pair) == 2 for pair in pairs) else None
