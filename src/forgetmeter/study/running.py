"""Running a study: check everything, do what is missing, say what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetmeter.config.study import Study
from forgetmeter.config.study_file import read_study_file, study_from_options
from forgetmeter.config.vocabulary import Vocabulary
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.executors.executor import Executor, Progress, Work
from forgetmeter.models.location import Location, locate
from forgetmeter.plan.planning import Plan, make_plan
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Task
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe
from forgetmeter.store.failure import Failure
from forgetmeter.store.run_store import RunStore
from forgetmeter.study.document import study_document
from forgetmeter.study.silence import Silence
from forgetmeter.study.vocabulary import InstalledVocabulary

ReadStudy = Callable[[Vocabulary | None], Study]
"""Reads a study and checks it against a vocabulary; against none, only its form."""


@dataclass(frozen=True)
class Prospect:
    """A study that was looked at but not begun.

    Attributes:
        plan: Its cells.
        missing: The cells that are not stored yet, or whose variant's or items' record is not.
        locations: Where its models are.
        store: Where its run is or will be.
        data: The data folder of the probes, where it was named.
    """

    plan: Plan
    missing: tuple[Cell, ...]
    locations: Mapping[ModelReference, Location]
    store: RunStore
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


def run(
    study: Path | str | Mapping[str, Any] | ReadStudy,
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
    data: Path | None = None,
) -> Finished:
    """Run a study, or what is missing of it.

    Args:
        study: A YAML file, the same as a mapping by dotted key, or a function that reads one.
        progress: Is told how it goes.
        executor: Does the cells; by default in this process.
        data: The data folder of the probes; by default ``FORGETMETER_DATA``, else ``data`` in the cache folder.

    Raises:
        UserError: The study is wrong; nothing has been done then.
    """
    prospect = look_at(reader(study), progress=progress, data=data)
    return run_prospect(prospect, progress=progress, executor=executor)


def run_prospect(prospect: Prospect, *, progress: Progress | None = None, executor: Executor | None = None) -> Finished:
    """Do what is missing of a study that was looked at.

    Args:
        prospect: What ``look_at`` found.
        progress: Is told how it goes.
        executor: Does the cells; by default in this process.

    Raises:
        UserError: A task's data cannot be had, or the device is not there; nothing has been done then.
    """
    if prospect.missing:
        _execute(prospect, progress or Silence(), executor)
    places = {(cell.variant.id, cell.task): place for place, cell in enumerate(prospect.plan.cells)}
    failures = tuple(
        sorted(prospect.store.failures(), key=lambda one: places.get((one.variant, one.task), len(places)))
    )
    return Finished(prospect.plan.study.output, len(prospect.plan.cells), len(prospect.missing), failures)


def reader(study: Path | str | Mapping[str, Any] | ReadStudy) -> ReadStudy:
    """Return a function that reads the study, whatever it is given as."""
    if isinstance(study, Mapping):
        options = dict(study)
        return lambda vocabulary: study_from_options(options, vocabulary=vocabulary)
    if isinstance(study, (str, Path)):
        path = Path(study)
        return lambda vocabulary: read_study_file(path, vocabulary=vocabulary)
    return study


def look_at(read: ReadStudy, *, progress: Progress | None = None, data: Path | None = None) -> Prospect:
    """Check a study and see what is missing of it; writes nothing but converted models to the cache.

    A finished study is recognized by its stored copy, without importing anything heavy.

    Args:
        read: Reads the study.
        progress: Is told of anything that takes long.
        data: The data folder of the probes, where it is named.

    Raises:
        UserError: The study is wrong, or the output folder holds something else.
    """
    if (known := _known(read)) is not None:
        return known
    vocabulary = InstalledVocabulary(data)
    study = read(vocabulary)
    prospect = _prospect(study, vocabulary.locations)
    _check_models(study, vocabulary.locations, progress or Silence())
    return replace(prospect, data=data)


def _known(read: ReadStudy) -> Prospect | None:
    """Return the prospect of a study that was checked when its run began, if all of it is stored."""
    try:
        study = read(None)
        if not RunStore(study.output).has_study():
            return None
        locations = {model: locate(model) for model in study.models}
    except UserError:
        return None
    prospect = _prospect(study, locations)
    return None if prospect.missing else prospect


def _prospect(study: Study, locations: Mapping[ModelReference, Location]) -> Prospect:
    plan = make_plan(study, {model: location.identity for model, location in locations.items()})
    store = RunStore(study.output)
    store.check_study(_document(plan, locations))
    wants_noise = plan.study.evaluation.noise_floor
    missing = tuple(
        cell
        for cell in plan.cells
        if not (store.is_done(cell) and store.has_records(cell)) or store.needs_noise(cell, is_wanted=wants_noise)
    )
    return Prospect(plan, missing, locations, store)


def _document(plan: Plan, locations: Mapping[ModelReference, Location]) -> dict[str, Any]:
    return study_document(plan, {model: location.identity for model, location in locations.items()})


def _check_models(study: Study, locations: Mapping[ModelReference, Location], progress: Progress) -> None:
    """Check that each model can be loaded and that each recipe finds its matrices in it, by its shape alone."""
    from forgetmeter.compression.applying.recipe_problems import meaning, recipe_problems
    from forgetmeter.models.gguf_conversion import is_converted
    from forgetmeter.models.loading import check_loadable
    from forgetmeter.models.weight_map import weight_map

    problems: list[str] = []
    # By what a recipe does to each of the models in turn.
    meanings: dict[Recipe, list[Hashable]] = defaultdict(list)
    for model in study.models:
        location = locations[model]
        if not is_converted(location):
            progress.stage(f"converting {location.path.name} to safetensors, once")
        matrices = weight_map(check_loadable(location))
        for recipe in study.recipes:
            found = recipe_problems(recipe, matrices, given="activations")
            problems.extend(f"{problem} (model {model})" for problem in found)
            if not found:
                meanings[recipe].append(meaning(recipe, matrices))
    problems += _repeated(study, meanings)
    if problems:
        raise ManyUserError(list(dict.fromkeys(problems)))


def _repeated(study: Study, meanings: Mapping[Recipe, Sequence[Hashable]]) -> Iterator[str]:
    """Name the recipes that are the same one in every model, so that one of them would count twice."""
    first: dict[Hashable, Recipe] = {}
    for recipe, each in meanings.items():
        if len(each) == len(study.models) and (other := first.setdefault(tuple(each), recipe)) != recipe:
            yield f"recipes '{other}' and '{recipe}' do the same to every model of the study; name one of them"


def _execute(prospect: Prospect, progress: Progress, executor: Executor | None) -> None:
    from forgetmeter.compression.table import recorded_facts
    from forgetmeter.executors.local import LocalExecutor
    from forgetmeter.models.loading import resolve_device

    study, store = prospect.plan.study, prospect.store
    resolve_device(study.evaluation.device)
    tasks = _load_tasks(prospect, progress)
    _check_askable(prospect, tasks)
    # Outside ``identity``: a run of an earlier version, which has no methods, is recognised all the same.
    methods = recorded_facts(study.recipes)
    store.open_study({**_document(prospect.plan, prospect.locations), "methods": methods})
    for task in tasks.values():
        # What no model can be asked has no chance of being guessed, either.
        store.write_items(task.description, [item for item in task.items if item.problem is None])
    work = Work(prospect.missing, tasks, prospect.locations, study.evaluation, store)
    (executor or LocalExecutor()).execute(work, progress)


def _check_askable(prospect: Prospect, tasks: Mapping[str, Task]) -> None:
    """Check that each model can be asked each task that it still has to be asked."""
    from forgetmeter.models.family import family_of
    from forgetmeter.models.loading import folder_of, load_tokenizer
    from forgetmeter.models.pretrained import load_config
    from forgetmeter.scoring.support import unaskable

    problems = []
    for model in dict.fromkeys(cell.variant.model for cell in prospect.missing):
        location = prospect.locations[model]
        family = family_of(load_config(folder_of(location), str(model)), str(model))
        tokenizer = load_tokenizer(location)
        wanted = dict.fromkeys(cell.task for cell in prospect.missing if cell.variant.model == model)
        reasons = {name: unaskable(tasks[name].items, family, tokenizer) for name in wanted}
        problems += [f"task '{name}': model '{model}' {reason}" for name, reason in reasons.items() if reason]
    if problems:
        raise ManyUserError(problems)


def _load_tasks(prospect: Prospect, progress: Progress) -> dict[str, Task]:
    """Load the tasks that still have cells to do; all problems at once."""
    from forgetmeter.probes.table import load_task

    wanted = dict.fromkeys(cell.task for cell in prospect.missing)
    tasks, problems = {}, []
    for name in wanted:
        progress.stage(f"reading task {name}")
        try:
            tasks[name] = load_task(name, limit=prospect.plan.study.evaluation.limit, data=prospect.data)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise ManyUserError(problems)
    return tasks
