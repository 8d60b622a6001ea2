"""Checksums of a report's files, and what of a run's folder does not match them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256

from forgetmeter.runs.file_checks import strangers
from forgetmeter.runs.filesystem import RunFolder

PAGE = "report.html"
CHECKSUMS = "report.sha256"


def checksums(files: Mapping[str, bytes]) -> bytes:
    """Return the checksums of files by path, as ``sha256sum --check`` reads them."""
    return "".join(f"{sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items())).encode()


def check_report(folder: RunFolder, paths: Collection[str]) -> tuple[list[str], list[str]]:
    """Return which files of a report are not as they were written, and the paths of files that are of no report.

    Args:
        folder: A run's folder.
        paths: Paths of all files in it.
    """
    others = [path for path in strangers(paths) if path != CHECKSUMS]
    if CHECKSUMS not in paths and PAGE in others:
        return [f"{PAGE} has no {CHECKSUMS} beside it, which every report has; write it again"], others
    stated = _stated(folder) if CHECKSUMS in paths else {}
    if stated is None:
        return [f"{CHECKSUMS} is not as it was written"], others
    problems = []
    for path, digest in stated.items():
        if path not in others:
            problems.append(f"{path} is missing from the report")
        elif sha256(folder.read(path)).hexdigest() != digest:
            problems.append(f"{path} is not as the report was written")
    return problems, [path for path in others if path not in stated]


def _stated(folder: RunFolder) -> dict[str, str] | None:
    try:
        lines = folder.read(CHECKSUMS).decode().splitlines()
    except UnicodeDecodeError:
        return None
    pairs = [line.split("  ", 1) for line in lines]
    return {pair[1]: pair[0] for pair in pairs} if all(len(pair) == 2 for pair in pairs) else None
