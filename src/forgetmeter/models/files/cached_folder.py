"""Cache folders of converted models; each is either complete or absent."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

from forgetmeter.basics.cache_folder import SOURCE, UNFINISHED, cache_folder, use
from forgetmeter.basics.file_digest import sha256_of
from forgetmeter.errors import UserError, one_line
from forgetmeter.models.files.file_hash import file_hash

_DIGESTS = "sha256"


def cached_folder(name: str) -> Path:
    """Return the folder of a converted model, which may not exist."""
    return cache_folder() / "models" / name


def filled(folder: Path, source: Path, fill: Callable[[Path], None]) -> Path:
    """Return a cached folder; fill it from its source if it is missing, or if its files are not as they were written.

    Raises:
        UserError: The cache folder is not writable, or ``fill`` raises it.
    """
    try:
        if folder.is_dir():
            use(folder)
            if _is_intact(folder):
                return folder
            _discard(folder)
        _fill(folder, source, fill)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the cache folder is not writable ({one_line(error)}); set FORGETMETER_CACHE to another folder"
        ) from error
    return folder


def _is_intact(folder: Path) -> bool:
    """Whether a folder's files have the digests that were noted; earlier versions noted none."""
    try:
        noted = json.loads((folder / SOURCE).read_text(encoding="utf-8")).get(_DIGESTS, {})
        return all(file_hash(folder / name) == digest for name, digest in noted.items())
    except (OSError, ValueError, AttributeError):
        return False


def _discard(folder: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    # Another process may discard it at the same time.
    with suppress(FileNotFoundError):
        folder.rename(aside)
    shutil.rmtree(aside)


def _fill(folder: Path, source: Path, fill: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        use(aside)
        fill(aside)
        # A note that was copied from another folder of the cache is replaced below.
        files = [file for file in sorted(aside.iterdir()) if file.is_file() and file.name != SOURCE]
        note = {"source": str(source.resolve()), _DIGESTS: {file.name: sha256_of(file) for file in files}}
        (aside / SOURCE).write_text(json.dumps(note), encoding="utf-8")
        try:
            aside.rename(folder)
        except OSError:
            # Another process finished first, with the same result.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
