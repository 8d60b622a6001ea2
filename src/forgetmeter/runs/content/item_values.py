"""Values that a task without right answers measures by item and by token, read from a cell's outcomes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forgetmeter.runs.tables.outcomes_table import METRIC, TOKEN_VALUES


@dataclass(frozen=True, eq=False)
class ItemValues:
    """The values of a cell's items.

    Attributes:
        metrics: Per-item metrics by name, each of shape ``(items,)``.
        token_values: Values of the tokens of all items, one item after the other; empty if none are stored.
        items: Index of each token's item.
    """

    metrics: Mapping[str, NDArray[np.float64]]
    token_values: NDArray[np.float64]
    items: NDArray[np.int64]


def read_item_ids(content: bytes) -> list[str]:
    """Return the ids of the items in an outcomes file, in order."""
    ids: list[str] = pq.read_table(io.BytesIO(content), columns=["item_id"])["item_id"].to_pylist()
    return ids


def read_item_values(content: bytes, names: Iterable[str]) -> ItemValues:
    """Return the values in an outcomes file, without the metrics among ``names`` that it lacks."""
    # Leaves out columns that are not there.
    table = pq.ParquetFile(io.BytesIO(content)).read(columns=[TOKEN_VALUES, *(f"{METRIC}{name}" for name in names)])
    metrics = {
        name.removeprefix(METRIC): np.asarray(table[name].to_numpy(), dtype=np.float64)
        for name in table.column_names
        if name != TOKEN_VALUES
    }
    if TOKEN_VALUES not in table.column_names:
        return ItemValues(metrics, np.empty(0), np.empty(0, dtype=np.int64))
    lists = table[TOKEN_VALUES].combine_chunks()
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int64)
    values = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    return ItemValues(metrics, values, np.repeat(np.arange(len(lengths)), lengths))
