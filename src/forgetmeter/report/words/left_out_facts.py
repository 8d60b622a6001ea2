"""Items that were left out, truncated, or answered with NaN or infinite logits, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forgetmeter.report.words.numbers import count
from forgetmeter.results.cell_summary import CellSummary
from forgetmeter.results.measured import MeasuredSummary
from forgetmeter.visible_text import visible_line


def left_out_facts(
    cells: Sequence[CellSummary | MeasuredSummary], filters: Mapping[str, int] | None = None
) -> list[str]:
    """Return phrases on how many items were left out, why and which, and how many were truncated.

    Args:
        cells: Cells of one model and task; items that a model cannot be scored on are the same for its variants.
        filters: Number of items that the task itself left out, by reason.
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
        facts.append(f"{count(one.cut)} truncated to the model's maximum length")
    return facts


def not_numbers_remarks(cells: Sequence[CellSummary | MeasuredSummary]) -> list[str]:
    """Return one sentence per cell with NaN or infinite logits."""
    return [
        f"{cell.task}, {visible_line(cell.recipe)}: {count(cell.not_numbers)} of {count(cell.items)} answers are not "
        f"numbers (NaN or infinite logits){', and count as wrong' if isinstance(cell, CellSummary) else ''}."
        for cell in cells
        if cell.not_numbers
    ]


def _named(items: str | None) -> str:
    return f": {visible_line(items)}" if items else ""
