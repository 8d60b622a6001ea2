"""Stored parts of a run as data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import Failure, StoredVariant
from forgetmeter.runs.tables.outcomes_table import KEYS
from forgetmeter.specs.recipe import stored_recipe

_TASKS = ("task", "version", "source", "primary_metric", "official_size", "items", "items_hash")
_FILTERS = "filters."
_SPARSITY = ("sparsity", "weights", "zeros")
_REACHED = (
    "selected_weights",
    "selected_zeros",
    "removed_weights",
    "dense_bytes",
    "bitmask_bytes",
    "quantized_bytes",
    "smallest_bytes",
    "simulated",
)


def variants_frame(run: Run) -> pd.DataFrame:
    """Return one row per variant; ``Results.variants`` lists the columns."""
    rows = []
    for variant in run.variants:
        row: dict[str, Any] = flat(variant.facts)
        if (reached := variant.reached) is not None:
            row |= {name: getattr(reached, name) for name in ("sparsity", *_REACHED)}
            row["weights"] = sum(role.weights for role in reached.roles.values())
            row["zeros"] = sum(role.zeros for role in reached.roles.values())
            row |= {f"zeros.{name}": role.zeros for name, role in reached.roles.items()}
        source = run.study.sources.get(_files(variant) or "")
        row |= {f"bits.{role}": bits for role, bits in source.bits.items()} if source is not None else {}
        rows.append({**row, "variant": variant.id, "model": variant.model, "recipe": variant.recipe})
    first = ["variant", "model", "recipe", *_SPARSITY, *_REACHED]
    return frame(rows, [*first, *dict.fromkeys(name for row in rows for name in row if name not in first)])


def _files(variant: StoredVariant) -> str | None:
    """Return the model whose files a variant is without a change; ``None`` if steps were applied to them."""
    recipe = stored_recipe(variant.recipe)
    return None if recipe is None or recipe.steps else str(recipe.candidate or variant.model)


def cells_frame(run: Run) -> pd.DataFrame:
    """Return one row per cell that is done; ``Results.cells`` lists the columns."""
    rows = [
        {**flat(cell.facts), "variant": cell.variant, "model": cell.model, "recipe": cell.recipe, "task": cell.task}
        for cell in run.cells
    ]
    return frame(rows, list(dict.fromkeys([*KEYS, "rows", *(name for row in rows for name in row)])))


def tasks_frame(run: Run) -> pd.DataFrame:
    """Return one row per task with stored items; ``Results.tasks`` lists the columns."""
    rows = [{**flat(each.facts), "task": each.task, "items": each.facts["rows"]} for each in run.tasks]
    filters = dict.fromkeys(name for row in rows for name in row if name.startswith(_FILTERS))
    return frame(rows, [*_TASKS, *filters])


def failures_frame(run: Run) -> pd.DataFrame:
    """Return one row per failed cell; ``Results.failures`` lists the columns."""
    return frame([asdict(each) for each in run.failures], [field.name for field in fields(Failure)])


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a data frame with these columns, even if there are no rows."""
    made: pd.DataFrame = pd.DataFrame(list(rows), columns=list(columns))
    return made


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested facts flattened to dotted names; aggregated metrics become ``metric.<name>``."""
    found: dict[str, Any] = {}
    for key, value in facts.items():
        name = "metric" if key == "metrics" and not prefix else f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found
