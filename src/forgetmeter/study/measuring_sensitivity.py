"""Measures how much knowledge a model loses when each of its parts is compressed alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetmeter.basics.plural import counted
from forgetmeter.compression.applying.recipe_problems import recipe_problems
from forgetmeter.compression.registry import METHODS, declared_problems, drops_blocks, load_method
from forgetmeter.config.study import Study
from forgetmeter.config.study_file import argument_name, study_from_options
from forgetmeter.errors import UserError, refuse
from forgetmeter.executors.executor import Progress
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.location import Location
from forgetmeter.plan.model_parts import Division, model_parts
from forgetmeter.probes.loading import single_tasks
from forgetmeter.probes.registry import find_task
from forgetmeter.records.cell import Cell
from forgetmeter.results.results import open_run
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import BASELINE, Recipe, Step, parse_recipe
from forgetmeter.specs.role import Matrix
from forgetmeter.specs.scope import Scope
from forgetmeter.specs.suggestion import unknown
from forgetmeter.study.checked_study import CheckedStudy, Finished
from forgetmeter.study.installed import InstalledVocabulary
from forgetmeter.study.running import check_study, reader, run_checked

DEFAULT_METHODS = ("l1_unstructured:0.6", "round_to_nearest:3")
"""One method that removes weights and one that stores fewer bits, at levels that ruin a model when all of it is
compressed, but that most parts survive when compressed alone."""
DEFAULT_PRECISION = 0.02
MOST_VARIANTS = 60
"""Number of variants that the default number of bands does not exceed."""

_COARSER = (4, 2, 1)
"""The precision of each round, in units of the last one's; each round needs about four times the items of the one
before."""
_WIDEST = 0.5


@dataclass(frozen=True)
class SensitivityRequest:
    """A request to measure the sensitivity of a model's parts.

    Attributes:
        model: The model, as text.
        tasks: Names of the tasks whose loss counts.
        output: Folder or URL of the run.
        methods: Methods with a level, as text: recipes of one step without the scope.
        by: What each band of layers is divided into.
        bands: Number of bands of layers; by default as many as there are layers, or fewer if there would be more than
            ``MOST_VARIANTS`` variants.
        precision: The drops of parts whose order matters are known to within plus or minus this.
        options: Evaluation settings by dotted key, as for ``run``.
        data: Data folder of the probes, if given.
    """

    model: str
    tasks: Sequence[str]
    output: str
    methods: Sequence[str] = DEFAULT_METHODS
    by: Division = "role"
    bands: int | None = None
    precision: float = DEFAULT_PRECISION
    options: Mapping[str, Any] | None = None
    data: Path | None = None


@dataclass(frozen=True)
class SensitivityRun:
    """A run with a variant for each part of a model.

    Attributes:
        finished: Its last round.
        unusable: Recipes that cannot be applied to this model, with the reason.
    """

    finished: Finished
    unusable: tuple[tuple[str, str], ...]


def measure_sensitivity(
    request: SensitivityRequest,
    *,
    listener: Progress | None = None,
    complete: Callable[[CheckedStudy], Finished] = run_checked,
) -> SensitivityRun:
    """Compress each part of a model alone, and evaluate it until it is known which parts are the more sensitive.

    The baseline is evaluated first and alone: without enough right answers, nothing can be lost. Then all parts are
    evaluated until their drop is known roughly. Those not yet clearly in the more sensitive or the less sensitive half
    are evaluated on more items, twice. Everything is in one ordinary run, so an interrupted request resumes where it
    stopped.

    Args:
        request: The request.
        listener: Receives the stages.
        complete: Completes the missing cells of a study.

    Raises:
        UserError: The request is not valid, or the baseline knows too little of every task.
    """
    return _Measuring(request, listener or Progress(), complete).measure()


class _Measuring:
    def __init__(
        self, request: SensitivityRequest, listener: Progress, complete: Callable[[CheckedStudy], Finished]
    ) -> None:
        self._request, self._listener, self._complete = request, listener, complete
        self._steps = list(dict.fromkeys(map(step_of, request.methods)))
        if not self._steps:
            raise UserError("--methods is empty; name at least one method with its level, such as l1_unstructured:0.5")
        options = {"models": [request.model], "tasks": list(request.tasks), "output": request.output}
        self._options = {**options, **(request.options or {})}
        self._study, self._location = self._checked()

    def measure(self) -> SensitivityRun:
        checkpoint = Checkpoint(self._location)
        checkpoint.refuse_quantized()
        checkpoint.check()
        recipes, unusable = self._recipes(checkpoint)
        coarse, *finer = (min(times * self._request.precision, _WIDEST) for times in _COARSER)
        is_new = not RunStore(self._study.output).has_recipes()
        if is_new:
            self._listener.stage("the baseline")
            self._complete(self._planned((), coarse, checkpoint))
            self._check_baseline()
        checked = self._planned(recipes, coarse, checkpoint)
        if not is_new:
            # Only now is it known that the run is not another study's.
            self._check_baseline()
        self._announce(1, checked, coarse)
        finished = self._complete(checked)
        for number, precision in enumerate(finer, 2):
            asked: set[Cell] = set()
            # New answers move the boundary, so that other parts may become undecided.
            while missing := self._undecided(checked := self._planned(recipes, precision, checkpoint), asked):
                asked.update(missing)
                tasks = tuple(dict.fromkeys(cell.task for cell in missing))
                checked = replace(checked, missing=missing, unread=tasks)
                self._announce(number, checked, precision)
                finished = self._complete(checked)
        return SensitivityRun(finished, unusable)

    def _check_baseline(self) -> None:
        found = open_run(self._study.output).standings([BASELINE])
        if not found.counted:
            raise UserError(
                f"the parts of {self._request.model} cannot be compared: {found.reasons} (run: {self._study.output}); "
                "choose other tasks, or more items"
            )

    def _checked(self) -> tuple[Study, Location]:
        locations: dict[ModelReference, Location] = {}
        options = {**self._options, "recipes": [BASELINE], "evaluation.precision": self._request.precision}
        vocabulary = InstalledVocabulary(self._request.data, locations)
        study = study_from_options(options, vocabulary=vocabulary, name=argument_name)
        study = replace(study, tasks=single_tasks(study.tasks, study.task_folders))
        measured = [name for name in study.tasks if (task := find_task(name)) is not None and task.is_measured]
        refuse(f"task '{task}' has no right answers to lose; choose other tasks" for task in measured)
        return study, locations[study.models[0]]

    def _recipes(self, checkpoint: Checkpoint) -> tuple[list[Recipe], tuple[tuple[str, str], ...]]:
        """Return the recipes that fit the model, and the others with the reason.

        Raises:
            UserError: The model has no parts, or no part fits one of the methods.
        """
        request, matrices = self._request, checkpoint.matrices
        most = max(1, MOST_VARIANTS // len(self._steps))
        usable: list[Recipe] = []
        unusable: list[tuple[str, str]] = []
        for step in self._steps:
            if drops_blocks(Recipe((step,))) and request.by != "layer":
                raise UserError(f"--methods: {step.method} removes whole blocks; use it with --by layer")
            made = [Recipe((replace(step, scope=part),)) for part in self._parts(matrices, most)]
            problems = {recipe: recipe_problems(recipe, matrices, model=checkpoint.skeleton) for recipe in made}
            fits = [recipe for recipe, found in problems.items() if not found]
            if not fits:
                raise UserError(f"--methods: {problems[made[0]][0]} (model '{request.model}')")
            usable += fits
            unusable += [(str(recipe), found[0]) for recipe, found in problems.items() if found]
        return usable, tuple(unusable)

    def _parts(self, matrices: Sequence[Matrix], most: int) -> tuple[Scope, ...]:
        try:
            return model_parts(matrices, by=self._request.by, bands=self._request.bands, most=most)
        except UserError as error:
            raise UserError(f"model '{self._request.model}': {error}") from None

    def _planned(self, recipes: Sequence[Recipe], precision: float, checkpoint: Checkpoint) -> CheckedStudy:
        varied = {"recipes": [BASELINE, *map(str, recipes)], "evaluation.precision": precision}
        read, data = reader({**self._options, **varied}), self._request.data
        opened = {self._study.models[0]: checkpoint}
        return check_study(read, progress=self._listener, data=data, opened=opened)

    def _undecided(self, checked: CheckedStudy, asked: set[Cell]) -> tuple[Cell, ...]:
        """Return the cells that are not precise enough and whose order matters."""
        found = {
            (part.recipe, each.task)
            for each in open_run(checked.store.location).sensitivities
            for part in each.undecided()
        }
        missing = (cell for cell in checked.missing if cell not in asked)
        return tuple(cell for cell in missing if (str(cell.variant.recipe), cell.task) in found)

    def _announce(self, number: int, checked: CheckedStudy, precision: float) -> None:
        if checked.missing:
            cells = counted(len(checked.missing), "cell")
            points = f"{100 * precision:g}"
            which = "" if number == 1 else " whose order is undecided"
            self._listener.stage(
                f"round {number} of {len(_COARSER)}: {cells}{which}, until the drop is known to ±{points} points"
            )


def step_of(text: str) -> Step:
    """Read a method with its level and options, such as ``l1_unstructured:0.5`` or ``n_m:n=2:m=4``.

    Returns:
        A step over the whole model.

    Raises:
        UserError: The method is unknown, its level is missing or wrong, or the text has something else.
    """
    name, colon, rest = text.strip().partition(":")
    if name not in (names := METHODS.entries()):
        raise UserError(f"--methods: {unknown('method', name, names)}")
    try:
        (step,) = parse_recipe(f"{name}:overall{colon}{rest}").steps
    except (UserError, ValueError):
        raise UserError(
            f"--methods: '{text}' is not a method with a level; write METHOD:LEVEL[:key=value…] without a scope, such "
            "as l1_unstructured:0.5 or round_to_nearest:3:group_size=64"
        ) from None
    refuse(f"--methods: {problem} (in '{text}')" for problem in declared_problems(step))
    if load_method(name).declaration.follows_others:
        raise UserError(f"--methods: {name} only works after other steps, so it cannot be measured alone")
    return step
