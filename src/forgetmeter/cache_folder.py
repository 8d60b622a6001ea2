"""Cache location."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """Return ``FORGETMETER_CACHE`` if it is set, else the user's cache folder for this program."""
    named = os.environ.get("FORGETMETER_CACHE")
    return Path(named).expanduser() if named else user_cache_path("forgetmeter", appauthor=False)
