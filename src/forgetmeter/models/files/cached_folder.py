"""Cache folders of converted models; each is either complete or absent."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from forgetmeter.basics.cache_folder import SOURCE, cache_folder, use
from forgetmeter.errors import UserError, one_line


def cached_folder(name: str) -> Path:
    """Return the folder of a converted model, which may not exist."""
    return cache_folder() / "models" / name


def filled(folder: Path, source: Path, fill: Callable[[Path], None]) -> Path:
    """Return a cached folder; fill it from its source if it is missing.

    Raises:
        UserError: The cache folder is not writable, or ``fill`` raises it.
    """
    if folder.is_dir():
        use(folder)
        return folder
    try:
        _fill(folder, source, fill)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the cache folder is not writable ({one_line(error)}); set FORGETMETER_CACHE to another folder"
        ) from error
    return folder


def _fill(folder: Path, source: Path, fill: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        use(aside)
        fill(aside)
        (aside / SOURCE).write_text(json.dumps({"source": str(source.resolve())}), encoding="utf-8")
        try:
            aside.rename(folder)
        except OSError:
            # Another process finished first, with the same result.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
