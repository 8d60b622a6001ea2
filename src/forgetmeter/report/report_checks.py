"""Checksums of a report's files and of those it was made from, and what of a run's folder does not match them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256

from forgetmeter.basics.plural import listed
from forgetmeter.runs.file_checks import strangers
from forgetmeter.runs.filesystem import RunFolder

PAGE = "report.html"
CHECKSUMS = "report.sha256"
_FILES = re.compile(rb'<meta name="forgetmeter-files" content="([0-9a-f]{64})">')
ORIGIN = "run.sha256"
"""Checksums of the run's files that a report was made from."""


def checksums(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the checksums of files, given with their paths, as ``sha256sum --check`` reads them."""
    return checksum_lines((path, sha256(content).hexdigest()) for path, content in files)


def checksum_lines(digests: Iterable[tuple[str, str]]) -> bytes:
    """Return checksums, given with the files' paths, likewise, by path."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(digests)).encode()


def run_checksums(folder: RunFolder) -> bytes:
    """Return the checksums of a run's files."""
    return checksums(_files_of_run(folder, folder.list()))


def check_report(folder: RunFolder, paths: Collection[str]) -> tuple[list[str], list[str]]:
    """Return which files of a report are not as they were written, and what cannot be checked of it and of other files.

    Args:
        folder: A run's folder.
        paths: Paths of all files in it.
    """
    others = [path for path in strangers(paths) if path != CHECKSUMS]
    if CHECKSUMS not in paths and PAGE in others:
        return [f"{PAGE} has no {CHECKSUMS} beside it, which every report has; write it again"], _unknown(others)
    stated: dict[str, str] = {}
    if CHECKSUMS in paths:
        stated = _stated(folder, CHECKSUMS) or {}
        if PAGE not in stated:
            return [f"{CHECKSUMS} is not as it was written"], _unknown(others)
    problems = []
    if PAGE in others and (found := _FILES.search(folder.read(PAGE))) is not None:
        rest = checksum_lines((path, digest) for path, digest in stated.items() if path != PAGE)
        if sha256(rest).hexdigest() != found[1].decode():
            problems.append(f"{CHECKSUMS} does not list the files that {PAGE} was written with")
    for path, digest in stated.items():
        if path not in others:
            problems.append(f"{path} is missing from the report")
        elif sha256(folder.read(path)).hexdigest() != digest:
            problems.append(f"{path} is not as the report was written")
    unchecked = _unknown([path for path in others if path not in stated])
    if PAGE in stated and ORIGIN not in stated:
        unchecked.append(f"whether {PAGE} is of this run's answers: it does not say what it was made from")
    return problems, unchecked


def check_origin(folder: RunFolder, paths: Collection[str]) -> Iterator[str]:
    """Yield a sentence if the report in a run's folder was made from other files than those of the run.

    Args:
        folder: A run's folder, whose report is as it was written.
        paths: Paths of all files in it.
    """
    if ORIGIN in paths:
        now = {path: sha256(content).hexdigest() for path, content in _files_of_run(folder, paths)}
        before = _stated(folder, ORIGIN) or {}
        if changed := sorted(path for path in {*now, *before} if now.get(path) != before.get(path)):
            yield (
                f"{PAGE} shows another run, or an earlier state of this one ({listed(changed, 2)} "
                f"{'differs' if len(changed) == 1 else 'differ'}); write it again with forgetmeter report"
            )


def _files_of_run(folder: RunFolder, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
    others = {*strangers(paths)}
    for path in paths:
        # Another process may remove the record of a failure.
        with suppress(FileNotFoundError):
            if path not in others:
                yield path, folder.read(path)


def _unknown(paths: list[str]) -> list[str]:
    return [f"{listed(paths, 3)}: not part of the run, nor of a report with checksums"] if paths else []


def _stated(folder: RunFolder, path: str) -> dict[str, str] | None:
    """Return the checksums in a file by path; ``None`` if it is damaged."""
    content = folder.read(path)
    pairs = [line.split("  ", 1) for line in content.decode("utf-8", "replace").split("\n")[:-1]]
    stated = {pair[1]: pair[0] for pair in pairs if len(pair) == 2}
    return stated if checksum_lines(stated.items()) == content else None
