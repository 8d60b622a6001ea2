"""Checks that what a run stores about its answers follows from the answers themselves."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forgetmeter.basics.json_text import read_json
from forgetmeter.basics.plural import counted
from forgetmeter.probes.by_relation import relation_means
from forgetmeter.probes.lm_eval.judging import SHARES
from forgetmeter.probes.registry import metrics_of
from forgetmeter.results.row_checks import CheckedItems, numbers, read_checked_items, row_problems
from forgetmeter.runs import layout
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import StoredCell, StoredVariant
from forgetmeter.runs.tables.outcomes_table import METRIC, TOKEN_VALUES
from forgetmeter.specs.recipe import BASELINE

_TOLERANCE = 1e-5
_UNITS = ("word", "byte", "token")


def number_problems(run: Run) -> Iterator[str]:
    """Yield which stored numbers do not follow from the outcomes, one sentence per cell and kind.

    Each item of a task has an answer in each cell, unless the cell says how many have none; the columns of an answer
    agree; the metrics of a cell, where they are known to be means, are those of its answers; and sparsities and sizes
    follow from the counts that are stored with them.
    """
    imported = bool(run.study.origins)
    tasks = {each.task: each for each in run.tasks}
    questions = {
        name: read_checked_items(each, run.read(each.path), is_imported=imported) for name, each in tasks.items()
    }
    unasked = _Unanswered(run, questions)
    for cell in run.cells:
        table = pq.read_table(io.BytesIO(run.read(cell.path)))
        own = questions.get(cell.task)
        primary = tasks[cell.task].judged[0] if cell.task in tasks else ""
        problems = list(unasked.problems(cell, table))
        if cell.is_judged:
            problems += row_problems(table, own, primary)
        problems += _wrong_metrics(table, cell, own, primary)
        yield from (f"{cell.recipe} ({cell.model}) on {cell.task}: {problem}" for problem in problems)
    for variant in run.variants:
        yield from (f"{variant.recipe} ({variant.model}): {problem}" for problem in _wrong_sizes(run, variant))


class _Unanswered:
    """Finds items without an answer that no cell accounts for."""

    def __init__(self, run: Run, questions: Mapping[str, CheckedItems]) -> None:
        self._questions = questions
        self._is_imported = bool(run.study.origins)
        self._of_baselines = {
            (cell.model, cell.task): (cell, {*run.item_ids(cell)}) for cell in run.cells if cell.recipe == BASELINE
        }

    def problems(self, cell: StoredCell, table: Any) -> Iterator[str]:  # noqa: ANN401 - of arrow
        if len(table) != cell.rows:
            yield f"{cell.rows} answers are stated, and {len(table)} are stored"
        if cell.task not in self._questions or not self._is_complete(cell):
            return
        items = self._questions[cell.task].places.keys()
        missing = items - {*table["item_id"].to_pylist()}
        stated = sum(cell.dropped.values())
        baseline, asked = self._of_baselines.get((cell.model, cell.task), (None, items))
        # Items that no model can be scored on count as dropped, and are not stored.
        never = 0 if baseline is None else max(0, sum(baseline.dropped.values()) - len(items - asked))
        # With a precision, only what the baseline answered is asked, even if asking did not stop early.
        is_of_answered = cell.recipe != BASELINE and len(missing & asked) == stated
        if len(missing) > stated - min(never, stated) and not is_of_answered:
            yield f"{counted(len(missing), 'item')} without an answer, and {stated} are stated"

    def _is_complete(self, cell: StoredCell) -> bool:
        """Whether the cell states how many items have no answer."""
        if self._is_imported:
            return cell.recipe == BASELINE
        return cell.precision is None and "dropped" in cell.facts


def _wrong_metrics(table: Any, cell: StoredCell, questions: CheckedItems | None, primary: str) -> Iterator[str]:  # noqa: ANN401
    columns = {
        name.removeprefix(METRIC): numbers(table[name]) for name in table.column_names if name.startswith(METRIC)
    }
    found = {}
    if not cell.is_judged:
        found = _measured(table, cell, columns)
    elif questions is not None and questions.is_built_in:
        found = _means(table, questions, columns, primary)
    else:
        # Others, such as F1, are not means of their items.
        found = {
            name: float(values.mean())
            for name, values in columns.items()
            if name in (primary, *SHARES) and len(values) and np.isin(values, (0.0, 1.0)).all()
        }
    for name, value in found.items():
        stated = cell.metrics.get(name)
        if stated is not None and not math.isclose(value, stated, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            yield f"{name} is stated as {stated:.4f}, and its answers give {value:.4f}"


def _means(table: Any, questions: CheckedItems, columns: Mapping[str, Any], primary: str) -> dict[str, float]:  # noqa: ANN401
    """Return the means of a built-in probe over items, relations and, of its main metric, templates."""
    fields = [questions.fields[questions.places[item]] for item in table["item_id"].to_pylist()]
    measured = [
        (about.get("relation", ""), {name: float(values[row]) for name, values in columns.items() if values[row] >= 0})
        for row, about in enumerate(fields)
    ]
    templates: dict[str, list[bool]] = {}
    for about, right in zip(fields, table["correct"].to_pylist(), strict=True):
        templates.setdefault(f"{primary}_template_{about.get('template')}", []).append(right)
    return relation_means(measured) | {name: sum(right) / len(right) for name, right in templates.items()}


def _measured(table: Any, cell: StoredCell, columns: Mapping[str, Any]) -> dict[str, float]:  # noqa: ANN401
    """Return the weighted means, the quantiles and the perplexities of a task without right answers."""
    found = {}
    for metric in metrics_of(cell.task, cell.metrics):
        if metric.weight and {metric.name, metric.weight} <= columns.keys() and columns[metric.weight].sum() > 0:
            found[metric.name] = float(np.average(columns[metric.name], weights=columns[metric.weight]))
        if metric.quantile is not None and TOKEN_VALUES in table.column_names:
            values = np.asarray(pc.list_flatten(table[TOKEN_VALUES]), dtype=np.float64)
            found[metric.name] = float(np.quantile(values, metric.quantile, method="inverted_cdf"))
    total = np.asarray(pc.list_flatten(table["loglikelihoods"]), dtype=np.float64).sum()
    for unit in _UNITS:
        count = columns[f"{unit}s"].sum() if f"{unit}s" in columns else 0
        if count > 0 and -total / count < math.log(np.finfo(float).max):
            found[f"{unit}_perplexity"] = math.exp(-total / count)
    return found


def _wrong_sizes(run: Run, variant: StoredVariant) -> Iterator[str]:
    reached = variant.reached
    if reached is None:
        return
    stored = read_json(run.read(layout.variant_path(variant.id)))["reached"]
    if stored.get("sparsity", reached.sparsity) != reached.sparsity:
        yield "its sparsity is not that of its counts of weights"
    counts: Sequence[tuple[int, int]] = [(role.zeros, role.weights) for role in reached.roles.values()]
    zeros, weights = (sum(each) for each in zip(*counts, strict=True)) if counts else (0, 0)
    counts = [*counts, (reached.selected_zeros, reached.selected_weights), (reached.selected_zeros, zeros)]
    if any(not 0 <= few <= many for few, many in [*counts, (reached.selected_weights, weights)]):
        yield "its counts of zeros and weights contradict one another"
    sizes = (reached.dense_bytes, reached.bitmask_bytes, reached.quantized_bytes, reached.smallest_bytes)
    if any(size is not None and size < 0 for size in sizes) or reached.bitmask_bytes > reached.dense_bytes:
        yield "its sizes contradict one another"
