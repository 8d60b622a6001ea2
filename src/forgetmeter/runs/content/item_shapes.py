"""The data of each item that comparing variants needs, read from a run without materializing the choices."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forgetmeter.runs.content.damage import damaged
from forgetmeter.runs.content.parquet_union import UnionPart
from forgetmeter.runs.filesystem import RunFolder

COLUMNS = ("task", "item_id", "gold", "choices", "among", "relation", "popularity")


def read_item_shapes(folder: RunFolder, parts: Sequence[UnionPart]) -> pd.DataFrame:
    """Return a data frame with one row per item.

    Columns: ``task``, ``item_id``, ``gold`` (indices), ``choices`` (number), and, missing if the item has none,
    ``among`` (of a cloze), ``relation`` and ``popularity`` (a number).

    Args:
        parts: The items files, each with its task as key.

    Raises:
        UserError: A file contains items without an id or without right answers, or two with the same id.
    """
    tables = [_shapes(folder.read(part.path), part.keys["task"]) for part in parts]
    for table, part in zip(tables, parts, strict=True):
        if table["item_id"].null_count or table["gold"].null_count:
            raise damaged(part.path, "items without an id or without right answers")
        if pc.count_distinct(table["item_id"]).as_py() < len(table):
            raise damaged(part.path, "two items have the same id")
    if not tables:
        empty: pd.DataFrame = pd.DataFrame({name: [] for name in COLUMNS})
        return empty
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


def _shapes(content: bytes, task: str) -> pa.Table:
    # The items of a relation share its choices; a dictionary materializes each choice once.
    stored = pq.ParquetFile(io.BytesIO(content), read_dictionary=["choices.list.element"])
    # Earlier versions stored no clozes.
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
    # A task may write anything there; anything but a number counts as missing.
    numbers = pd.to_numeric(texts.to_pandas(), errors="coerce")
    return pa.array(numbers, pa.float64(), from_pandas=True)
