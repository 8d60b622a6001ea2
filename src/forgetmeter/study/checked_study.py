"""A checked study with its missing cells, and the result of running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetmeter.config.study import Study
from forgetmeter.errors import UserError
from forgetmeter.models.location import Location
from forgetmeter.plan.planning import Plan, make_plan
from forgetmeter.probes.loading import load_task
from forgetmeter.probes.registry import without_paths
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import valid_items
from forgetmeter.runs.run_store import RunStore
from forgetmeter.runs.stored import Failure
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.runs.tables.items_table import items_hash
from forgetmeter.specs.model_reference import ModelReference, parse_model_reference
from forgetmeter.study.document import study_document

if TYPE_CHECKING:
    from forgetmeter.engines.external_engine import ExternalEngine
    from forgetmeter.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class CheckedStudy:
    """A checked study, ready to run.

    Attributes:
        plan: Its cells, with models and tasks as an existing run names them.
        missing: The cells that are not stored yet, or whose variant, items or noise are not.
        unread: The tasks to load: those of missing cells, or all if ``study.json`` is missing, to compare their items.
        document: The content of its run's ``study.json``.
        store: Its run.
        checkpoints: Its models and candidates, opened and checked, without engines; empty if nothing is missing.
        engines: The engines that answer missing cells; they start when they are first asked.
        data: Data folder of the probes, if given.
        paths: The names to load tasks by, where an existing run names a file by another path.
    """

    plan: Plan
    missing: tuple[Cell, ...]
    unread: tuple[str, ...]
    document: Mapping[str, Any]
    store: RunStore
    checkpoints: Mapping[ModelReference, Checkpoint] = field(default_factory=dict)
    engines: Mapping[ModelReference, ExternalEngine] = field(default_factory=dict)
    data: Path | None = None
    paths: Mapping[str, str] = field(default_factory=dict)

    def to_score(self) -> list[Cell]:
        """Return the missing cells that still have to be scored; for the others, only records are missing."""
        if not self.store.has_files():
            return list(self.missing)
        wants_noise = self.plan.study.evaluation.noise_floor
        return [
            cell
            for cell in self.missing
            if not self.store.is_done(cell, stop=self.plan.stop) or self.store.needs_noise(cell, is_wanted=wants_noise)
        ]


@dataclass(frozen=True)
class Finished:
    """The result of a run.

    Attributes:
        output: The run's folder or URL.
        cells: Number of cells of the study.
        computed: Number of cells that were scored now; the answers of the others were already stored.
        failures: The cells that failed.
    """

    output: str
    cells: int
    computed: int
    failures: tuple[Failure, ...]


def plan_study(study: Study, locations: Mapping[ModelReference, Location], data: Path | None) -> CheckedStudy:
    """Plan a study, and find its missing cells.

    A model or candidate whose content is that of one of an existing run keeps the name that it has there, and so does
    a task whose name differs in a path only and whose items are the same: the relative and the absolute path are one.

    Raises:
        UserError: Two models have the same content, two paths of a task the same items, or the output folder holds
            something else.
    """
    is_chat = study.evaluation.chat_template
    identities = {
        model: location.chat_identity if is_chat and model in study.models else location.identity
        for model, location in locations.items()
    }
    plan, store = make_plan(study, identities), RunStore(study.output)
    models = _stored_models(store, {model: identities[model] for model in study.references})
    tasks = _same_tasks(store, study, data)
    if models or tasks:
        study = replace(
            study,
            models=tuple(models.get(model, model) for model in study.models),
            candidates=tuple(
                (models.get(of, of), replace(recipe, candidate=models.get(made, made)))
                for of, recipe in study.candidates
                if (made := recipe.candidate) is not None
            ),
            tasks=tuple(tasks.get(task, task) for task in study.tasks),
        )
        identities |= {name: identities[model] for model, name in models.items()}
        plan = make_plan(study, identities)
    document = study_document(plan, identities)
    store.check_study(document)
    is_begun, wants_noise, is_empty = store.has_study(), study.evaluation.noise_floor, not store.has_files()
    missing = tuple(
        cell
        for cell in plan.cells
        if is_empty
        or not (store.is_done(cell, stop=plan.stop) and store.has_records(cell))
        or store.needs_noise(cell, is_wanted=wants_noise)
    )
    unread = tuple(dict.fromkeys(cell.task for cell in missing)) if is_begun else study.tasks
    paths = {name: task for task, name in tasks.items()}
    return CheckedStudy(plan, missing, unread, document, store, data=data, paths=paths)


def _stored_models(store: RunStore, identities: Mapping[ModelReference, str]) -> dict[ModelReference, ModelReference]:
    """Return the names that an existing run gives to models of the same content, where they differ."""
    names = {identity: name for name, identity in _stored_study(store).model_content.items()}
    asked = set(map(str, identities))
    return {
        model: parse_model_reference(names[identity])
        for model, identity in identities.items()
        if names.get(identity, str(model)) not in asked
    }


def _same_tasks(store: RunStore, study: Study, data: Path | None) -> dict[str, str]:
    """Return the names that an existing run gives to tasks of the same items, where they differ in paths only.

    Raises:
        UserError: A file cannot be read, or two paths have the same items.
    """
    stored = stored_tasks(store)

    @cache
    def content(task: str) -> str | None:
        if task in stored:
            return store.read_items_hash(task)
        return items_hash(valid_items(load_task(task, limit=study.evaluation.limit, data=data)))

    names = {}
    for task in study.tasks:
        alike = without_paths(task)
        if task in stored or alike is None:
            continue
        others = [other for other in (*study.tasks, *stored) if other != task and without_paths(other) == alike]
        same = next((other for other in others if content(other) == content(task)), task)
        if same in study.tasks and same != task:
            raise UserError(f"tasks '{same}' and '{task}' have the same items; keep only one")
        names[task] = same
    return {task: name for task, name in names.items() if name != task}


def stored_tasks(store: RunStore) -> Sequence[str]:
    """Return the names of an existing run's tasks; empty if there is none."""
    return _stored_study(store).tasks


def _stored_study(store: RunStore) -> StudyRecord:
    """Return the study of an existing run; empty if there is none."""
    # An output that cannot be read is reported by check_study.
    with suppress(OSError, ValueError):
        if store.has_study():
            return store.read_study()
    return StudyRecord({})
