"""A ledger for the terminal: counts, fates, and the answers themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.text import Text

from forgetmeter.probes.registry import counted_things, things
from forgetmeter.report.columns import Column, in_columns
from forgetmeter.report.words.distinct_answers import distinct_answers
from forgetmeter.report.words.numbers import MISSING, count, percent
from forgetmeter.results.ledger import ENOUGH_CHOICES, TOP, Fate, Ledger, LedgerCount, LedgerEntry, Status

_COUNTED = (
    Column("known", "right"),
    Column("kept", "right"),
    Column("forgotten", "right"),
    Column("gained", "right"),
    Column("retained", "right"),
)
_FATES: dict[Fate, str] = {
    "still near": f"still near: the right answer is in the top {TOP}",
    "other phrasing": "other phrasing: not near, but the same fact is answered correctly in another phrasing",
    "lost": "lost",
}
_HEADINGS: dict[Status, str] = {
    "kept": "Kept",
    "forgotten": "Forgotten",
    "gained": "Gained",
    "wrong": "Wrong before and after",
}
_UNKNOWN_ITEMS = "the task's items are missing or damaged (run the study again to store them)"
_MOST_RELATIONS = 12


def ledger_text(ledger: Ledger, shown: Sequence[LedgerEntry], *, status: Status, total: int, width: int) -> Text:
    """Return a ledger as styled text for a rich console.

    Args:
        total: Number of entries with this status, shown or not.
    """
    text = Text()
    text.append(f"{ledger.model}\n", "bold magenta")
    text.append(f"{ledger.recipe}", "bold cyan")
    text.append(f" on {ledger.task}\n\n", "cyan")
    text.append_text(_answer(ledger))
    for name, counts in (
        ("relation", ledger.by_relation),
        ("popularity within the relation", ledger.by_popularity),
        ("margin of the original", ledger.by_margin),
    ):
        if len(counts) > 1:
            text.append("\n")
            text.append_text(_counts(name, counts[:_MOST_RELATIONS], width))
            if len(counts) > _MOST_RELATIONS:
                left_out = len(counts) - _MOST_RELATIONS
                text.append(
                    f"… and {left_out} more relations, none with more forgotten; --format json lists them\n", "dim"
                )
    text.append("\n")
    text.append_text(_entries(shown, task=ledger.task, status=status, total=total, width=width))
    return text


def _answer(ledger: Ledger) -> Text:
    total = ledger.total
    known, asked = total.kept + total.forgotten, counted_things(ledger.task, total.items)
    text = Text()
    if not known:
        text.append(f"The original gets none of {asked} right, so there is nothing to forget.\n")
    else:
        text.append("The original gets ")
        text.append(count(known), "bold")
        text.append(f" of {asked} right: ")
        text.append(f"{count(total.forgotten)} {'is' if total.forgotten == 1 else 'are'} forgotten", "bold red")
        text.append(" and ")
        text.append(f"{count(total.kept)} kept", "bold green")
        text.append(f" ({percent(total.retained)}).")
        text.append(f" {count(total.gained)} gained, {count(total.wrong)} wrong before and after.\n")
    return text.append_text(_fates(ledger))


def _fates(ledger: Ledger) -> Text:
    text = Text()
    lines = [(number, _FATES[fate]) for fate, number in ledger.fates if number]
    unknown = ledger.total.forgotten - sum(number for number, _ in lines)
    few = f"to determine this takes more than {ENOUGH_CHOICES} choices, or a second phrasing"
    why = few if ledger.has_items else _UNKNOWN_ITEMS
    if lines:
        lines += [(unknown, f"unknown: {why}")] if unknown else []
        text.append(f"Of the {count(ledger.total.forgotten)} forgotten:\n")
        widest = max(len(count(number)) for number, _ in lines)
        for number, meaning in lines:
            text.append(f"  {count(number):>{widest}} {meaning}\n")
    elif unknown:
        subject = "it is" if unknown == 1 else "they are"
        text.append(f"Whether {subject} lost or still near is unknown: {why}.\n")
    return text


def _counts(name: str, counts: Sequence[LedgerCount], width: int) -> Text:
    rows = [
        (
            each.group if each.label == each.group else f"{each.group} ({each.label})",
            count(each.kept + each.forgotten),
            count(each.kept),
            count(each.forgotten),
            count(each.gained),
            percent(each.retained),
        )
        for each in counts
    ]
    return in_columns((Column(f"by {name}"), *_COUNTED), rows, width=width)


def _entries(shown: Sequence[LedgerEntry], *, task: str, status: Status, total: int, width: int) -> Text:
    text = Text()
    if not total:
        return text.append(f"No {status} {things(task, 2)} to show.\n")
    more = f" · {count(len(shown))} of {count(total)}; --limit shows more" if total > len(shown) else ""
    # Answers that a model wrote itself have no margins, by which they would be ordered.
    is_ordered = status == "forgotten" and any(entry.margin_before is not None for entry in shown)
    text.append(f"{_HEADINGS[status]}{', most confident first' if is_ordered else ''}{more}\n", "bold")
    has_blanks = any("___" in entry.statement for entry in shown)
    # The end of a long question identifies it best, but the beginning of a sentence with a blank.
    columns = [Column("question", cut="end" if has_blanks else "start")]
    rows = [[entry.statement or entry.item_id] for entry in shown]
    for heading, answers in _answer_columns(shown):
        columns.append(Column(heading))
        rows = [[*row, answer] for row, answer in zip(rows, answers, strict=True)]
    if any(entry.rank_before or entry.rank_after for entry in shown):
        columns.append(Column("rank", "right"))
        rows = [[*row, _ranks(entry)] for row, entry in zip(rows, shown, strict=True)]
    if any(entry.fate for entry in shown):
        columns.append(Column("fate"))
        rows = [[*row, entry.fate or MISSING] for row, entry in zip(rows, shown, strict=True)]
    return text.append_text(in_columns(columns, rows, width=width))


def _answer_columns(shown: Sequence[LedgerEntry]) -> Iterator[tuple[str, list[str]]]:
    """Yield heading and texts of the right answers and of those that differ from them, if any text is known."""
    texts = [distinct_answers((entry.gold, entry.before, entry.after)) for entry in shown]
    if not any(map(any, texts)):
        return
    same_before, same_after = (_is_gold(shown, side) for side in ("before", "after"))
    as_well = {(True, False): " (= before)", (False, True): " (= now)", (True, True): " (= before and now)"}
    headings = ("right answer" + as_well.get((same_before, same_after), ""), "before", "now")
    for place, is_same in enumerate((False, same_before, same_after)):
        if not is_same:
            yield headings[place], [answers[place] for answers in texts]


def _is_gold(shown: Sequence[LedgerEntry], side: Literal["before", "after"]) -> bool:
    return all(getattr(entry, side).casefold() == entry.gold.casefold() for entry in shown)


def _ranks(entry: LedgerEntry) -> str:
    before, after = (MISSING if rank is None else count(rank) for rank in (entry.rank_before, entry.rank_after))
    return f"{before} → {after}"
