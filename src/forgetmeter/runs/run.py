"""A run, finished or not, read from its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from forgetmeter.records.noise import Noise
from forgetmeter.runs.content.answers import Answers, read_answers
from forgetmeter.runs.content.damage import damage_named
from forgetmeter.runs.content.item_shapes import read_item_shapes
from forgetmeter.runs.content.item_texts import ItemTexts, read_item_texts
from forgetmeter.runs.content.item_values import ItemValues, read_item_ids, read_item_values
from forgetmeter.runs.content.ledger_items import LedgerItem, ledger_items
from forgetmeter.runs.content.parquet_union import UnionPart, read_union
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.runs.run_store import RunStore
from forgetmeter.runs.stored import Failure, StoredCell, StoredItems, StoredVariant
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.runs.tables.items_table import ITEM_COLUMNS
from forgetmeter.runs.tables.outcomes_table import KEYS, OUTCOME_COLUMNS
from forgetmeter.specs.recipe import BASELINE


@dataclass(frozen=True, eq=False)
class Run:
    """A stored run, in the study's order of models, recipes and tasks.

    Attributes:
        location: A folder or an fsspec URL.
        study: Content of ``study.json``.
        variants: Every variant named by the study or by a stored file.
        cells: Cells that are done.
        tasks: Tasks whose items are stored.
        failures: Cells that failed.
        noise: By model and task, the difference between two scorings of the baseline, if it was measured.
        damaged: Paths of files of outcomes or noise that are damaged or of another cell, and are not read.
    """

    location: str
    study: StudyRecord
    variants: tuple[StoredVariant, ...]
    cells: tuple[StoredCell, ...]
    tasks: tuple[StoredItems, ...]
    failures: tuple[Failure, ...]
    noise: Mapping[tuple[str, str], Noise]
    damaged: tuple[str, ...]

    @property
    def task_names(self) -> tuple[str, ...]:
        """The study's tasks, then other tasks that have cells."""
        return tuple(dict.fromkeys([*self.study.tasks, *(cell.task for cell in self.cells)]))

    @cached_property
    def item_shapes(self) -> pd.DataFrame:
        """One row per item, without texts.

        Columns: ``task``, ``item_id``, ``gold``, ``choices`` (number), ``among``, ``relation`` and ``popularity``.
        """
        with self._damage_named():
            return read_item_shapes(self._folder, self._items_parts)

    @cached_property
    def item_texts(self) -> Mapping[str, ItemTexts]:
        """Texts of the items, by task, for tasks whose items are stored."""
        with self._damage_named():
            return {each.task: read_item_texts(self.read(each.path)) for each in self.tasks}

    @cached_property
    def answers(self) -> tuple[Answers, ...]:
        """Outcomes as arrays, for each model and task with right answers: the input of all statistics."""
        judged = [cell for cell in self.cells if cell.is_judged]
        with self._damage_named():
            return read_answers(self._folder, _outcome_parts(judged), self.item_shapes)

    def ledger_items(self, model: str, recipe: str, task: str) -> list[LedgerItem]:
        """Return the items of a task that both the baseline and a variant answered, with both answers.

        Raises:
            UserError: A file of the run is damaged.
        """
        baseline, variant = (self.cell(model, each, task) for each in (BASELINE, recipe))
        assert baseline is not None
        assert variant is not None
        items = next((self.read(each.path) for each in self.tasks if each.task == task), None)
        with self._damage_named():
            return ledger_items(items, self.read(baseline.path), self.read(variant.path))

    def item_values(self, cell: StoredCell, names: Iterable[str]) -> ItemValues:
        """Return what a cell of a task without right answers measured by item and by token.

        Args:
            names: The per-item metrics to read, if they are stored.

        Raises:
            UserError: A file of the run is damaged.
        """
        with self._damage_named():
            return read_item_values(self.read(cell.path), names)

    def item_ids(self, cell: StoredCell) -> list[str]:
        """Return the ids of the items that a cell has outcomes of, in order.

        Raises:
            UserError: A file of the run is damaged.
        """
        with self._damage_named():
            return read_item_ids(self.read(cell.path))

    def outcomes(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return one row per outcome: ``variant``, ``model``, ``recipe``, ``task``, the outcome, its metrics.

        Args:
            columns: Outcome columns to read; selecting some is much faster for a large run.
        """
        if not self.cells:
            return _empty(*KEYS, *(columns or OUTCOME_COLUMNS))
        with self._damage_named():
            return read_union(self._folder, _outcome_parts(self.cells), columns)

    def outcomes_of(self, cell: StoredCell) -> pd.DataFrame:
        """Return one row per outcome of a cell, with all of its columns.

        Raises:
            UserError: A file of the run is damaged.
        """
        with self._damage_named():
            return read_union(self._folder, _outcome_parts([cell]))

    def items(self) -> pd.DataFrame:
        """Return one row per item: ``task``, then the columns of the items table."""
        if not self.tasks:
            return _empty("task", *ITEM_COLUMNS)
        with self._damage_named():
            return read_union(self._folder, self._items_parts)

    def cell(self, model: str, recipe: str, task: str) -> StoredCell | None:
        """Return a cell, or ``None`` if it is not done."""
        return next((cell for cell in self.cells if cell.key == (model, recipe, task)), None)

    def read(self, path: str) -> bytes:
        """Return the content of one of the run's files."""
        return self._folder.read(path)

    @property
    def _folder(self) -> RunFolder:
        return RunFolder(self.location)

    @property
    def _items_parts(self) -> list[UnionPart]:
        return [UnionPart(each.path, {"task": each.task}) for each in self.tasks]

    def _damage_named(self) -> AbstractContextManager[None]:
        return damage_named(self.location, [*self._items_parts, *_outcome_parts(self.cells)])


def read_run(location: str) -> Run:
    """Read a run, finished or not; cells whose file is damaged count as not done.

    Args:
        location: A folder or an fsspec URL.

    Raises:
        UserError: The run does not exist, or this version cannot read it.
    """
    store = RunStore(location)
    study = store.read_study()
    cells, noises, failures = store.cells(), store.noises(), store.failures()
    variants = _variants(study, store.variants(), [*cells, *failures])
    places = {variant.id: place for place, variant in enumerate(variants)}
    tasks = _ranks(study.tasks)

    def place(each: StoredCell | Failure) -> tuple[int, tuple[int, str]]:
        return places[each.variant], _rank(tasks, each.task)

    def named(cell: StoredCell) -> StoredCell:
        variant = variants[places[cell.variant]]
        return replace(cell, model=variant.model, recipe=variant.recipe)

    return Run(
        location=location,
        study=study,
        variants=variants,
        cells=tuple(map(named, sorted(cells, key=place))),
        tasks=tuple(sorted(store.items(), key=lambda each: _rank(tasks, each.task))),
        failures=tuple(sorted(failures, key=place)),
        noise={(each.model, each.task): each.noise for each in noises},
        damaged=store.unread([*cells, *noises]),
    )


def _variants(
    study: StudyRecord, stored: Iterable[StoredVariant], others: Iterable[StoredCell | Failure]
) -> tuple[StoredVariant, ...]:
    """Return every variant named anywhere in the run, in the study's order."""
    made = {each.id: each for each in stored}
    listed = [StoredVariant(variant, *names) for variant, names in study.variants.items()]
    known: dict[str, StoredVariant] = {}
    for each in [*listed, *made.values(), *(StoredVariant(one.variant, one.model, one.recipe) for one in others)]:
        known.setdefault(each.id, replace(made.get(each.id, each), model=each.model, recipe=each.recipe))
    candidates = (recipe for recipes in study.candidates.values() for recipe in recipes)
    models, recipes = _ranks(study.models), _ranks([*study.recipes, *candidates])
    return tuple(sorted(known.values(), key=lambda each: (_rank(models, each.model), _rank(recipes, each.recipe))))


def _ranks(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in reversed(list(enumerate(names)))}


def _rank(ranks: Mapping[str, int], name: str) -> tuple[int, str]:
    """Return a sort key that puts ranked names first, in their order, then the others by name."""
    return ranks.get(name, len(ranks)), "" if name in ranks else name


def _empty(*columns: str) -> pd.DataFrame:
    frame: pd.DataFrame = pd.DataFrame(columns=list(columns))
    return frame


def _outcome_parts(cells: Iterable[StoredCell]) -> list[UnionPart]:
    return [
        UnionPart(cell.path, {"variant": cell.variant, "model": cell.model, "recipe": cell.recipe, "task": cell.task})
        for cell in cells
    ]
