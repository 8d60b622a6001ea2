"""The tables of a run, and when they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def stored(location: str | Path) -> dict[str, Any]:
    """Return the rows of each table of a run, by file."""
    return {
        str(path.relative_to(location)): pq.read_table(path).to_pylist()
        for path in sorted(Path(location).rglob("*.parquet"))
    }


def when_written(location: str | Path) -> dict[Path, int]:
    """Return when the outcomes of each finished cell were written, in nanoseconds, by file."""
    return {path: path.stat().st_mtime_ns for path in Path(location).glob("variants/*/*.parquet")}
