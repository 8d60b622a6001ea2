"""What is needed of each item to compare variants: read from a run without making the choices themselves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forgetmeter.runs.content.damage import damaged
from forgetmeter.runs.content.parquet_union import Part
from forgetmeter.runs.filesystem import RunFolder

COLUMNS = ("task", "item_id", "gold", "choices", "among", "relation", "popularity")


def read_item_shapes(folder: RunFolder, parts: Sequence[Part]) -> pd.DataFrame:
    """Return a row an item.

    Columns: ``task``, ``item_id``, ``gold`` (indices), ``choices`` (how many), ``among`` (of a cloze), ``relation`` and
    ``popularity`` (a number), which are missing where the item has none.

    Args:
        folder: The run.
        parts: The items files, each with its task as key.

    Raises:
        UserError: A file holds items without an id or without right answers.
    """
    tables = [_shapes(folder.read(part.path), part.keys["task"]) for part in parts]
    for table, part in zip(tables, parts, strict=True):
        if table["item_id"].null_count or table["gold"].null_count:
            raise damaged(part.path, "items without an id or without right answers")
    if not tables:
        empty: pd.DataFrame = pd.DataFrame({name: [] for name in COLUMNS})
        return empty
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


def _shapes(content: bytes, task: str) -> pa.Table:
    # Read as a dictionary, a relation's choices, which its thousand items share, are not made a thousand times.
    stored = pq.ParquetFile(io.BytesIO(content), read_dictionary=["choices.list.element"])
    # Runs of earlier versions have no clozes.
    has_clozes = "among" in stored.schema_arrow.names
    table = stored.read(columns=["item_id", "gold", "choices", "fields", *(["among"] if has_clozes else [])])
    columns: list[Any] = [
        pa.array([task] * len(table), pa.string()),
        table["item_id"],
        table["gold"],
        pc.list_value_length(table["choices"]),
        table["among"] if has_clozes else pa.nulls(len(table), pa.string()),
        _field(table["fields"], "relation"),
        _numbers(_field(table["fields"], "popularity")),
    ]
    return pa.Table.from_arrays(columns, names=list(COLUMNS))


def _field(fields: Any, name: str) -> Any:  # noqa: ANN401 - of arrow
    return pc.map_lookup(fields, pa.scalar(name), "first")


def _numbers(texts: Any) -> Any:  # noqa: ANN401 - of arrow
    # A task may write anything there; what is no number is not known.
    numbers = pd.to_numeric(texts.to_pandas(), errors="coerce")
    return pa.array(numbers, pa.float64(), from_pandas=True)
