"""Checks that the columns of an answer agree with one another and with its question."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forgetmeter.basics.plural import counted
from forgetmeter.probes.cloze import ACCURACY, MRR, Ranked
from forgetmeter.probes.lm_eval.judging import measures
from forgetmeter.probes.registry import TASKS
from forgetmeter.records.item import RequestScore
from forgetmeter.runs.stored import StoredItems
from forgetmeter.runs.tables.outcomes_table import METRIC

_ROUNDING = 2e-6
"""Relative error of a log-likelihood, which is stored as a float32, and of sums and differences of some."""
_LM_EVALS = "lm-eval"
_PERPLEXITY = "perplexity"


@dataclass(frozen=True, eq=False)
class CheckedItems:
    """A task's items, as far as the checks need them, in order.

    Attributes:
        places: Place of each item, by its id.
        gold: Places of the right choices.
        fields: The items' further facts.
        are_clozes: Whether they are clozes, whose choices are ranked by their log-likelihoods alone.
        is_built_in: Whether a built-in probe judges them.
        is_ranked: Whether ranks are known to follow from log-likelihoods; a plug-in may rank as it likes.
        is_given: Whether the texts of answers were given by a table.
        texts: What a model is given of each item as a continuation; only of a task that measures texts.
    """

    places: Mapping[str, int]
    gold: Sequence[Sequence[int]]
    fields: Sequence[Mapping[str, str]]
    are_clozes: bool
    is_built_in: bool
    is_ranked: bool
    is_given: bool
    texts: Sequence[str]
    _choices: Any

    def choices(self, place: int) -> list[str]:
        """Return the choices of an item."""
        found: list[str] = self._choices[place].values.to_pylist()
        return found


def read_checked_items(stored: StoredItems, content: bytes, *, is_imported: bool) -> CheckedItems:
    """Return the items in an items file.

    Args:
        stored: The task.
        content: The file.
        is_imported: Whether the answers were imported.
    """
    # The items of a relation share its choices; a dictionary materializes each choice once.
    file = pq.ParquetFile(io.BytesIO(content), read_dictionary=["choices.list.element"])
    texts = ["continuations"] if stored.task.partition(":")[0] == _PERPLEXITY else []
    # Leaves out a column that is not there, as in files of earlier versions.
    table = file.read(columns=["item_id", "gold", "choices", "fields", "among", *texts]).combine_chunks()
    is_lm_evals = str(stored.facts.get("source")).startswith(_LM_EVALS)
    is_built_in = stored.task.partition(":")[0] in TASKS.built_in and not is_imported
    return CheckedItems(
        places={item: place for place, item in enumerate(table["item_id"].to_pylist())},
        gold=table["gold"].to_pylist(),
        fields=[dict(each or ()) for each in table["fields"].to_pylist()],
        are_clozes="among" in table.column_names and not table["among"].null_count,
        is_built_in=is_built_in,
        is_ranked=is_built_in or is_imported or is_lm_evals,
        is_given=is_imported and not is_lm_evals,
        texts=["".join(each) for each in table["continuations"].to_pylist()] if texts else (),
        _choices=table["choices"].chunk(0) if len(table) else (),
    )


def row_problems(table: Any, items: CheckedItems | None, primary: str) -> Iterator[str]:  # noqa: ANN401 - of arrow
    """Yield which columns of a table of judged outcomes contradict one another, one sentence per kind.

    Args:
        table: The outcomes, each right or wrong.
        items: The task's items; ``None`` if they are not stored.
        primary: The task's main metric.
    """
    right = table["correct"].to_numpy()
    rank, margin = numbers(table["rank"]), numbers(table["margin"])
    found = {
        "is right, and does not rank first": right & (rank > 1),
        "is wrong, and ranks first": ~right & (rank == 1),
        "is right, and has a negative margin": right & (margin < 0),
        "is wrong, and has a positive margin": ~right & (margin > 0),
    }
    if f"{METRIC}{primary}" in table.column_names:
        judged = numbers(table[f"{METRIC}{primary}"])
        # An answer that is not a number is wrong, whatever a plug-in's metric says, and has no prediction.
        has_answer = table["prediction"].to_numpy(zero_copy_only=False) != ""
        # Of other tasks, a metric such as F1 may lie between wrong and right.
        is_other = judged != right if items is not None and items.is_built_in else judged == ~right
        found[f"is not what its {primary} says"] = is_other & (right | has_answer)
    if items is not None and items.is_built_in:
        found |= _wrong_metrics(table, right, rank)
    if items is not None and items.is_ranked:
        found["has a rank, margin or text that does not follow from its log-likelihoods"] = _unfounded(table, items)
    yield from marked(table, found)


def marked(table: Any, found: Mapping[str, NDArray[np.bool_]]) -> Iterator[str]:  # noqa: ANN401 - of arrow
    """Yield what is wrong with some rows, with the first of them, given which rows these are by a phrase."""
    for what, bad in found.items():
        if bad.any():
            first = table["item_id"][int(np.argmax(bad))].as_py()
            others = int(bad.sum()) - 1
            yield f"{first} {what}" + (f" (and {counted(others, 'other')})" if others else "")


def metric_columns(table: Any) -> dict[str, NDArray[np.float64]]:  # noqa: ANN401
    """Return the columns of metrics of a table of outcomes, by the metric's name."""
    names = (name for name in table.column_names if name.startswith(METRIC))
    return {name.removeprefix(METRIC): numbers(table[name]) for name in names}


