"""A model's JSON files as they are, before any library makes something of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def raw_config(folder: Path, file: str = "config.json") -> dict[str, Any]:
    """Return what a JSON file of a model's folder holds; nothing where it is missing, damaged or no mapping."""
    try:
        stored = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
