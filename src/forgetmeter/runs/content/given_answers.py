"""Answers of variants to selected items of a task, as text."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.run import Run


class GivenAnswers:
    """Reads the answers of one model on one task."""

    def __init__(self, run: Run, answers: Answers) -> None:
        self._run = run
        self._answers = answers
        self._ids = pa.array(answers.items.tolist(), pa.string())

    def read(self, recipe: str, items: NDArray[np.int64], column: str) -> tuple[list[str], NDArray[np.int64]]:
        """Return the distinct texts in a column of the variant's outcomes, and for each item the index of its text.

        Args:
            recipe: The variant's recipe.
            items: Indices of items that the variant answered.
            column: ``prediction`` or ``gold``.
        """
        cell = self._run.cell(self._answers.model, recipe, self._answers.task)
        if cell is None or not len(items):
            return [""], np.zeros(len(items), dtype=np.int64)
        table: Any = pq.read_table(io.BytesIO(self._run.read(cell.path)), columns=["item_id", column])
        chosen = pc.fill_null(table[column].take(pa.array(self._rows(table, items))).combine_chunks(), "")
        encoded: Any = chosen.dictionary_encode()
        return encoded.dictionary.to_pylist(), np.asarray(encoded.indices, dtype=np.int64)

    def _rows(self, table: Any, items: NDArray[np.int64]) -> NDArray[np.int64]:  # noqa: ANN401 - a pyarrow table
        ids = table["item_id"].combine_chunks()
        # All variants of a run normally answer the same items in the same order; ids are looked up only if they do not.
        if ids.equals(self._ids[: len(ids)]):
            return items
        rows = {item: row for row, item in enumerate(ids.to_pylist())}
        return np.asarray([rows[self._answers.items[item]] for item in items], dtype=np.int64)
