"""A ledger as CSV, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from forgetmeter.basics.json_text import to_json
from forgetmeter.report.formats.csv_text import csv_text
from forgetmeter.report.formats.show_markdown import code, escaped
from forgetmeter.report.words.numbers import MISSING, count, percent
from forgetmeter.results.ledger import Ledger, LedgerEntry

_KEYS = ("model", "recipe", "task")
_ENTRY = tuple(field.name for field in fields(LedgerEntry))

Chosen = Sequence[tuple[Ledger, Sequence[LedgerEntry]]]
"""Ledgers with their selected entries."""


def ledger_csv(chosen: Chosen) -> str:
    """Return one line per item."""
    return csv_text(
        (*_KEYS, *_ENTRY),
        (
            [*(getattr(ledger, name) for name in _KEYS), *(getattr(entry, name) for name in _ENTRY)]
            for ledger, entries in chosen
            for entry in entries
        ),
    )


def ledger_json(chosen: Chosen) -> str:
    """Return a list of ledgers with their counts and selected entries."""
    document = [_document(ledger, entries) for ledger, entries in chosen]
    return to_json({"ledgers": document}).decode()


def ledger_markdown(chosen: Chosen) -> str:
    """Return one heading and one table per ledger."""
    parts = []
    for ledger, entries in chosen:
        total = ledger.total
        parts.append(f"## {code(ledger.recipe)} on {escaped(ledger.task)} ({escaped(ledger.model)})")
        parts.append(
            f"{count(total.kept)} kept, {count(total.forgotten)} forgotten, {count(total.gained)} gained, "
            f"{count(total.wrong)} wrong before and after; retained {percent(total.retained)}."
        )
        lines = [
            "| question | right answer | before | now | status | fate |",
            "|:---|:---|:---|:---|:---|:---|",
        ]
        lines += [f"| {' | '.join(map(escaped, _cells(entry)))} |" for entry in entries]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _document(ledger: Ledger, entries: Sequence[LedgerEntry]) -> dict[str, Any]:
    return {
        **{name: getattr(ledger, name) for name in _KEYS},
        "total": {**asdict(ledger.total), "retained": ledger.total.retained},
        "fates": dict(ledger.fates),
        "by_relation": [asdict(each) for each in ledger.by_relation],
        "by_popularity": [asdict(each) for each in ledger.by_popularity],
        "by_margin": [asdict(each) for each in ledger.by_margin],
        "items": [{name: getattr(entry, name) for name in _ENTRY} for entry in entries],
    }


def _cells(entry: LedgerEntry) -> Sequence[str]:
    asked = entry.statement or entry.item_id
    return asked, entry.gold, entry.before, entry.after, entry.status, entry.fate or MISSING
