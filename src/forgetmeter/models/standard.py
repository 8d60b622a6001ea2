"""The standards that ship with the package, and whether they are whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from forgetmeter.errors import UserError

SHIPPED = Path(__file__).with_name("shipped_standards")
"""Holds a folder for each standard, as ``save_pretrained`` writes one, with a list of checksums."""

CHECKSUMS = "checksums.json"
_WEIGHTS = "model.safetensors"
_MEND = "install forgetmeter again, or make it anew: forgetmeter standards train --out DIR, and name DIR/{name}"


def standard_folder(name: str, *, shipped: Path = SHIPPED) -> Path:
    """Return the folder of a standard, every file of which is as it was when its knowledge was measured.

    Args:
        name: Its family.
        shipped: Where the standards lie.

    Raises:
        UserError: A file is missing or altered.
    """
    folder = shipped / name
    mend = _MEND.format(name=name)
    try:
        checksums = dict(json.loads((folder / CHECKSUMS).read_text(encoding="utf-8")))
        checksums[_WEIGHTS]
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"standard '{name}': {CHECKSUMS} is missing or damaged; {mend}") from None
    for file, expected in checksums.items():
        path = folder / file
        if not path.is_file():
            raise UserError(f"standard '{name}': {file} is missing; {mend}")
        if checksum(path) != expected:
            raise UserError(f"standard '{name}': {file} is not the file that was shipped; {mend}")
    return folder


def write_checksums(folder: Path) -> None:
    """Take down the checksums of all files in a standard's folder."""
    files = sorted(file for file in folder.iterdir() if file.name != CHECKSUMS)
    text = json.dumps({file.name: checksum(file) for file in files}, indent=2)
    (folder / CHECKSUMS).write_text(text + "\n", encoding="utf-8")


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
