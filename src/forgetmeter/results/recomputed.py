"""Checks that what a run stores about its answers follows from the answers themselves."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import StoredCell
from forgetmeter.runs.tables.outcomes_table import METRIC

_TOLERANCE = 1e-6
_READ = ("item_id", "correct", "rank", "margin")


def number_problems(run: Run) -> Iterator[str]:
    """Yield which stored numbers do not follow from the outcomes, one sentence per cell and kind.

    In each cell: a right answer ranks first and has a margin of at least 0, and no other has a positive margin; the
    number of rows is that of its items; and the task's main metric, where it is a mean, is that of its outcomes.
    """
    primary = {each.task: each.judged[0] for each in run.tasks}
    for cell in run.cells:
        metric = f"{METRIC}{primary.get(cell.task, '')}"
        # Leaves out a column that is not there.
        table = pq.ParquetFile(io.BytesIO(run.read(cell.path))).read(columns=[*_READ, metric])
        where = f"{cell.recipe} ({cell.model}) on {cell.task}"
        if len(table) != cell.rows:
            yield f"{where}: {cell.rows} answers are stated, and {len(table)} are stored"
        if cell.is_judged:
            for problem in _contradictions(table):
                yield f"{where}: {problem}"
        yield from (f"{where}: {problem}" for problem in _wrong_mean(table, cell, primary.get(cell.task, "")))


def _contradictions(table: Any) -> Iterator[str]:  # noqa: ANN401 - of arrow
    right = table["correct"].to_numpy()
    rank, margin = _numbers(table["rank"]), _numbers(table["margin"])
    for bad, what in (
        (right & (rank > 1), "is right, and does not rank first"),
        (right & (margin < 0), "is right, and has a negative margin"),
        (~right & (margin > 0), "is wrong, and has a positive margin"),
    ):
        if bad.any():
            first = table["item_id"][int(np.argmax(bad))].as_py()
            yield f"{first} {what}" + (f" (and {bad.sum() - 1} others)" if bad.sum() > 1 else "")


def _wrong_mean(table: Any, cell: StoredCell, primary: str) -> Iterator[str]:  # noqa: ANN401
    name = f"{METRIC}{primary}"
    stated = cell.metrics.get(primary)
    if stated is None or name not in table.column_names:
        return
    values = _numbers(table[name])
    # Others, such as F1, are not means of their items.
    if (
        len(values)
        and np.isin(values, (0.0, 1.0)).all()
        and not math.isclose(float(values.mean()), stated, abs_tol=_TOLERANCE)
    ):
        yield f"{primary} is stated as {stated:.4f}, and its answers give {values.mean():.4f}"


def _numbers(column: Any) -> NDArray[np.float64]:  # noqa: ANN401
    return np.asarray(column.to_pandas().to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
