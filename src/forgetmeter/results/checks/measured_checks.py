"""Checks that what was measured of a text follows from its tokens, its words and the baseline's answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetmeter.basics.plural import counted
from forgetmeter.probes.on_text.divergence import AGREEMENT, DIVERGENCE, LN_PERPLEXITY_RATIO, TOKENS
from forgetmeter.probes.on_text.perplexity import BITS_PER_BYTE, bits_per_byte, text_counts
from forgetmeter.results.checks.row_checks import CheckedItems, marked, metric_columns, numbers
from forgetmeter.runs.tables.outcomes_table import METRIC, TOKEN_VALUES

_OF_BATCHES = {"float32": 1e-3}
_OF_BATCHES_IN_16_BITS = 0.02
"""Largest difference of a text's mean log-likelihood of a token, in nats, that batches of other shapes may cause."""


def measured_problems(table: Any, items: CheckedItems | None, baseline: Any | None, dtype: str) -> Iterator[str]:  # noqa: ANN401 - of arrow
    """Yield which columns of a table of measured texts contradict one another, one sentence per kind.

    Args:
        table: The outcomes.
        items: The task's items; ``None`` if they are not stored.
        baseline: The baseline's outcomes of the same task; ``None`` if they are not stored.
        dtype: The data type of the computation.
    """
    if judged := len(table) - table["correct"].null_count:
        yield f"{counted(judged, 'text')} that {'is' if judged == 1 else 'are'} right or wrong"
    if items is not None and items.is_built_in:
        columns = metric_columns(table)
        found = {**_of_tokens(table, columns), **_of_words(table, columns, items)}
        if baseline is not None and LN_PERPLEXITY_RATIO in columns:
            found |= _of_baseline(table, columns, baseline, _OF_BATCHES.get(dtype, _OF_BATCHES_IN_16_BITS))
        yield from marked(table, found)


def _of_tokens(table: Any, columns: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.bool_]]:  # noqa: ANN401
    """Return which texts have a mean or number of tokens that is not that of their tokens."""
    if TOKEN_VALUES not in table.column_names or not columns.keys() >= {DIVERGENCE, AGREEMENT, TOKENS}:
        return {}
    values = [np.asarray(each, dtype=np.float64) for each in table[TOKEN_VALUES].to_pylist()]
    agreed = columns[AGREEMENT] * columns[TOKENS]
    return {
        "has another number of tokens than values": columns[TOKENS] != [len(each) for each in values],
        f"has a {DIVERGENCE} that is not the mean of its tokens": ~_alike(
            columns[DIVERGENCE], np.array([each.mean() if len(each) else np.nan for each in values])
        ),
        f"has an {AGREEMENT} that is not a share of its tokens": (agreed < 0)
        | (agreed > columns[TOKENS])
        | (np.abs(agreed - np.round(agreed)) > 1e-6),
    }


def _of_words(
    table: Any,  # noqa: ANN401
    columns: Mapping[str, NDArray[np.float64]],
    items: CheckedItems,
) -> dict[str, NDArray[np.bool_]]:
    """Return which texts have numbers of words or bytes, or of bits per byte, that are not those of the text."""
    if not columns.keys() >= {BITS_PER_BYTE, "words", "bytes"}:
        return {}
    counts = [text_counts(items.texts[items.places[item]]) for item in table["item_id"].to_pylist()]
    wrong = {
        f"has another number of {unit} than its text": columns[unit] != [each[unit] for each in counts]
        for unit in ("words", "bytes")
    }
    bits = bits_per_byte(1.0, 1.0) * _totals(table) / columns["bytes"]
    return {
        **wrong,
        f"has {BITS_PER_BYTE} that do not follow from its log-likelihood": ~_alike(columns[BITS_PER_BYTE], bits),
    }


def _of_baseline(
    table: Any,  # noqa: ANN401
    columns: Mapping[str, NDArray[np.float64]],
    baseline: Any,  # noqa: ANN401
    tolerance: float,
) -> dict[str, NDArray[np.bool_]]:
    """Return which texts have a perplexity that is not what the baseline's and their ratio give."""
    places = {item: place for place, item in enumerate(baseline["item_id"].to_pylist())}
    order = np.array([places.get(item, -1) for item in table["item_id"].to_pylist()], dtype=np.int64)
    before, tokens = _totals(baseline)[order], columns[TOKENS]
    difference = np.abs(columns[LN_PERPLEXITY_RATIO] - (before - _totals(table)) / tokens)
    is_known = (order >= 0) & np.isfinite(difference)
    return {
        "has another number of tokens than of the baseline": is_known
        & (tokens != numbers(baseline[f"{METRIC}{TOKENS}"])[order]),
        f"has an {LN_PERPLEXITY_RATIO} that contradicts the baseline's log-likelihood": is_known
        & (difference > tolerance),
    }


def _totals(table: Any) -> NDArray[np.float64]:  # noqa: ANN401
    """Return the log-likelihood of each text."""
    return np.array([sum(each) for each in table["loglikelihoods"].to_pylist()], dtype=np.float64)


def _alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isclose(one, other, rtol=1e-5, atol=1e-7, equal_nan=True)
    return found
