"""Imported answers as a run: one baseline and its candidates, each known only by its answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from forgetmeter.basics.plural import counted, listed
from forgetmeter.config.study import Evaluation, Study
from forgetmeter.errors import UserError
from forgetmeter.plan.planning import Plan, make_plan
from forgetmeter.records.cell import Cell
from forgetmeter.records.imported import Origin
from forgetmeter.records.item import Item, TaskDescription
from forgetmeter.records.outcome import Judgement
from forgetmeter.runs.run_store import SCHEMA_VERSION, RunStore
from forgetmeter.runs.stored import Failure
from forgetmeter.specs.model_reference import ModelReference, answers_reference
from forgetmeter.specs.recipe import Recipe

_MOST = 4
"""The largest number of tasks that a message names."""
_ROUNDING = 1e-3
"""A log-likelihood may exceed 0 by this much after rounding."""


@dataclass(frozen=True)
class ImportedTask:
    """A task with the items that the baseline answered."""

    description: TaskDescription
    items: tuple[Item, ...]


@dataclass(frozen=True)
class ImportedVariant:
    """Data about one variant.

    Attributes:
        name: Its name, which differs from those of the others.
        judgements: By task, its outcomes on items of the baseline, in the baseline's order.
        origin: Where its answers came from.
        not_numbers: By task, the number of answers that were NaN or infinite.
    """

    name: str
    judgements: Mapping[str, Judgement]
    origin: Origin
    not_numbers: Mapping[str, int] = field(default_factory=dict)

    @property
    def reference(self) -> ModelReference:
        """Its name in the run."""
        return answers_reference(self.name)

    @property
    def content(self) -> str:
        """Hash of its name and answers; two variants may give the same answers."""
        digest = hashlib.sha256(self.name.encode())
        for task, judgement in self.judgements.items():
            for each in judgement.outcomes:
                said = (task, each.item_id, each.correct, each.prediction, each.loglikelihoods)
                digest.update(repr(said).encode(errors="surrogatepass"))
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class ImportedRun:
    """Answers of a baseline and its candidates.

    Attributes:
        tasks: The tasks that the baseline and at least one candidate answered.
        choices: How the answers are judged, if that was chosen; part of the run's identity.
    """

    tasks: tuple[ImportedTask, ...]
    baseline: ImportedVariant
    candidates: tuple[ImportedVariant, ...]
    choices: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variants(self) -> tuple[ImportedVariant, ...]:
        """The baseline, then the candidates."""
        return (self.baseline, *self.candidates)

    @property
    def answers(self) -> int:
        """Number of answers."""
        return sum(len(each.outcomes) for one in self.variants for each in one.judgements.values())


def write_imported(run: ImportedRun, output: str) -> tuple[Failure, ...]:
    """Write a run, or add to one that has the same baseline.

    Returns:
        The cells in which no answer is a number.

    Raises:
        UserError: The location holds something else, or a task's name cannot be stored; raised before any writing.
    """
    plan, store = _plan(run, output), RunStore(output)
    document = _document(run, plan)
    store.check_study(document)
    for task in run.tasks:
        store.check_items(task.description, task.items)
    store.open_study(document)
    for task in run.tasks:
        store.write_items(task.description, task.items)
    imported = dict(zip(plan.variants, run.variants, strict=True))
    for variant in plan.variants:
        store.write_variant(variant, None, {})
    for cell in plan.cells:
        one = imported[cell.variant]
        if cell.task in one.judgements:
            _write_cell(store, cell, one)
    return tuple(store.failures())


def _write_cell(store: RunStore, cell: Cell, one: ImportedVariant) -> None:
    judgement, broken = one.judgements[cell.task], one.not_numbers.get(cell.task, 0)
    if broken and broken == len(judgement.outcomes):
        store.write_failure(cell, f"the scores of all {broken} answers are NaN or infinite", "")
        return
    facts = {
        "metrics": dict(judgement.metrics),
        "not_numbers": broken,
        "items_hash": store.read_items_hash(cell.task),
    }
    store.write_outcomes(cell, judgement.outcomes, facts)


def _plan(run: ImportedRun, output: str) -> Plan:
    baseline = run.baseline.reference
    study = Study(
        models=(baseline,),
        recipes=(Recipe(),),
        tasks=tuple(task.description.name for task in run.tasks),
        evaluation=Evaluation(),
        output=output,
        candidates=tuple((baseline, Recipe(candidate=each.reference)) for each in run.candidates),
    )
    return make_plan(study, {each.reference: each.content for each in run.variants})


def _document(run: ImportedRun, plan: Plan) -> dict[str, Any]:
    """Return the content of ``study.json``; nothing was evaluated here, so there is no hardware and no dtype."""
    names = {str(each.reference): each for each in run.variants}
    baseline = str(run.baseline.reference)
    return {
        "schema_version": SCHEMA_VERSION,
        "identity": {
            "models": [baseline],
            "model_content": {name: each.content for name, each in names.items()},
            "recipes": [str(recipe) for recipe in plan.study.recipes],
            "candidates": {baseline: [str(recipe) for _, recipe in plan.study.candidates]},
            "tasks": list(plan.study.tasks),
            "evaluation": dict(run.choices),
        },
        "variants": [
            {"id": variant.id, "model": str(variant.model), "recipe": str(variant.recipe)} for variant in plan.variants
        ],
        "versions": {"forgetmeter": version("forgetmeter")},
        "imported": {
            name: {**asdict(each.origin), "notes": list(each.origin.notes), "tasks": list(each.judgements)}
            for name, each in names.items()
        },
    }


def is_above_0(loglikelihood: float) -> bool:
    """Return whether a number cannot be the logarithm of a probability; ``False`` for infinity and NaN."""
    return _ROUNDING < loglikelihood < math.inf


def paired_notes(task: str, *, answered: int, of: int, others: int) -> list[str]:
    """Return sentences on the items of a task that only the baseline or only a candidate answered.

    Args:
        answered: Number of the baseline's items that the candidate answered.
        of: Number of the baseline's items.
        others: Number of items that only the candidate answered, which are left out.
    """
    notes = []
    if answered < of:
        notes.append(f"{task}: no answer to {of - answered:,} of the baseline's {counted(of, 'item')}")
    if others:
        items, are = ("an item", "is") if others == 1 else ("items", "are")
        notes.append(f"{task}: {counted(others, 'answer')} to {items} that the baseline did not answer {are} left out")
    return notes


def unshared_note(own: Iterable[str], shared: Collection[str], *, why: str) -> list[str]:
    """Return a sentence on the tasks of a variant that are left out, if there are any.

    Args:
        own: The variant's tasks.
        shared: The tasks that are imported.
        why: Why the others are not, as a clause.
    """
    left = [task for task in own if task not in shared]
    return [f"tasks left out, since {why}: {listed(left, _MOST)}"] if left else []


def shared_tasks(baseline: Sequence[str], candidates: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the baseline's tasks that at least one candidate answered.

    Args:
        candidates: The tasks of each candidate by its name.

    Raises:
        UserError: There is none, or a candidate has none of them.
    """
    if not candidates:
        raise UserError("there is nothing to compare the baseline with; import at least one other variant")
    for name, tasks in candidates.items():
        if not set(baseline) & set(tasks):
            raise UserError(
                f"'{name}' has answers for none of the baseline's tasks (the baseline: {', '.join(baseline)}; "
                f"'{name}': {', '.join(tasks)}); import variants that answered the same tasks"
            )
    return [task for task in baseline if any(task in tasks for tasks in candidates.values())]
