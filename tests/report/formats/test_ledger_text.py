"""Forgotten items as text.

Covers ``report.formats.ledger_rows``.
"""

from __future__ import annotations

from dataclasses import replace

from forgetmeter.report.formats.ledger_rows import ledger_markdown
from forgetmeter.report.formats.ledger_text import ledger_text
from forgetmeter.results.ledger import Ledger, LedgerCount, LedgerEntry, Status

BEGINNING = "Take the paint and the brush and put them on "


def entry(status: Status, gold: str, before: str, after: str, *, statement: str = "Oz is ___.") -> LedgerEntry:
    return LedgerEntry(
        "t/0", status, None, statement, None, None, None, gold, before, after, 1, 2, 0.5, -0.5, None, None, None
    )  # fmt: skip


def shown(*entries: LedgerEntry, status: Status = "forgotten", width: int = 140) -> str:
    total = LedgerCount("all", "all", 1, 2, 3, 4)
    ledger = Ledger("m", "dynamic_int8:overall", "t", entries, total, (), (), (), ())
    return ledger_text(ledger, entries, status=status, total=len(entries), width=width).plain


def test_the_first_lines_are_the_answer() -> None:
    lines = shown(entry("forgotten", "a", "a", "b")).splitlines()
    assert lines[3] == (
        "The original gets 3 of 10 items right: 2 are forgotten and 1 kept (33.3%). 3 gained, 4 wrong before and after."
    )
    assert lines[4].startswith("Whether they are lost or still near is unknown")


def test_items_are_named_as_the_task_declares() -> None:
    none = LedgerCount("all", "all", 0, 0, 0, 7)
    ledger = Ledger("m", "r", "lama/trex", (), none, (), (), (), ())
    text = ledger_text(ledger, (), status="forgotten", total=0, width=80).plain
    assert "gets none of 7 facts right" in text
    assert "No forgotten facts to show." in text


def test_missing_items_are_reported() -> None:
    ledger = Ledger("m", "dynamic_int8:overall", "t", (), LedgerCount("all", "all", 1, 2, 3, 4), (), (), (), (), False)
    text = ledger_text(ledger, (), status="forgotten", total=0, width=140).plain
    assert "is unknown: the task's items are missing or damaged" in text


def test_forgotten_answers_are_ordered_only_if_they_have_margins() -> None:
    known = entry("forgotten", "a", "a", "b")
    assert "Forgotten, most confident first\n" in shown(known)
    assert "Forgotten\n" in shown(replace(known, margin_before=None))


def test_a_redundant_column_is_left_out() -> None:
    assert "right answer (= before)  now   rank" in shown(entry("forgotten", "London", "london", "b"))
    assert "right answer (= now)  before  " in shown(entry("gained", "a", "b", "a"), status="gained")
    assert "right answer  before  now" in shown(entry("wrong", "a", "b", "c"), status="wrong")


def test_answers_with_a_shared_beginning_stay_distinct() -> None:
    text = shown(entry("forgotten", f"{BEGINNING}paper.", f"{BEGINNING}paper.", f"{BEGINNING}glass."))
    assert "…paper." in text
    assert "…glass." in text


def test_a_long_question_keeps_its_end_and_a_sentence_its_beginning() -> None:
    long = "word " * 60
    question = shown(entry("forgotten", "a", "a", "b", statement=f"{long} why?"), width=80)
    assert " why?" in question
    sentence = shown(entry("forgotten", "a", "a", "b", statement=f"Oz is ___ {long}"), width=80)
    assert "Oz is ___" in sentence


def test_an_empty_ledger_is_reported() -> None:
    assert "No gained items to show." in shown(status="gained")
    ledger = Ledger("m", "r", "t", (), LedgerCount("all", "all", 0, 0, 0, 7), (), (), (), ())
    assert "gets none of 7 items right" in ledger_text(ledger, (), status="forgotten", total=0, width=80).plain


def test_markdown_in_an_item_is_shown_as_text() -> None:
    ledger = Ledger("m", "r", "t", (), LedgerCount("all", "all", 0, 1, 0, 0), (), (), (), ())
    text = ledger_markdown([(ledger, [entry("forgotten", "a|b", "<script>", "`c`")])])
    assert r"a\|b" in text
    assert r"\<script\>" in text
