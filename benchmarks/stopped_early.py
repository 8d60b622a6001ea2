"""Tables of a run with ``--precision``: drops, and how many items each variant needed.

    python benchmarks/stopped_early.py RUN [--full OTHER] [--answers FILE.parquet]

With ``--full``, a second table sets the variants that the other run evaluated in full beside those of the first run.
Its last column is the share of 400 random orders of their items in which the evaluation stops with an interval that
excludes the drop in full; it must be 5% or less. This is for tasks without relations.
``--answers`` also writes whether each answer was right: a row per item, a column per recipe, empty if it was not asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd

from forgetmeter import open_run
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


def _variants(location: str) -> pd.DataFrame:
    comparisons = open_run(location).comparisons
    return comparisons[comparisons["recipe"] != "baseline"]


def _right(location: str) -> pd.DataFrame:
    outcomes = open_run(location).outcomes
    table = outcomes.pivot(index=["task", "item_id"], columns="recipe", values="correct")
    return table[list(dict.fromkeys(outcomes["recipe"]))].astype("boolean")


def _needed(found: pd.DataFrame) -> Iterator[str]:
    tasks = list(dict.fromkeys(found["task"]))
    yield f"| recipe | {' | '.join(f'{task} | items' for task in tasks)} |"
    yield f"|:---|{'---:|---:|' * len(tasks)}"
    cells = {(row.recipe, row.task): row for row in found.itertuples()}
    for recipe in dict.fromkeys(found["recipe"]):
        parts = [cells.get((recipe, task)) for task in tasks]
        shown = (f"{_points(each)} | {each.items:,}" if each is not None else "— | —" for each in parts)
        yield f"| `{recipe}` | {' | '.join(shown)} |"
    sums = found.groupby("task", sort=False).agg(
        items=("items", "sum"), whole=("precision", lambda each: each.isna().sum())
    )
    yield f"| all, items | {' | '.join(f' | {row.items:,}' for row in sums.itertuples())} |"
    yield f"| asked in full | {' | '.join(f' | {row.whole}' for row in sums.itertuples())} |"


def _beside(stopped: pd.DataFrame, full: pd.DataFrame, right: pd.DataFrame) -> Iterator[str]:
    yield "| recipe | task | stopped | items | in full | items | orders that exclude it |"
    yield "|:---|:---|---:|---:|---:|---:|---:|"
    both = full[full["precision"].isna()].merge(stopped, on=("recipe", "task"), suffixes=("_full", ""))
    for row in both[both["precision"].notna()].itertuples():
        whole = f"{100 * row.drop_full:.1f} \\[{100 * row.drop_low_full:.1f}, {100 * row.drop_high_full:.1f}\\]"
        of_task = right.loc[row.task]
        share = _share_of_misses(of_task["baseline"], of_task[row.recipe], row.precision)
        yield (
            f"| `{row.recipe}` | {row.task} | {_points(row)} | {row.items:,} | {whole} | {row.items_full:,} | "
            f"{share:.1%} |"
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


def _points(row: object) -> str:
    star = " \\*" if row.verdict != "unclear" else ""  # type: ignore[attr-defined]
    low, high = 100 * row.drop_low, 100 * row.drop_high  # type: ignore[attr-defined]
    return f"{100 * row.drop:.1f} \\[{low:.1f}, {high:.1f}\\]{star}"  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
