"""A cell's outcomes as a parquet file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from forgetmeter.records.cell import Cell
from forgetmeter.records.outcome import Outcome
from forgetmeter.runs.stored import JUDGED
from forgetmeter.runs.tables.metadata import parquet_bytes

METRIC = "metric."
KEYS = ("variant", "model", "recipe", "task")
"""Columns with one value in all rows, for other programs: forgetmeter reads the same values from the metadata.

Files of schema version 1 lack them.
"""

_FIELDS: list[tuple[str, pa.DataType]] = [
    ("item_id", pa.string()),
    ("correct", pa.bool_()),
    # Parquet's dictionary encoding stores each distinct text of a column once.
    ("prediction", pa.string()),
    ("gold", pa.string()),
    ("rank", pa.int32()),
    ("margin", pa.float64()),
    # Models compute in float32 at most; float64 would store noise and double the file.
    ("loglikelihoods", pa.list_(pa.float32())),
]
TOKEN_VALUES = "token_values"
"""Column of the values of an item's tokens, only in files of tasks that have them."""
GENERATED = "generated"
"""Column of the whole texts that a model wrote, only in files of tasks that ask for texts."""
OPTIONAL = ("correct", "rank", "margin", GENERATED)
"""Columns that may lack values, besides metrics."""
OUTCOME_COLUMNS = tuple(name for name, _ in _FIELDS)
OUTCOMES_SCHEMA = pa.schema(_FIELDS)


def outcomes_parquet(cell: Cell, outcomes: Sequence[Outcome], facts: Mapping[str, Any]) -> bytes:
    """Return outcomes as a parquet file, with the cell's facts in its metadata.

    Each per-item metric has a column ``metric.<name>``, null for outcomes without it.
    """
    keys = {
        "variant": cell.variant.id,
        "model": str(cell.variant.model),
        "recipe": str(cell.variant.recipe),
        "task": cell.task,
    }
    names = sorted({name for outcome in outcomes for name in outcome.metrics})
    columns: dict[str, list[Any]] = {
        **{name: [value] * len(outcomes) for name, value in keys.items()},
        "item_id": [outcome.item_id for outcome in outcomes],
        "correct": [outcome.correct for outcome in outcomes],
        "prediction": [outcome.prediction for outcome in outcomes],
        "gold": [outcome.gold for outcome in outcomes],
        "rank": [outcome.rank for outcome in outcomes],
        "margin": [outcome.margin for outcome in outcomes],
        "loglikelihoods": [list(outcome.loglikelihoods) for outcome in outcomes],
    }
    values = [list(outcome.token_values) for outcome in outcomes]
    columns |= {TOKEN_VALUES: values} if any(values) else {}
    texts = [outcome.generated for outcome in outcomes]
    has_texts = any(text is not None for text in texts)
    columns |= {GENERATED: texts} if has_texts else {}
    columns |= {f"{METRIC}{name}": [outcome.metrics.get(name) for outcome in outcomes] for name in names}
    described = [(name, pa.string()) for name in KEYS]
    measured = [(TOKEN_VALUES, pa.list_(pa.float32()))] if any(values) else []
    measured += [(GENERATED, pa.string())] if has_texts else []
    schema = pa.schema(described + _FIELDS + measured + [(f"{METRIC}{name}", pa.float64()) for name in names])
    about = {**facts, **keys, "rows": len(outcomes)}
    if any(outcome.correct is None for outcome in outcomes):
        about[JUDGED] = False
    return parquet_bytes(pa.table(columns, schema=schema), about)


def correct_by_item(content: bytes) -> dict[str, bool]:
    """Return whether each item is right, by its id, from a file of outcomes; without those that are not judged."""
    table = pq.read_table(io.BytesIO(content), columns=["item_id", "correct"])
    pairs = zip(table["item_id"].to_pylist(), table["correct"].to_pylist(), strict=True)
    return {item: correct for item, correct in pairs if correct is not None}
