"""Tables of a run with ``--precision``: drops, and how many items each variant needed.

    python benchmarks/stopped_early.py RUN [--full OTHER] [--answers FILE.parquet]

With ``--full``, a second table sets the variants that the other run evaluated in full beside those of the first run.
Its last column is the share of 400 random orders of their items in which the evaluation stops with an interval that
excludes the drop in full; it must be 5% or less. This is for tasks without relations.
``--answers`` also writes whether each answer was right: a row per item, a column per recipe, empty if it was not asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from forgetmeter import open_run
from forgetmeter.report.formats.show_markdown import escaped
from forgetmeter.report.words.numbers import points_interval
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.statistics.anytime import Drawn, anytime_interval
from forgetmeter.statistics.stopping_rule import parts_of

_ORDERS = 400


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--full")
    parser.add_argument("--answers")
    options = parser.parse_args()
    stopped = _variants(options.run)
    print("\n".join(_needed(stopped)))
    if options.full is not None:
        print("\n" + "\n".join(_beside(stopped, _variants(options.full), _right(options.full))))
    if options.answers is not None:
        _right(options.run).to_parquet(options.answers, compression="zstd")


def _variants(location: str) -> dict[tuple[str, str], CellSummary]:
    """Return the cells of variants by recipe and task."""
    return {(each.recipe, each.task): each for each in open_run(location).summary.cells if each.drop is not None}


def _right(location: str) -> pd.DataFrame:
    outcomes = open_run(location).outcomes
    table = outcomes.pivot(index=["task", "item_id"], columns="recipe", values="correct")
    return table[list(dict.fromkeys(outcomes["recipe"]))].astype("boolean")


def _needed(cells: Mapping[tuple[str, str], CellSummary]) -> Iterator[str]:
    recipes, tasks = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    yield f"| recipe | {' | '.join(f'{task} | items' for task in tasks)} |"
    yield f"|:---|{'---:|---:|' * len(tasks)}"
    for recipe in recipes:
        parts = [cells.get((recipe, task)) for task in tasks]
        shown = (f"{_drop(each)} | {each.items:,}" if each is not None else "— | —" for each in parts)
        yield f"| `{recipe}` | {' | '.join(shown)} |"
    of_tasks = [[each for each in cells.values() if each.task == task] for task in tasks]
    yield f"| all, items | {' | '.join(f' | {sum(each.items for each in found):,}' for found in of_tasks)} |"
    whole = (sum(each.precision is None for each in found) for found in of_tasks)
    yield f"| asked in full | {' | '.join(f' | {number}' for number in whole)} |"


def _beside(
    stopped: Mapping[tuple[str, str], CellSummary], full: Mapping[tuple[str, str], CellSummary], right: pd.DataFrame
) -> Iterator[str]:
    yield "| recipe | task | stopped | items | in full | items | orders that exclude it |"
    yield "|:---|:---|---:|---:|---:|---:|---:|"
    for key, whole in full.items():
        part = stopped.get(key)
        if part is None or part.precision is None or whole.precision is not None or whole.drop is None:
            continue
        of_task = right.loc[part.task]
        share = _share_of_misses(of_task["baseline"], of_task[part.recipe], part.precision)
        yield (
            f"| `{part.recipe}` | {part.task} | {_drop(part)} | {part.items:,} | "
            f"{escaped(points_interval(whole.drop))} | {whole.items:,} | {share:.1%} |"
        )


def _share_of_misses(before: pd.Series, after: pd.Series, precision: float) -> float:
    lost = before.astype(float).to_numpy() - after.astype(float).to_numpy()
    random, misses = np.random.default_rng(0), 0
    for _ in range(_ORDERS):
        ordered, asked = random.permutation(lost), 0
        for part in parts_of([[place] for place in range(len(lost))]):
            asked += len(part)
            drawn = Drawn(ordered[:asked], np.ones(asked), low=-1, high=1, largest=1, aim=precision)
            interval = anytime_interval(drawn)
            if (interval.high - interval.low) / 2 <= precision:
                break
        misses += not interval.low <= lost.mean() <= interval.high
    return misses / _ORDERS


def _drop(cell: CellSummary) -> str:
    star = "" if cell.verdict == "unclear" else " *"
    return "—" if cell.drop is None else escaped(f"{points_interval(cell.drop)}{star}")


if __name__ == "__main__":
    main()
