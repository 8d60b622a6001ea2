"""The tables of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def stored(location: str) -> dict[str, Any]:
    """Return the rows of each table of a run, by file."""
    return {
        str(path.relative_to(location)): pq.read_table(path).to_pylist()
        for path in sorted(Path(location).rglob("*.parquet"))
    }
