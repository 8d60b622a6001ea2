"""Items that were left out, truncated, or answered with NaN or infinite logits, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forgetmeter.basics.plural import listed
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.report.words.numbers import count
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.measured import MeasuredSummary
from forgetmeter.specs.recipe import BASELINE

_MOST_NAMED = 3


def shown_cell(cells: Sequence[CellSummary | MeasuredSummary]) -> CellSummary | MeasuredSummary:
    """Return the cell that the title of a table describes, given all of one model and task: the baseline's, if any."""
    return next((cell for cell in cells if cell.recipe == BASELINE), cells[0])


def left_out_facts(
    cells: Sequence[CellSummary | MeasuredSummary], filters: Mapping[str, int] | None = None
) -> list[str]:
    """Return phrases on how many items were left out, why and which, and how many were truncated.

    Args:
        cells: Cells of one model and task; see ``shown_cell``.
        filters: Number of items that the task itself left out, by reason.
    """
    one = shown_cell(cells) if cells else None
    dropped = {**(filters or {}), **(one.dropped if one else {})}
    facts = []
    if dropped:
        names = one.named if one else {}
        numbers = [f"{count(number)} × " if len(dropped) > 1 else "" for number in dropped.values()]
        reasons = "; ".join(
            f"{number}{visible_line(reason)}{_named(names.get(reason))}"
            for number, reason in zip(numbers, dropped, strict=True)
        )
        facts.append(f"{count(sum(dropped.values()))} left out ({reasons})")
    if one and one.cut:
        facts.append(f"{count(one.cut)} truncated to the model's maximum length")
    return facts


def left_out_remarks(cells: Sequence[CellSummary | MeasuredSummary]) -> list[str]:
    """Return one sentence for variants of a task whose left-out items differ from those in ``left_out_facts``."""
    by_facts: dict[tuple[str, str], dict[str, list[str]]] = {}
    for cell in cells:
        if isinstance(cell, CellSummary) and cell.precision is not None:
            # Not all items were asked.
            continue
        facts = "; ".join(left_out_facts([cell])) or "no item left out"
        by_facts.setdefault((cell.model, cell.task), {}).setdefault(facts, []).append(cell.recipe)
    found = []
    for (_, task), others in by_facts.items():
        said = next((facts for facts, recipes in others.items() if BASELINE in recipes), next(iter(others)))
        for facts, recipes in others.items():
            if facts != said:
                found.append(f"{task}, {listed([*map(visible_line, recipes)], _MOST_NAMED)}: {facts}.")
    return found


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
