"""Checks that what a run stores about its answers follows from the answers themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError
from forgetmeter.probes.by_relation import relation_means
from forgetmeter.probes.lm_eval.judging import SHARES
from forgetmeter.probes.on_text.divergence import DIVERGENCE, LARGEST
from forgetmeter.probes.registry import metrics_of
from forgetmeter.records.noise import Noise
from forgetmeter.results.checks.measured_checks import measured_problems
from forgetmeter.results.checks.row_checks import (
    CheckedItems,
    metric_columns,
    numbers,
    read_checked_items,
    row_problems,
)
from forgetmeter.results.checks.size_checks import size_problems
from forgetmeter.results.checks.stopped_checks import stopped_problems
from forgetmeter.results.checks.table_checks import NotCheckedError, check_items, or_error, read_outcomes
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import StoredCell, StoredItems
from forgetmeter.runs.tables.metadata import UNREADABLE
from forgetmeter.runs.tables.outcomes_table import KEYS, TOKEN_VALUES
from forgetmeter.specs.recipe import BASELINE, canonical

_TOLERANCE = 1e-5
_UNITS = ("word", "byte", "token")


def number_problems(run: Run) -> Iterator[str]:
    """Yield which stored numbers do not follow from the outcomes, one sentence per cell and kind.

    Each item of a task has an answer in each cell, unless the cell says how many have none; the columns of an answer
    agree, also with the baseline's; the metrics of a cell, where they are known to be means, are those of its answers;
    the noise floor is possible with the baseline's margins; and sizes follow from the counts that are stored with them.
    """
    questions: dict[str, CheckedItems] = {}
    for each in run.tasks:
        yield from or_error(each.path, partial(_read_items, run, each, questions))
    checks = _CellChecks(run, questions)
    for cell in run.cells:
        problems = or_error(cell.path, partial(checks.problems, cell))
        yield from (f"{cell.recipe} ({cell.model}) on {cell.task}: {problem}" for problem in problems)
    yield from size_problems(run)


def _read_items(run: Run, stored: StoredItems, into: dict[str, CheckedItems]) -> Iterator[str]:
    content = run.read(stored.path)
    try:
        check_items(content)
    except NotCheckedError as error:
        yield f"{stored.path}: {error}"
    else:
        into[stored.task] = read_checked_items(stored, content, is_imported=bool(run.study.origins))


class _CellChecks:
    """Checks each cell, beside its task's items and its baseline's answers."""

    def __init__(self, run: Run, questions: Mapping[str, CheckedItems]) -> None:
        self._run, self._questions = run, questions
        self._primary = {each.task: each.judged[0] for each in run.tasks}
        self._baselines = {(cell.model, cell.task): cell for cell in run.cells if cell.recipe == BASELINE}
        self._unasked = _Unanswered(run, questions)

    def problems(self, cell: StoredCell) -> Iterator[str]:
        run, own, primary = self._run, self._questions.get(cell.task), self._primary.get(cell.task, "")
        table = _outcomes(run, cell)
        undecided = table["correct"].null_count if cell.is_judged else 0
        if undecided:
            yield f"{counted(undecided, 'answer')} that {'is' if undecided == 1 else 'are'} neither right nor wrong"
            return
        yield from self._unasked.problems(cell, table)
        yield from _wrong_labels(table, cell)
        yield from _wrong_counts(table, cell, own)
        if cell.is_judged:
            yield from row_problems(table, own, primary)
        else:
            before = self._before(cell, is_judged=False)
            yield from measured_problems(table, own, before, str(run.study.settings.get("dtype")))
        yield from self._stopped(cell, table)
        yield from _wrong_metrics(table, cell, own, primary)
        noise = run.noise.get((cell.model, cell.task)) if cell.recipe == BASELINE else None
        if noise is not None and _is_impossible(noise, table, cell, own):
            yield "its noise floor contradicts its answers and their margins"

    def _before(self, cell: StoredCell, *, is_judged: bool) -> Any | None:  # noqa: ANN401 - of arrow
        """Return the baseline's answers; ``None`` if there are none, or if a problem of theirs is found by itself."""
        baseline = self._baselines.get((cell.model, cell.task))
        if baseline is not None and baseline.is_judged == is_judged:
            with suppress(NotCheckedError, *UNREADABLE):
                return _outcomes(self._run, baseline)
        return None

    def _stopped(self, cell: StoredCell, table: Any) -> Iterator[str]:  # noqa: ANN401
        seed, own = self._run.study.settings.get("seed"), self._questions.get(cell.task)
        if cell.precision is None:
            if cell.margin is not None and (cell.recipe == BASELINE or not cell.is_judged or cell.margin <= 0):
                yield f"it states a margin of {cell.margin:g}, which it never has"
            return
        if cell.precision <= 0:
            yield f"it states a precision of {cell.precision:g}"
            return
        if cell.recipe == BASELINE or not cell.is_judged or self._run.study.origins:
            yield "it states that asking stopped early, which it never does there"
            return
        before = self._before(cell, is_judged=True)
        if before is not None and own is not None and isinstance(seed, int):
            items = [(item, own.fields[place].get("relation")) for item, place in own.places.items()]
            yield from stopped_problems(cell, _correct(table), _correct(before), items, seed=seed)


def _outcomes(run: Run, cell: StoredCell) -> Any:  # noqa: ANN401 - of arrow
    return read_outcomes(run.read(cell.path))


def _correct(table: Any) -> dict[str, bool]:  # noqa: ANN401
    pairs = zip(table["item_id"].to_pylist(), table["correct"].to_pylist(), strict=True)
    return {item: correct for item, correct in pairs if correct is not None}


