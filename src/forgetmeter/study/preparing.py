"""What running a study takes of its models and tasks: checks by shape alone, items, and the work itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence

from forgetmeter.compression.applying.recipe_problems import meaning, recipe_problems
from forgetmeter.compression.table import recorded_facts
from forgetmeter.config.study import Study
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.executors.executor import Executor, Progress, Work
from forgetmeter.executors.local import LocalExecutor
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.gguf_conversion import is_converted
from forgetmeter.models.loading import resolve_device
from forgetmeter.models.location import Location
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import Task
from forgetmeter.scoring.asked import unaskable
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe
from forgetmeter.study.prospect import Prospect


def open_checked(
    study: Study,
    locations: Mapping[ModelReference, Location],
    progress: Progress,
    opened: Mapping[ModelReference, Checkpoint],
) -> dict[ModelReference, Checkpoint]:
    """Open the models of a study, and check that each can be loaded and that each recipe finds its matrices in it.

    Args:
        study: The study.
        locations: Where its models are.
        progress: Is told of anything that takes long.
        opened: Those of them that are open already.

    Raises:
        UserError: A model or a recipe is wrong; every problem at once.
    """
    checkpoints = {model: opened.get(model) or Checkpoint(locations[model]) for model in study.models}
    problems: list[str] = []
    # By what a recipe does to each of the models in turn.
    meanings: dict[Recipe, list[Hashable]] = defaultdict(list)
    for model, checkpoint in checkpoints.items():
        if not is_converted(checkpoint.location):
            progress.stage(f"converting {checkpoint.location.path.name} to safetensors, once")
        checkpoint.check()
        for recipe in study.recipes:
            found = recipe_problems(recipe, checkpoint.matrices, given="activations")
            problems.extend(f"{problem} (model {model})" for problem in found)
            if not found:
                meanings[recipe].append(meaning(recipe, checkpoint.matrices))
    problems += _repeated(study, meanings)
    if problems:
        raise ManyUserError(list(dict.fromkeys(problems)))
    return checkpoints


def _repeated(study: Study, meanings: Mapping[Recipe, Sequence[Hashable]]) -> Iterator[str]:
    """Name the recipes that are the same one in every model, so that one of them would count twice."""
    first: dict[Hashable, Recipe] = {}
    for recipe, each in meanings.items():
        if len(each) == len(study.models) and (other := first.setdefault(tuple(each), recipe)) != recipe:
            yield f"recipes '{other}' and '{recipe}' do the same to every model of the study; name one of them"


def execute(prospect: Prospect, progress: Progress, executor: Executor | None) -> None:
    """Do what is missing of a study.

    Args:
        prospect: The study.
        progress: Is told how it goes.
        executor: Does the cells; by default in this process.

    Raises:
        UserError: A task's data cannot be had, or the device is not there; nothing has been done then.
    """
    study, store = prospect.plan.study, prospect.store
    tasks = askable_tasks(prospect, progress)
    # Outside of ``identity``, so that a finished run of an earlier version, which has no methods, is recognised.
    store.open_study({**prospect.document, "methods": recorded_facts(study.recipes)})
    for task in tasks.values():
        # What no model can be asked has no chance of being guessed, either.
        store.write_items(task.description, [item for item in task.items if item.problem is None])
    work = Work(prospect.missing, tasks, prospect.checkpoints, study.evaluation, store)
    (executor or LocalExecutor()).execute(work, progress)


def askable_tasks(prospect: Prospect, progress: Progress) -> dict[str, Task]:
    """Load the tasks that still have cells to do, and check that each model can be asked them.

    Args:
        prospect: The study.
        progress: Is told which task is being read.

    Raises:
        UserError: A task's data or the device is missing, or a model cannot be asked a task.
    """
    resolve_device(prospect.plan.study.evaluation.device)
    tasks = _load_tasks(prospect, progress)
    _check_askable(prospect, tasks)
    return tasks


def _check_askable(prospect: Prospect, tasks: Mapping[str, Task]) -> None:
    """Check that each model can be asked each task that it still has to be asked."""
    problems = []
    for model in dict.fromkeys(cell.variant.model for cell in prospect.missing):
        checkpoint = prospect.checkpoints[model]
        wanted = dict.fromkeys(cell.task for cell in prospect.missing if cell.variant.model == model)
        reasons = {name: unaskable(tasks[name].items, checkpoint.family, checkpoint.tokenizer) for name in wanted}
        problems += [f"task '{name}': model '{model}' {reason}" for name, reason in reasons.items() if reason]
    if problems:
        raise ManyUserError(problems)


def _load_tasks(prospect: Prospect, progress: Progress) -> dict[str, Task]:
    """Load the tasks that still have cells to do; all problems at once."""
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
