"""One task's items with the answers of the baseline and of one variant, read from a run."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from forgetmeter.basics.visible_text import visible
from forgetmeter.runs.content.statement import statement_of

_ABOUT = ("item_id", "contexts", "continuations", "fields", "before", "after", "choices", "among")
_ANSWER = ("item_id", "correct", "prediction", "gold", "rank", "margin")


@dataclass(frozen=True)
class LedgerAnswer:
    """One variant's answer to an item."""

    correct: bool
    prediction: str
    rank: int | None
    margin: float | None


@dataclass(frozen=True)
class LedgerItem:
    """One item with two answers.

    Attributes:
        statement: The question; a blank is written as ``___``.
        subject: The fact's subject; ``None`` if the task does not give it.
        relation: The fact's relation, likewise.
        relation_label: The relation's label, likewise.
        fact: Relation, and subject or the id of the fact, if the task asks for facts in several phrasings.
        popularity: Popularity of the subject; ``None`` if the task does not give it.
        choices: Number of competing answers; ``None`` for the whole vocabulary, 0 if unknown because the task's items
            are not stored.
        gold: The right answer.
        before: The baseline's answer.
        after: The variant's answer.
    """

    item_id: str
    statement: str
    subject: str | None
    relation: str | None
    relation_label: str | None
    fact: tuple[str, str] | None
    popularity: float | None
    choices: int | None
    gold: str
    before: LedgerAnswer
    after: LedgerAnswer


def ledger_items(items: bytes | None, baseline: bytes, variant: bytes) -> list[LedgerItem]:
    """Return the items that both variants answered, in the baseline's order.

    Args:
        items: Content of the task's items file; ``None`` if it is not stored.
        baseline: Content of the baseline's outcomes file.
        variant: Content of the variant's outcomes file.
    """
    about = {} if items is None else _about(items)
    after = {row["item_id"]: row for row in _rows(variant)}
    return [
        _item(row, after[row["item_id"]], about.get(row["item_id"], {}))
        for row in _rows(baseline)
        if row["item_id"] in after
    ]


def _rows(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content), columns=list(_ANSWER)).to_pylist()
    return rows


def _about(content: bytes) -> dict[str, dict[str, Any]]:
    stored = pq.ParquetFile(io.BytesIO(content), read_dictionary=["choices.list.element"])
    table = stored.read(columns=[name for name in _ABOUT if name in stored.schema_arrow.names])
    # The items of a relation share its choices; counting avoids materializing them for each item.
    counts = pc.list_value_length(table["choices"])
    table = table.set_column(table.schema.get_field_index("choices"), "choices", counts)
    return {row["item_id"]: row for row in table.to_pylist()}


def _item(before: Mapping[str, Any], after: Mapping[str, Any], about: Mapping[str, Any]) -> LedgerItem:
    fields: dict[str, str] = dict(about.get("fields") or [])
    relation, subject = fields.get("relation"), fields.get("subject")
    has_phrasings = "template" in fields and relation is not None and subject is not None
    return LedgerItem(
        item_id=before["item_id"],
        statement=visible(statement_of(about)),
        subject=None if subject is None else visible(subject),
        relation=relation,
        relation_label=visible(label) if (label := fields.get("relation_label")) else None,
        # Entities may share a label.
        fact=(str(relation), fields.get("fact") or str(subject)) if has_phrasings else None,
        popularity=_number(fields.get("popularity")),
        choices=None if about.get("among") == "vocabulary" else about.get("choices") or 0,
        gold=visible(before["gold"] or ""),
        before=_answer(before),
        after=_answer(after),
    )


def _answer(row: Mapping[str, Any]) -> LedgerAnswer:
    return LedgerAnswer(bool(row["correct"]), visible(row["prediction"] or ""), row["rank"], row["margin"])


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
