"""Summary of a run: every variant and every cell, compared with the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.comparison import compare_all
from forgetmeter.results.compared.group_average import GroupAverage, group_averages
from forgetmeter.results.compared.measured import MeasuredSummary, measured_cells
from forgetmeter.results.compared.stopped import stopped_early
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import Failure, StoredVariant
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.specs.method_facts import Methods
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.correction import holm_corrected
from forgetmeter.statistics.paired import CONFIDENCE


@dataclass(frozen=True)
class VariantSummary:
    """Effect of a recipe on a model; every number is ``None`` until the variant has been made.

    Attributes:
        sparsity: Share of zeros in the recipe's scopes; ``None`` if zero.
        removed_weights: Zeros beyond those of the baseline.
        dense_bytes: Size with every weight stored.
        bitmask_bytes: Size with zeros stored as a bitmask.
        quantized_bytes: Size with quantized matrices at their bit width.
        simulated: Whether a step ran as a simulation.
        variant: The variant's id.
        smallest_bytes: Size with each matrix in its smallest form; ``None`` if not counted.
    """

    model: str
    recipe: str
    sparsity: float | None
    removed_weights: int | None
    dense_bytes: int | None
    bitmask_bytes: int | None
    quantized_bytes: int | None
    simulated: bool | None
    variant: str
    smallest_bytes: int | None = None


@dataclass(frozen=True)
class TaskSummary:
    """A task.

    Attributes:
        items: Number of items.
        filters: Number of items that the task itself left out, for any model, by reason.
        sizes: Number of items of each of their relations.
        has_items: Whether its items are stored, not only the answers.
        available: Number of its items without a limit; ``None`` if unknown.
    """

    task: str
    items: int
    filters: Mapping[str, int] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    has_items: bool = True
    available: int | None = None

    @property
    def relations(self) -> int:
        """Number of relations of its items."""
        return len(self.sizes)


@dataclass(frozen=True)
class Summary:
    """Summary of a run, in the study's order.

    Attributes:
        study: Content of ``study.json``.
        variants: Every variant of the study.
        tasks: Every task with stored items or outcomes.
        cells: Cells that are done, of tasks with right answers.
        failures: Cells that failed.
        missing: Model, recipe and task of the cells that are neither done nor failed.
        measured: Cells that are done, of tasks without right answers.
        groups: Averages over the tasks of a group.
        parameters: Number of weights of each model, without those whose number is unknown.
        damaged: Paths of files of outcomes or noise that are damaged or of another cell, and do not count.
    """

    study: StudyRecord
    variants: tuple[VariantSummary, ...]
    tasks: tuple[TaskSummary, ...]
    cells: tuple[CellSummary, ...]
    failures: tuple[Failure, ...]
    missing: tuple[tuple[str, str, str], ...]
    measured: tuple[MeasuredSummary, ...] = ()
    damaged: tuple[str, ...] = ()
    groups: tuple[GroupAverage, ...] = ()
    parameters: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_cells(self) -> tuple[CellSummary | MeasuredSummary, ...]:
        """Cells that are done, of tasks with and without right answers."""
        return (*self.cells, *self.measured)

    def guessed(self, model: str) -> frozenset[str]:
        """Return the tasks on which a model's baseline is not better than guessing: there is nothing to forget."""
        baselines = (cell for cell in self.cells if (cell.model, cell.recipe) == (model, BASELINE))
        return frozenset(cell.task for cell in baselines if cell.is_guessing)

    @property
    def methods(self) -> Methods:
        """The recorded facts about the methods of the recipes."""
        return self.study.methods


