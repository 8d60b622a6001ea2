"""Accuracy of guessing and of the majority answers, in words."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.report.words.numbers import percent_range
from forgetmeter.results.compared.cell_summary import CellSummary


def guessing_facts(cells: Sequence[CellSummary], *, guessing: str = "chance") -> list[str]:
    """Return phrases on both accuracies, each as a range where cells have different items.

    Args:
        cells: Cells of one task.
        guessing: Name of the accuracy of guessing.
    """
    accuracies = {guessing: [cell.chance for cell in cells], "majority": [cell.majority_accuracy for cell in cells]}
    known = {name: [value for value in values if value is not None] for name, values in accuracies.items()}
    return [f"{name} {percent_range(values)}" for name, values in known.items() if values]
