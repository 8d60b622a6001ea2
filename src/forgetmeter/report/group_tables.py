"""Tables of averages over the tasks of a group, such as ``mmlu``."""

from __future__ import annotations

from forgetmeter.basics.plural import counted
from forgetmeter.report.table import Table, TableRow
from forgetmeter.report.words.numbers import MISSING, count, percent, percent_interval, points_interval
from forgetmeter.results.compared.group_average import GroupAverage
from forgetmeter.results.summary import Summary
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import value

_COLUMNS = ("accuracy", "drop [95%]", "retained", "gained")


def group_tables(model: str, summary: Summary) -> list[Table]:
    """Return one table per group of tasks with an average, in the study's order."""
    mine = [each for each in summary.groups if each.model == model]
    return [
        _table([each for each in mine if each.group == group]) for group in dict.fromkeys(each.group for each in mine)
    ]


def _table(averages: list[GroupAverage]) -> Table:
    first = averages[0]
    weights = "weighted by their number of items" if first.is_by_size else "weighted equally"
    facts = (f"average {first.metric} of {counted(first.tasks, 'task')}, {weights}", counted(first.items, "item"))
    return Table(first.model, first.group, facts, _COLUMNS, tuple(map(_row, averages)))


def _row(average: GroupAverage) -> TableRow:
    has_interval = average.recipe == BASELINE or average.drop is None
    return TableRow(
        average.recipe,
        (
            percent_interval(average.accuracy) if has_interval else percent(average.accuracy.value),
            MISSING if average.drop is None else points_interval(average.drop),
            percent(value(average.retained)),
            count(average.gained),
        ),
    )
