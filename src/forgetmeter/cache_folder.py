"""Where things are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """Return the cache folder: ``FORGETMETER_CACHE``, else the user's own for this program."""
    named = os.environ.get("FORGETMETER_CACHE")
    return Path(named).expanduser() if named else user_cache_path("forgetmeter", appauthor=False)
