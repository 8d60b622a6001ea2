"""A run as tidy data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from forgetmeter.analysis.answers import Answers, read_answers
from forgetmeter.analysis.baselines import ItemBaselines, baselines_by_task
from forgetmeter.analysis.damage import damage_named
from forgetmeter.analysis.item_shapes import read_item_shapes
from forgetmeter.analysis.item_texts import ItemTexts, read_item_texts
from forgetmeter.analysis.judged import is_judged
from forgetmeter.analysis.parquet_union import Part, read_union
from forgetmeter.records.noise import Noise
from forgetmeter.store.failure import Failure
from forgetmeter.store.filesystem import RunFolder
from forgetmeter.store.run_store import RunStore
from forgetmeter.store.stored_file import StoredCell, StoredItems

if TYPE_CHECKING:
    from forgetmeter.analysis.summary import Summary

_KEYS = ("variant", "model", "recipe", "task")
_OUTCOMES = ("item_id", "correct", "prediction", "gold", "rank", "margin", "loglikelihoods")
_ITEMS = (
    "item_id",
    "content_hash",
    "gold",
    "choices",
    "contexts",
    "continuations",
    "fields",
    "before",
    "after",
    "among",
)
_TASKS = ("task", "version", "source", "primary_metric", "official_size", "items", "items_hash")
FILTERS = "filters."
_FAILURES = (*_KEYS, "error")
_REACHED = (
    "sparsity",
    "selected_weights",
    "selected_zeros",
    "removed_weights",
    "dense_bytes",
    "bitmask_bytes",
    "quantized_bytes",
    "smallest_bytes",
    "simulated",
)


@dataclass(frozen=True, eq=False)
class Run:
    """A run as data frames; rows are in the study's order of models, recipes and tasks.

    Attributes:
        location: Where it is.
        study: ``study.json``.
        variants: One row a variant: ``variant`` (its id), ``model``, ``recipe``, ``sparsity``, ``weights``,
            ``zeros``, ``zeros.<role>``, the other numbers of ``Reached``, and the facts noted (``seconds``
            ...). A variant that has not been made yet has its row, without numbers.
        cells: One row a cell that is done: ``variant``, ``model``, ``recipe``, ``task``, ``rows``, the facts
            noted (``seconds``, ``tokens`` ...), ``metric.<name>`` for each aggregated metric and
            ``dropped.<reason>``: how many items the model could not be asked.
        tasks: One row a task with stored items: its description, ``items`` (how many), ``items_hash`` and
            ``filters.<reason>``: how many items the task itself left out.
        failures: One row a failed cell: ``variant``, ``model``, ``recipe``, ``task``, ``error``.
        noise: By model and task, how far two scorings of the baseline differ; only where that was measured.
    """

    location: str
    study: Mapping[str, Any]
    variants: pd.DataFrame
    cells: pd.DataFrame
    tasks: pd.DataFrame
    failures: pd.DataFrame
    noise: Mapping[tuple[str, str], Noise]
    _outcome_parts: Sequence[Part] = field(repr=False)
    _items_parts: Sequence[Part] = field(repr=False)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row an outcome: ``variant``, ``model``, ``recipe``, ``task``, the outcome, its metrics."""
        return self.read_outcomes()

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row an item: ``task``, then the columns of the items table."""
        if not self._items_parts:
            return _frame([], ["task", *_ITEMS])
        with self.damage_named():
            return read_union(RunFolder(self.location), self._items_parts)

    @cached_property
    def item_shapes(self) -> pd.DataFrame:
        """One row an item, much quicker than ``items``.

        Columns: ``task``, ``item_id``, ``gold``, ``choices`` (how many), ``among``, ``relation`` and ``popularity``.
        """
        with self.damage_named():
            return read_item_shapes(RunFolder(self.location), self._items_parts)

    @cached_property
    def item_baselines(self) -> Mapping[str, ItemBaselines]:
        """What can be reached on each item without knowledge, by task, in the order of ``item_shapes``."""
        return baselines_by_task(self.item_shapes)

    @cached_property
    def item_texts(self) -> Mapping[str, ItemTexts]:
        """What each item asks, by task; of tasks whose items are stored."""
        with self.damage_named():
            return {part.keys["task"]: read_item_texts(self._read(part)) for part in self._items_parts}

    @cached_property
    def answers(self) -> tuple[Answers, ...]:
        """The outcomes as arrays, for each model and task with right answers: what all statistics are made from."""
        rows = self.cells.to_dict("records")
        judged = [part for part, row in zip(self._outcome_parts, rows, strict=True) if is_judged(row)]
        with self.damage_named():
            return read_answers(RunFolder(self.location), judged, self.item_shapes, self.item_baselines)

    def damage_named(self) -> AbstractContextManager[None]:
        """Return a context in which a file of the run that cannot be read is a ``UserError`` that names it."""
        return damage_named(self.location, [*self._items_parts, *self._outcome_parts])

    # What follows is computed from the above by modules that import this one; they are imported when asked for.

    @cached_property
    def summary(self) -> Summary:
        """The run in numbers, as records: what all frames below are made from."""
        from forgetmeter.analysis.summary import summarise

        return summarise(self)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """One row a cell, compared with the baseline on the same items.

        Columns: ``model``, ``recipe``, ``task``, ``items``; ``accuracy``, ``drop``, ``retained`` and ``gained_share``,
        each also with ``_low`` and ``_high`` of its 95% interval; ``p_value`` (exact McNemar), ``p_holm``,
        ``relations`` (how many the intervals are over), ``p_relations``, ``p_relations_holm``; ``forgotten``,
        ``gained``, ``flips``, ``prediction_flips``, ``rank_shift``, ``margin_shift``, ``divergence``; ``p_chance``,
        ``p_majority``, ``majority_accuracy``, ``noise_floor``; ``seconds``, ``tokens``; ``verdict``,
        ``holds_elsewhere`` and ``metric.<name>``. ``CellSummary`` says what each is.
        """
        from forgetmeter.analysis.tidy import comparisons_frame

        return comparisons_frame(self.summary)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row a point of the curves of retained at growing levels.

        Columns: ``model``, ``task``, ``method``, ``scope``, ``recipe``, ``level``, ``removed_weights``; ``retained``
        and ``area`` (mean of retained from level 0 to the last), each with ``_low`` and ``_high``; ``knee_low`` and
        ``knee_high`` (the levels between which retained falls fastest), ``knee_interval_low`` and
        ``knee_interval_high`` (their 95% interval), ``knee_share`` (of the resamples that agree).
        """
        from forgetmeter.analysis.retained_curve import all_curves
        from forgetmeter.analysis.tidy import curves_frame

        return curves_frame(all_curves(self, self.summary))

    @cached_property
    def findings(self) -> pd.DataFrame:
        """One row a claim, model and task, and one a claim and model, whose ``task`` is missing.

        Columns: ``finding``, ``claim``, ``model``, ``task``, ``verdict``, ``effect`` with ``_low`` and ``_high``,
        ``threshold``, ``unit``, ``p_value``, ``p_holm``, ``detail``, ``missing``.
        """
        from forgetmeter.analysis.findings.all_findings import find
        from forgetmeter.analysis.tidy import findings_frame

        return findings_frame(find(self, self.summary))

    @cached_property
    def frontier(self) -> pd.DataFrame:
        """One row a variant and task.

        Columns: ``model``, ``task``, ``recipe``, ``retained`` with ``_low`` and ``_high``; ``dense_bytes``,
        ``bitmask_bytes``, ``quantized_bytes``, ``smallest_bytes``, ``tokens_per_second``, ``simulated``; and for each
        of these costs ``pareto.<cost>``: whether no other variant is as good and retains as much, and better in one.
        """
        from forgetmeter.analysis.frontier import frontiers
        from forgetmeter.analysis.tidy import frontier_frame

        return frontier_frame(frontiers(self.summary))

    def forgotten(self, recipe: str, *, task: str | None = None, model: str | None = None) -> pd.DataFrame:
        """Return the ledger of a recipe: one row an item.

        Columns: ``model``, ``recipe``, ``task``, ``item_id``, ``status`` (``kept``, ``forgotten``, ``gained``,
        ``wrong``), ``fate`` (of forgotten ones: ``still near``, ``other phrasing``, ``lost``), ``statement``,
        ``subject``, ``relation``, ``relation_label``, ``gold``, ``before``, ``after``, ``rank_before``,
        ``rank_after``, ``margin_before``, ``margin_after``, ``popularity``, ``popularity_tercile``,
        ``margin_tercile``. ``LedgerEntry`` says what each is.

        Raises:
            UserError: The run has no such recipe, task or model, or nothing to compare it with.
        """
        from forgetmeter.analysis.open_ledgers import open_ledgers
        from forgetmeter.analysis.tidy import ledger_frame

        return ledger_frame(open_ledgers(self, recipe, task=task, model=model))

    def outcomes_file(self, model: str, recipe: str, task: str) -> bytes | None:
        """Return the outcomes file of a cell, or ``None`` where it is not done."""
        wanted = {"model": model, "recipe": recipe, "task": task}
        return next((self._read(part) for part in self._outcome_parts if wanted.items() <= part.keys.items()), None)

    def items_file(self, task: str) -> bytes | None:
        """Return the items file of a task, or ``None`` where it is not stored."""
        return next((self._read(part) for part in self._items_parts if part.keys["task"] == task), None)

    def _read(self, part: Part) -> bytes:
        return RunFolder(self.location).read(part.path)

    def read_outcomes(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the outcomes with some of their columns only, which for a large run is much quicker."""
        if not self._outcome_parts:
            return _frame([], [*_KEYS, *(columns or _OUTCOMES)])
        with self.damage_named():
            return read_union(RunFolder(self.location), self._outcome_parts, columns)


def open_run(location: str) -> Run:
    """Read a run, finished or not; cells whose file is broken count as not done.

    Args:
        location: A folder or an fsspec URL.

    Raises:
        UserError: There is no run there, or one that this version cannot read.
    """
    store = RunStore(location)
    study = store.read_study()
    stored = {each["id"]: each for each in store.variants()}
    cells, failures, items = store.cells(), store.failures(), store.items()
    variants = _variant_order(study, stored.values(), cells, failures)
    tasks = _ranks(study["identity"].get("tasks", ()))
    by_variant = {variant: place for place, variant in enumerate(variants)}
    cells = sorted(cells, key=lambda cell: (by_variant[cell.variant], _rank(tasks, cell.task)))
    failures = sorted(failures, key=lambda each: (by_variant[each.variant], _rank(tasks, each.task)))
    items = sorted(items, key=lambda each: _rank(tasks, each.task))
    return Run(
        location=location,
        study=study,
        variants=_variants_frame(variants, stored),
        cells=_frame([_cell_row(cell, *variants[cell.variant]) for cell in cells], _columns(cells)),
        tasks=_tasks_frame(items),
        failures=_frame([asdict(each) for each in failures], _FAILURES),
        noise={(each.model, each.task): each.noise for each in store.noises()},
        _outcome_parts=[Part(cell.path, _cell_keys(cell, *variants[cell.variant])) for cell in cells],
        _items_parts=[Part(each.path, {"task": each.task}) for each in items],
    )


def _variant_order(
    study: Mapping[str, Any],
    stored: Iterable[Mapping[str, Any]],
    cells: Iterable[StoredCell],
    failures: Iterable[Failure],
) -> dict[str, tuple[str, str]]:
    """Return model and recipe of every variant that anything in the run names, in the study's order."""
    known = {each["id"]: (each["model"], each["recipe"]) for each in study.get("variants", ())}
    for each in stored:
        known.setdefault(each["id"], (each["model"], each["recipe"]))
    for cell in cells:
        known.setdefault(cell.variant, (cell.facts["model"], cell.facts["recipe"]))
    for failure in failures:
        known.setdefault(failure.variant, (failure.model, failure.recipe))
    models, recipes = (_ranks(study["identity"].get(key, ())) for key in ("models", "recipes"))
    ordered = sorted(known.items(), key=lambda each: (_rank(models, each[1][0]), _rank(recipes, each[1][1])))
    return dict(ordered)


def _ranks(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in reversed(list(enumerate(names)))}


def _rank(ranks: Mapping[str, int], name: str) -> tuple[int, str]:
    """Return a key that sorts known names first, in their order, then the others by name."""
    return ranks.get(name, len(ranks)), "" if name in ranks else name


def _variants_frame(variants: Mapping[str, tuple[str, str]], stored: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    rows = []
    for variant, (model, recipe) in variants.items():
        document = stored.get(variant, {})
        reached = document.get("reached") or {}
        roles: Mapping[str, Mapping[str, int]] = reached.get("roles", {})
        numbers = {
            **{name: reached.get(name) for name in _REACHED},
            "weights": sum(role["weights"] for role in roles.values()) if reached else None,
            "zeros": sum(role["zeros"] for role in roles.values()) if reached else None,
            **{f"zeros.{name}": role["zeros"] for name, role in roles.items()},
        }
        keys = {"variant": variant, "model": model, "recipe": recipe}
        rows.append({**_flat(document.get("facts", {})), **numbers, **keys})
    first = ["variant", "model", "recipe", "sparsity", "weights", "zeros", *_REACHED[1:]]
    others = dict.fromkeys(name for row in rows for name in row if name not in first)
    return _frame(rows, [*first, *others])


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    frame: pd.DataFrame = pd.DataFrame(list(rows), columns=list(columns))
    return frame


def _cell_keys(cell: StoredCell, model: str, recipe: str) -> dict[str, str]:
    return {"variant": cell.variant, "model": model, "recipe": recipe, "task": cell.task}


def _cell_row(cell: StoredCell, model: str, recipe: str) -> dict[str, Any]:
    return {**_flat(cell.facts), **_cell_keys(cell, model, recipe)}


def _columns(cells: Iterable[StoredCell]) -> list[str]:
    others = dict.fromkeys(name for cell in cells for name in _flat(cell.facts))
    return list(dict.fromkeys([*_KEYS, "rows", *others]))


def _tasks_frame(items: Iterable[StoredItems]) -> pd.DataFrame:
    rows = [{**_flat(each.facts), "task": each.task, "items": each.facts["rows"]} for each in items]
    filters = dict.fromkeys(name for row in rows for name in row if name.startswith(FILTERS))
    return _frame(rows, [*_TASKS, *filters])


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested facts with dots in their names; the aggregated metrics as ``metric.<name>``."""
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        name = "metric" if key == "metrics" and not prefix else f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat
