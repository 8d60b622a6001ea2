"""Tables of a run on probes, as Markdown: every aggregated metric, and accuracy by relation.

`forgetmeter show` weights all items equally. This script adds what the pages in docs/results/ need for probes: micro
and macro averages of each metric side by side, and the accuracy of each relation under each recipe.

    python benchmarks/relation_tables.py RUN [--recipes baseline,l1_unstructured:overall:0.5] [--only metrics|relations]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

import pandas as pd
import pyarrow.parquet as pq

from forgetmeter.results.results import Results, open_run
from forgetmeter.runs.layout import items_path

MACRO = "_macro"
FIRST = ("metric.p_at_1", "metric.p_at_5", "metric.mrr")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of the run")
    parser.add_argument("--recipes", help="only these recipes in the tables by relation, separated by commas")
    parser.add_argument("--only", choices=("metrics", "relations"))
    options = parser.parse_args()
    run = open_run(options.run)
    recipes = options.recipes.split(",") if options.recipes else None
    for task in dict.fromkeys(run.cells["task"]):
        sys.stdout.write(f"### {task}\n\n")
        if options.only != "relations":
            sys.stdout.write(markdown(metrics_table(run, task)))
        if options.only != "metrics":
            sys.stdout.write(markdown(relations_table(run, task, recipes)))


def metrics_table(run: Results, task: str) -> pd.DataFrame:
    """One row per recipe: each aggregated metric in percent, micro (over items) and macro (over relations)."""
    cells = run.cells[run.cells["task"] == task].set_index("recipe")
    names = [name for name in cells.columns if name.startswith("metric.") and cells[name].notna().any()]
    plain = sorted(name for name in names if not name.endswith(MACRO))
    plain.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    ordered = [each for name in plain for each in (name, f"{name}{MACRO}") if each in names]
    table: pd.DataFrame = (cells[ordered] * 100).round(1)
    table.columns = pd.Index([heading(name) for name in ordered])
    return table


def heading(name: str) -> str:
    """A metric's heading."""
    plain = name.removeprefix("metric.")
    text = plain.removesuffix(MACRO).replace("p_at_", "P@").replace("mrr", "MRR").replace("_", " ")
    return f"{text} macro" if plain.endswith(MACRO) else text


def relations_table(run: Results, task: str, recipes: Sequence[str] | None) -> pd.DataFrame:
    """One row per recipe, one column per relation (its number of items below its name): accuracy in percent."""
    outcomes = run.read_outcomes(["item_id", "correct"])
    outcomes = outcomes[outcomes["task"] == task]
    relation = relations_of(run.location, task)
    outcomes = outcomes.assign(relation=[relation[item] for item in outcomes["item_id"]])
    wanted = [each for each in dict.fromkeys(outcomes["recipe"]) if recipes is None or each in recipes]
    found = outcomes.pivot_table(index="recipe", columns="relation", values="correct", aggfunc="mean", sort=False)
    counts = outcomes[outcomes["recipe"] == wanted[0]].groupby("relation", sort=False).size()
    table: pd.DataFrame = (found.loc[wanted] * 100).round(1)
    table.columns = pd.Index([f"{name} ({counts[name]})" for name in table.columns])
    # Few recipes and many relations read better the other way round.
    return table if len(wanted) > len(table.columns) else table.T


def relations_of(location: str, task: str) -> dict[str, str]:
    """The relation of each item."""
    items = pq.read_table(f"{location}/{items_path(task)}", columns=["item_id", "fields"])
    return {
        item: dict(fields)["relation"]
        for item, fields in zip(items["item_id"].to_pylist(), items["fields"].to_pylist(), strict=True)
    }


def markdown(table: pd.DataFrame) -> str:
    """A data frame as a Markdown table."""
    rows = [[f"`{name}`" if ":" in name or name == "baseline" else name, *row] for name, row in table_rows(table)]
    names = [f"`{name}`" if ":" in name else name for name in map(str, table.columns)]
    lines = [f"| {table.index.name or 'relation'} | {' | '.join(names)} |", "|:---|" + "---:|" * len(names)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n\n"


def table_rows(table: pd.DataFrame) -> Iterable[tuple[str, list[str]]]:
    """The rows as text."""
    for name, row in table.iterrows():
        yield str(name), ["—" if pd.isna(value) else f"{value:.1f}" for value in row]


if __name__ == "__main__":
    main()