def numbers(column: Any) -> NDArray[np.float64]:  # noqa: ANN401 - of arrow
    """Return a column as numbers; missing ones are NaN."""
    return np.asarray(column.to_pandas().to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _wrong_metrics(table: Any, right: NDArray[np.bool_], rank: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:  # noqa: ANN401
    """Return which answers have metrics that do not follow from their ranks, by a phrase."""
    ranked = [
        Ranked(bool(is_right), "", None if np.isnan(place) else int(place), None)
        for is_right, place in zip(right, rank, strict=True)
    ]
    wanted = [{**each.precision(), MRR: each.reciprocal, ACCURACY: float(each.correct)} for each in ranked]
    names = [name for name in (wanted[0] if wanted else ()) if f"{METRIC}{name}" in table.column_names]
    return {
        f"has another {name} than its rank": ~np.isnan(rank)
        & ~np.isclose(numbers(table[f"{METRIC}{name}"]), [each[name] for each in wanted])
        for name in names
    }


def _unfounded(table: Any, items: CheckedItems) -> NDArray[np.bool_]:  # noqa: ANN401
    """Return which answers have a rank, margin, prediction or right answer that contradicts their log-likelihoods."""
    columns = [table[name].to_pylist() for name in ("item_id", "rank", "margin", "prediction", "gold")]
    values = table["loglikelihoods"].combine_chunks()
    bad = np.zeros(len(table), dtype=bool)
    for row, (item, rank, margin, prediction, gold) in enumerate(zip(*columns, strict=True)):
        place = items.places.get(item)
        if place is None or rank is None or not items.gold[place]:
            continue
        given = np.asarray(values[row].values, dtype=np.float64)
        choices = items.choices(place)
        # A vocabulary is not stored; other answers may have no log-likelihoods.
        if len(given) != len(choices) or len(choices) < 2:
            continue
        right = items.gold[place]
        texts = None if items.is_given else (prediction, gold)
        bad[row] = not any(
            _fits(measure, right, choices, rank, margin, texts)
            for measure in _measures(given, choices, is_raw=items.are_clozes or items.is_given)
        )
    return bad


def _measures(given: NDArray[np.float64], choices: Sequence[str], *, is_raw: bool) -> Iterator[NDArray[np.float64]]:
    """Yield what the choices may have been ranked by."""
    yield given
    if not is_raw:
        found = measures(choices, [RequestScore(float(value), is_greedy=False) for value in given])
        yield from (np.asarray(values) for name, values in found.items() if name != "acc")


def _fits(
    values: NDArray[np.float64],
    right: Sequence[int],
    choices: Sequence[str],
    rank: int,
    margin: float | None,
    texts: tuple[str, str] | None,
) -> bool:
    """Return whether a rank and margin, and the texts of the prediction and right answer, follow from ``values``."""
    is_right = np.zeros(len(values), dtype=bool)
    is_right[list(right)] = True
    mine, others = values[is_right].max(), values[~is_right]
    error = _ROUNDING * (1 + np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if not 1 + (others > mine + error).sum() <= rank <= 1 + (others >= mine - error).sum():
        return False
    wanted = mine - others.max() if len(others) else np.nan
    if (margin is not None) != bool(np.isfinite(wanted)) or (margin is not None and abs(margin - wanted) > 2 * error):
        return False
    if texts is None:
        return True
    prediction, gold = texts
    best = {choices[place] for place in np.flatnonzero(values >= values.max() - error).tolist()}
    return prediction in best and gold == " / ".join(choices[place] for place in right)
