"""Items that were not asked, not asked whole, or not answered by numbers, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forgetmeter.report.words.numbers import count
from forgetmeter.results.cell_summary import CellSummary
from forgetmeter.results.measured import MeasuredSummary
from forgetmeter.visible_text import visible_line


def left_out_facts(
    cells: Sequence[CellSummary | MeasuredSummary], filters: Mapping[str, int] | None = None
) -> list[str]:
    """Say how many items a model was not asked, why and which, and how many it was not asked whole; a phrase each.

    Args:
        cells: The cells of one model and task: what a model cannot be asked is the same for all its variants.
        filters: How many the task itself left out, by reason.
    """
    one = next((cell for cell in cells if cell.dropped or cell.cut), None)
    dropped = {**(filters or {}), **(one.dropped if one else {})}
    facts = []
    if dropped:
        names = one.named if one else {}
        reasons = ", ".join(
            f"{count(number)} {visible_line(reason)}{_named(names.get(reason))}" for reason, number in dropped.items()
        )
        facts.append(f"{count(sum(dropped.values()))} left out ({reasons})")
    if one and one.cut:
        facts.append(f"{count(one.cut)} cut to the length that the model reads")
    return facts


def not_numbers_remarks(cells: Sequence[CellSummary | MeasuredSummary]) -> list[str]:
    """Say of which cells some answers are not numbers, a sentence each."""
    return [
        f"{cell.task}, {visible_line(cell.recipe)}: {count(cell.not_numbers)} of {count(cell.items)} answers are not "
        "numbers (logits that are NaN or infinite), and count as wrong."
        for cell in cells
        if cell.not_numbers
    ]


def _named(items: str | None) -> str:
    return f": {visible_line(items)}" if items else ""
