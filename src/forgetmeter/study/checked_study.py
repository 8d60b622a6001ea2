"""A checked study with its missing cells, and the result of running it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetmeter.config.study import Study
from forgetmeter.models.location import Location
from forgetmeter.plan.planning import Plan, make_plan
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Item, Task
from forgetmeter.runs.run_store import RunStore
from forgetmeter.runs.stored import Failure
from forgetmeter.specs.model_reference import ModelReference, parse_model_reference
from forgetmeter.study.document import study_document

if TYPE_CHECKING:
    from forgetmeter.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class CheckedStudy:
    """A checked study, ready to run.

    Attributes:
        plan: Its cells, with models as an existing run names them.
        missing: The cells that are not stored yet, or whose variant or items are not; all, if ``study.json`` is not.
        document: The content of its run's ``study.json``.
        store: Its run.
        checkpoints: Its models, opened and checked; empty if nothing is missing.
        data: Data folder of the probes, if given.
    """

    plan: Plan
    missing: tuple[Cell, ...]
    document: Mapping[str, Any]
    store: RunStore
    checkpoints: Mapping[ModelReference, Checkpoint] = field(default_factory=dict)
    data: Path | None = None


@dataclass(frozen=True)
class Finished:
    """The result of a run.

    Attributes:
        output: The run's folder or URL.
        cells: Number of cells of the study.
        computed: Number of cells that were computed now; the others were already stored.
        failures: The cells that failed.
    """

    output: str
    cells: int
    computed: int
    failures: tuple[Failure, ...]


def valid_items(task: Task) -> list[Item]:
    """Return the items to store: those that no model can be scored on must not count in the rate of guessing."""
    return [item for item in task.items if item.problem is None]


def plan_study(study: Study, locations: Mapping[ModelReference, Location]) -> CheckedStudy:
    """Plan a study, and find its missing cells.

    A model whose content is that of one of an existing run keeps the name that it has there: the relative and the
    absolute path of a folder are one model.

    Raises:
        UserError: Two models have the same content, or the output folder holds something else.
    """
    identities = {model: location.identity for model, location in locations.items()}
    plan, store = make_plan(study, identities), RunStore(study.output)
    if renamed := _stored_names(store, {model: identities[model] for model in study.models}):
        study = replace(study, models=tuple(renamed.get(model, model) for model in study.models))
        identities |= {name: identities[model] for model, name in renamed.items()}
        plan = make_plan(study, identities)
    document = study_document(plan, identities)
    store.check_study(document)
    is_begun, wants_noise = store.has_study(), study.evaluation.noise_floor
    missing = tuple(
        cell
        for cell in plan.cells
        if not (is_begun and store.is_done(cell) and store.has_records(cell))
        or store.needs_noise(cell, is_wanted=wants_noise)
    )
    return CheckedStudy(plan, missing, document, store)


def _stored_names(store: RunStore, identities: Mapping[ModelReference, str]) -> dict[ModelReference, ModelReference]:
    """Return the names that an existing run gives to models of the same content, where they differ."""
    # An output that cannot be read is reported by check_study.
    with suppress(OSError, ValueError):
        if store.has_study():
            content = store.read_study()["identity"].get("model_content") or {}
            names = {identity: name for name, identity in content.items()}
            asked = set(map(str, identities))
            return {
                model: parse_model_reference(names[identity])
                for model, identity in identities.items()
                if names.get(identity, str(model)) not in asked
            }
    return {}
