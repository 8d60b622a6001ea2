"""The relations of a probe as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from forgetmeter.probes.by_relation import RelationCounts

_NOTHING = "—"


def relation_rows(relations: Sequence[RelationCounts]) -> tuple[list[str], list[list[str]]]:
    """Return the headings, and a row of texts a relation; the last row holds the totals.

    A count that is added to ``RelationCounts.dropped`` has its column without more ado.
    """
    filters = list(dict.fromkeys(reason for each in relations for reason in each.dropped))
    heading = ["relation", "label", "asked by", "read", *filters, "items"]
    rows = [
        [
            each.relation,
            each.label,
            each.prompt,
            *_counts([each.read, *(each.dropped.get(reason, 0) for reason in filters), each.items]),
        ]
        for each in relations
    ]
    dropped = [sum(each.dropped.get(reason, 0) for each in relations) for reason in filters]
    totals = [sum(each.read for each in relations), *dropped, sum(each.items for each in relations)]
    rows.append([_relations(len(relations)), "", "", *_counts(totals)])
    if not any(each.label for each in relations):
        heading, rows = _without_label(heading), [_without_label(row) for row in rows]
    return heading, rows


def relations_table(relations: Sequence[RelationCounts]) -> Table:
    """Return the same as a table for the terminal: numbers right-aligned, totals below a rule."""
    from rich import box
    from rich.table import Table

    heading, rows = relation_rows(relations)
    first_number = heading.index("read")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, show_footer=True, footer_style="bold")
    for place, (name, total) in enumerate(zip(heading, rows[-1], strict=True)):
        is_number = place >= first_number
        table.add_column(
            # A heading of several words is as narrow as its longest one, so that there is room for the prompts.
            name.replace(" ", "\n") if is_number else name,
            footer=total,
            justify="right" if is_number else "left",
            no_wrap=is_number or place == 0,
            overflow="fold",
        )
    for row in rows[:-1]:
        table.add_row(*row)
    return table


def _counts(numbers: Iterable[int]) -> list[str]:
    return [f"{number:,}" if number else _NOTHING for number in numbers]


def _relations(number: int) -> str:
    return f"{number} relation{'' if number == 1 else 's'}"


def _without_label(row: list[str]) -> list[str]:
    return [row[0], *row[2:]]
