"""The standards that ship with the package, and their checksums."""

from __future__ import annotations

import json
from pathlib import Path

from forgetmeter.basics.file_digest import sha256_of
from forgetmeter.errors import UserError

SHIPPED = Path(__file__).with_name("shipped_standards")
"""Holds one folder per standard, as written by ``save_pretrained``, with a list of checksums."""

CHECKSUMS = "checksums.json"
_WEIGHTS = "model.safetensors"
_FIX = "reinstall forgetmeter, or train it again: forgetmeter standards train --out DIR, and use DIR/{name}"


def standard_folder(name: str, *, shipped: Path = SHIPPED) -> Path:
    """Return the folder of a standard, after checking its files.

    Raises:
        UserError: A file is missing or altered.
    """
    folder = shipped / name
    fix = _FIX.format(name=name)
    try:
        checksums = dict(json.loads((folder / CHECKSUMS).read_text(encoding="utf-8")))
        checksums[_WEIGHTS]
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"standard '{name}': {CHECKSUMS} is missing or damaged; {fix}") from None
    for file, expected in checksums.items():
        path = folder / file
        if not path.is_file():
            raise UserError(f"standard '{name}': {file} is missing; {fix}")
        if sha256_of(path) != expected:
            raise UserError(f"standard '{name}': {file} is not the shipped file; {fix}")
    return folder


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files in a standard's folder."""
    files = sorted(file for file in folder.iterdir() if file.name != CHECKSUMS)
    text = json.dumps({file.name: sha256_of(file) for file in files}, indent=2)
    (folder / CHECKSUMS).write_text(text + "\n", encoding="utf-8")
