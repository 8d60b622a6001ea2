"""A study that was looked at, and what a run of it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetmeter.config.study import Study
from forgetmeter.models.location import Location
from forgetmeter.plan.planning import Plan, make_plan
from forgetmeter.records.cell import Cell
from forgetmeter.runs.run_store import RunStore
from forgetmeter.runs.stored import Failure
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.study.document import study_document

if TYPE_CHECKING:
    from forgetmeter.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Prospect:
    """A study that was looked at but not begun.

    Attributes:
        plan: Its cells.
        missing: The cells that are not stored yet, or whose variant's or items' record is not.
        document: What its run's ``study.json`` holds or will hold.
        store: Where its run is or will be.
        checkpoints: Its models, opened and checked; none where nothing is missing.
        data: The data folder of the probes, where it was named.
    """

    plan: Plan
    missing: tuple[Cell, ...]
    document: Mapping[str, Any]
    store: RunStore
    checkpoints: Mapping[ModelReference, Checkpoint] = field(default_factory=dict)
    data: Path | None = None


@dataclass(frozen=True)
class Finished:
    """What a run came to.

    Attributes:
        output: The run's folder or URL.
        cells: How many cells the study has.
        computed: How many of them were computed now; the others were there.
        failures: The cells that failed.
    """

    output: str
    cells: int
    computed: int
    failures: tuple[Failure, ...]


def prospect_of(study: Study, locations: Mapping[ModelReference, Location]) -> Prospect:
    """Plan a study, and see what is missing of it.

    Args:
        study: The study.
        locations: Where its models are.

    Raises:
        UserError: Two of the models are one and the same, or the output folder holds something else.
    """
    identities = {model: location.identity for model, location in locations.items()}
    plan, store = make_plan(study, identities), RunStore(study.output)
    document = study_document(plan, identities)
    store.check_study(document)
    wants_noise = study.evaluation.noise_floor
    missing = tuple(
        cell
        for cell in plan.cells
        if not (store.is_done(cell) and store.has_records(cell)) or store.needs_noise(cell, is_wanted=wants_noise)
    )
    return Prospect(plan, missing, document, store)
