"""Markdown of pages: tables, estimates and sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from claims import Tested

from forgetmeter.basics.plural import joined
from forgetmeter.results.findings.finding import Verdict
from forgetmeter.statistics.paired import Estimate

MARKS: dict[Verdict, str] = {"supported": "✓", "contradicted": "✗", "inconclusive": "?", "not tested": ""}
_WIDTH = 140


@dataclass(frozen=True)
class Page:
    """A page of ``docs/results``.

    Attributes:
        file: Its file name.
        question: The question, for the overview.
        answer: The answer in a sentence.
        verdict: The verdict in a word or two.
        text: Its Markdown.
    """

    file: str
    question: str
    answer: str
    verdict: str
    text: str


def points(estimate: Estimate | None, *, signed: bool = True) -> str:
    """Return a share in points with its interval; a dash if there is none."""
    if estimate is None:
        return "—"
    sign = "+" if signed else ""
    return f"{100 * estimate.value:{sign}.1f} \\[{100 * estimate.low:.1f}, {100 * estimate.high:.1f}\\]"


def number(estimate: Estimate | None, digits: int = 2) -> str:
    """Return a number with its interval; a dash if there is none."""
    if estimate is None:
        return "—"
    return f"{estimate.value:.{digits}f} \\[{estimate.low:.{digits}f}, {estimate.high:.{digits}f}\\]"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Return a table whose first columns are texts and whose others are numbers."""
    aligned = [":---"] * texts + ["---:"] * (len(header) - texts)
    lines = [list(header), aligned, *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def claims_table(rows: Sequence[Sequence[Tested]], what: str = "claim") -> str:
    """Return a table of claims by models, in points of retained."""
    labels = [each.label for each in rows[0]]
    lines = [
        [row[0].sentence, *(f"{points(each.effect)} {MARKS[each.verdict]}".strip() for each in row)] for row in rows
    ]
    return table([what, *labels], lines)


_WORDS: Mapping[Verdict, str] = {
    "supported": "true",
    "contradicted": "false",
    "inconclusive": "unclear",
    "not tested": "not tested",
}


def in_words(row: Sequence[Tested]) -> str:
    """Return in which models a claim holds."""
    by_verdict: dict[Verdict, list[str]] = {}
    for each in row:
        by_verdict.setdefault(each.verdict, []).append(each.label)
    found = [
        f"{words} in {_all(by_verdict[verdict], row)}" for verdict, words in _WORDS.items() if verdict in by_verdict
    ]
    first, *others = found
    return f"{first} ({'; '.join(others)})" if others else first


def paragraph(text: str) -> str:
    """Return a text in lines."""
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def bullets(*texts: str) -> str:
    """Return a list, each item in lines."""
    return "\n".join(
        textwrap.fill(
            " ".join(text.split()),
            _WIDTH,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for text in texts
    )


def stacked(*blocks: str) -> str:
    """Return the blocks of a page; empty ones are left out."""
    return "\n\n".join(block for block in blocks if block)


def _all(labels: Sequence[str], row: Sequence[Tested]) -> str:
    return f"all {len(labels)} models" if len(labels) == len(row) > 1 else named(labels)


def named(labels: Sequence[str]) -> str:
    """Return the names of models in a sentence."""
    return joined([label if label[0].isupper() else f"the {label}" for label in labels])


_VERDICTS = """✓: supported, ✗: contradicted, each with p below 0.05 after Holm's correction over the table, and the
    whole interval on one side of zero; ?: cannot tell. Intervals are 95%, over relations"""
LEGEND = paragraph(f"{_VERDICTS}.")
LEGEND_WITH_ITEMS = paragraph(f"{_VERDICTS} of facts and over items of the other tasks.")