def _wrong_labels(table: Any, cell: StoredCell) -> Iterator[str]:  # noqa: ANN401
    """Yield which columns say that answers are those of another cell; earlier versions did not store them."""
    for name in KEYS:
        found = set(table[name].to_pylist()) if name in table.column_names else set()
        for other in sorted(str(value) for value in found if _canonical(name, value) != getattr(cell, name)):
            yield f"it has answers that are labelled as of the {name} '{other}'"


def _canonical(name: str, value: str | None) -> str | None:
    return value if name != "recipe" or value is None else canonical(value)


def _wrong_counts(table: Any, cell: StoredCell, questions: CheckedItems | None) -> Iterator[str]:  # noqa: ANN401
    """Yield which numbers of items that a cell states are impossible."""
    if not 0 <= cell.cut <= len(table) + sum(cell.dropped.values()):
        yield f"{counted(cell.cut, 'shortened context')} of {counted(len(table), 'answer')}"
    broken = table["rank"].null_count
    if cell.is_judged and questions is not None and questions.is_built_in:
        if cell.not_numbers != broken:
            yield f"{cell.not_numbers} answers that are not numbers are stated, and {broken} have no rank"
    elif not 0 <= cell.not_numbers <= len(table):
        yield f"{cell.not_numbers} of {counted(len(table), 'answer')} are stated not to be numbers"


class _Unanswered:
    """Finds items without an answer that no cell accounts for."""

    def __init__(self, run: Run, questions: Mapping[str, CheckedItems]) -> None:
        self._questions = questions
        self._is_imported = bool(run.study.origins)
        self._of_baselines = dict[tuple[str, str], tuple[StoredCell, set[str]]]()
        for cell in run.cells:
            # The problems of a damaged file are found when its own cell is checked.
            with suppress(UserError):
                if cell.recipe == BASELINE:
                    self._of_baselines[cell.model, cell.task] = cell, {*run.item_ids(cell)}

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
        of_stored = stated - min(never, stated)
        is_wrong = len(missing) > of_stored if baseline is None else len(missing) != of_stored
        if is_wrong and not is_of_answered:
            yield f"{counted(len(missing), 'item')} without an answer, and {stated} are stated"

    def _is_complete(self, cell: StoredCell) -> bool:
        """Whether the cell states how many items have no answer."""
        if self._is_imported:
            return cell.recipe == BASELINE
        return cell.precision is None and "dropped" in cell.facts


def _wrong_metrics(table: Any, cell: StoredCell, questions: CheckedItems | None, primary: str) -> Iterator[str]:  # noqa: ANN401
    columns, found = metric_columns(table), {}
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
    known = {*found, *columns, *(cell.facts.get("metrics") or {})}
    if questions is not None and not cell.is_judged and questions.is_built_in:
        known = {metrics_of(cell.task, ())[0].name}
    if primary and known and questions is not None and questions.is_ranked and primary not in known:
        yield f"its main metric is '{primary}', which it does not have"
    if questions is not None and questions.is_built_in and len(table):
        yield from (f"it states {name}, which its answers do not give" for name in sorted({*cell.metrics} - {*found}))
    for name, value in found.items():
        stated = cell.metrics.get(name)
        if stated is None and name in (cell.facts.get("metrics") or {}) and math.isfinite(value):
            yield f"{name} is stated as not a number, and its answers give {value:.4f}"
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
    has_tokens = TOKEN_VALUES in table.column_names
    values = np.asarray(pc.list_flatten(table[TOKEN_VALUES]) if has_tokens else (), dtype=np.float64)
    for metric in metrics_of(cell.task, cell.metrics):
        if metric.weight and {metric.name, metric.weight} <= columns.keys() and columns[metric.weight].sum() > 0:
            found[metric.name] = float(np.average(columns[metric.name], weights=columns[metric.weight]))
        if metric.quantile is not None and len(values):
            found[metric.name] = float(np.quantile(values, metric.quantile, method="inverted_cdf"))
        if metric.name == LARGEST and cell.task.partition(":")[0] == DIVERGENCE and len(values):
            found[metric.name] = float(values.max())
    total = np.asarray(pc.list_flatten(table["loglikelihoods"]), dtype=np.float64).sum()
    for unit in _UNITS:
        count = columns[f"{unit}s"].sum() if f"{unit}s" in columns else 0
        if count > 0 and -total / count < math.log(np.finfo(float).max):
            found[f"{unit}_perplexity"] = math.exp(-total / count)
    return found


def _is_impossible(noise: Noise, table: Any, cell: StoredCell, questions: CheckedItems | None) -> bool:  # noqa: ANN401
    """Whether the differences of a second scoring cannot be those of these answers."""
    flips = noise.forgotten + noise.gained
    if min(noise.items, noise.forgotten, noise.gained, noise.changed, noise.largest_margin_shift) < 0:
        return True
    if not cell.is_judged:
        # Texts that are compared with the baseline's are not read again.
        return noise.items not in (0, len(table)) or max(flips, noise.changed, noise.largest_margin_shift) > 0
    right, margin = table["correct"].to_numpy(zero_copy_only=False), np.abs(numbers(table["margin"]))
    # A flip moves a margin over zero; one that is not known may be as small as any.
    least = [np.sort(np.nan_to_num(margin[right == is_right])) for is_right in (True, False)]
    pairs = list(zip((noise.forgotten, noise.gained), least, strict=True))
    return (
        noise.items != len(table)
        or noise.changed > noise.items
        or (questions is not None and questions.is_built_in and flips > noise.changed)
        or any(few > len(each) for few, each in pairs)
        or any(few and each[few - 1] > noise.largest_margin_shift + _TOLERANCE for few, each in pairs)
    )