def summarise(run: Run, *, confidence: float = CONFIDENCE) -> Summary:
    """Compare every cell of a run with its model's baseline on the same items, with intervals at a confidence."""
    cells, measured = _corrected(list(_cells(run, confidence))), measured_cells(run, confidence=confidence)
    seen = {(cell.model, cell.recipe, cell.task) for cell in cells}
    seen |= {(cell.model, cell.recipe, cell.task) for cell in measured}
    seen |= {(failure.model, failure.recipe, failure.task) for failure in run.failures}
    planned = product([(variant.model, variant.recipe) for variant in run.variants], run.task_names)
    return Summary(
        study=run.study,
        variants=tuple(map(_variant, run.variants)),
        tasks=_tasks(run, cells),
        cells=tuple(cells),
        failures=run.failures,
        missing=tuple((*variant, task) for variant, task in planned if (*variant, task) not in seen),
        measured=measured,
        damaged=run.damaged,
        parameters=_parameters(run),
        groups=group_averages(
            run.study.groups, cells, {each.task: each.judged for each in run.tasks}, confidence=confidence
        ),
    )


def _cells(run: Run, confidence: float) -> Iterator[CellSummary]:
    compared = {
        (cell.model, cell.recipe, cell.task): cell
        for answers in run.answers
        for cell in compare_all(answers, confidence=confidence)
        if cell is not None
    }
    answers = {(each.model, each.task): each for each in run.answers}
    for stored in run.cells:
        if (cell := compared.get(stored.key)) is not None:
            noise = run.noise.get((stored.model, stored.task))
            cell = replace(cell, precision=stored.precision, margin=stored.margin)
            if cell.aim is not None:
                seed = int(run.study.settings["seed"])
                of = answers[stored.model, stored.task]
                cell = stopped_early(cell, of, precision=cell.aim, seed=seed, confidence=confidence)
            yield replace(
                cell,
                noise_floor=None if cell.drop is None or noise is None else noise.floor,
                metrics=stored.metrics,
                seconds=stored.seconds,
                tokens=stored.tokens,
                dropped=stored.dropped,
                named=stored.named,
                cut=stored.cut,
                not_numbers=stored.not_numbers,
                is_timed=stored.is_timed,
            )


def _corrected(cells: list[CellSummary]) -> list[CellSummary]:
    holm = holm_corrected([cell.p_value for cell in cells])
    over_relations = holm_corrected([cell.p_relations for cell in cells])
    return [
        replace(cell, p_holm=one, p_relations_holm=other)
        for cell, one, other in zip(cells, holm, over_relations, strict=True)
    ]


def _tasks(run: Run, cells: list[CellSummary]) -> tuple[TaskSummary, ...]:
    answered = {cell.task: cell.items for cell in cells}
    filters = {each.task: each.filters for each in run.tasks}
    by_task = run.item_shapes.groupby("task")["relation"]
    items, sizes = by_task.size(), relation_sizes(run)
    found = []
    for name in run.task_names:
        if name in items:
            found.append(TaskSummary(name, int(items[name]), filters.get(name, {}), sizes[name]))
        elif name in answered:
            found.append(TaskSummary(name, answered[name], has_items=False))
    return tuple(found)


def relation_sizes(run: Run) -> dict[str, tuple[int, ...]]:
    """Return the number of items of each relation of each task of a run."""
    by_task = run.item_shapes.groupby("task")["relation"]
    return {str(task): tuple(map(int, each.value_counts(sort=False))) for task, each in by_task}


def _parameters(run: Run) -> dict[str, int]:
    recorded = {each.model: each.facts["parameters"] for each in run.variants if "parameters" in each.facts}
    found = {model: number for model, number in recorded.items() if isinstance(number, int) and number > 0}
    # Packed weights have fewer numbers in memory than they stand for.
    packed = {name: source.dense_bytes // 4 for name, source in run.study.sources.items() if name in run.study.models}
    return found | packed


def _variant(stored: StoredVariant) -> VariantSummary:
    reached = stored.reached
    if reached is None:
        return VariantSummary(stored.model, stored.recipe, None, None, None, None, None, None, stored.id)
    return VariantSummary(
        model=stored.model,
        recipe=stored.recipe,
        sparsity=reached.sparsity or None,
        removed_weights=reached.removed_weights,
        dense_bytes=reached.dense_bytes,
        bitmask_bytes=reached.bitmask_bytes,
        quantized_bytes=reached.quantized_bytes,
        simulated=reached.simulated,
        variant=stored.id,
        smallest_bytes=reached.smallest_bytes,
    )
