"""Prepares the models and tasks of a study: checks from shapes alone, loads items, and starts the executor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from forgetmeter.basics.plural import counted
from forgetmeter.compression.applying.recipe_problems import meaning, needs_activations, recipe_problems
from forgetmeter.compression.registry import load_method, recorded_facts
from forgetmeter.config.study import Study
from forgetmeter.engines.external_engine import ExternalEngine
from forgetmeter.engines.opening import engine_problems, open_engine
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.executors.executor import Executor, Progress, Work
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.checks.same_vocabulary import vocabulary_difference
from forgetmeter.models.loading import resolve_device
from forgetmeter.models.location import Location
from forgetmeter.probes.lm_eval.prompting import Prompting
from forgetmeter.probes.loading import load_task
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Task, is_compared, valid_items
from forgetmeter.records.question_key import shared_questions
from forgetmeter.runs.identity import SHARED
from forgetmeter.scoring.asked import unsupported_reason
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.scoring.calibration import calibration_calls
from forgetmeter.specs.method_facts import BY_NAME
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe
from forgetmeter.study.amount import tokens_to_read
from forgetmeter.study.chat_template import chat_template_of
from forgetmeter.study.checked_study import CheckedStudy, stored_tasks


def open_checked(
    study: Study,
    locations: Mapping[ModelReference, Location],
    progress: Progress,
    opened: Mapping[ModelReference, Checkpoint],
) -> dict[ModelReference, Checkpoint]:
    """Open the models of a study, and check that each can be loaded and that each recipe fits it.

    Engines are not among them; recipes for one are reported.

    Raises:
        UserError: A model cannot be loaded or a recipe does not fit; lists all problems.
    """
    models = (model for model in study.references if model.source != "engine")
    checkpoints = {model: opened.get(model) or Checkpoint(locations[model]) for model in models}
    problems = [problem for model in study.references if model not in checkpoints for problem in engine_problems(model)]
    problems += (
        f"recipe '{recipe}': an engine's weights cannot be changed; apply the recipe to a checkpoint"
        for _, recipe in study.candidates
        if recipe.steps and recipe.candidate not in checkpoints
    )
    # The effect of each recipe on each model in turn.
    meanings: dict[Recipe, list[Hashable]] = defaultdict(list)
    for model, checkpoint in checkpoints.items():
        if not checkpoint.is_described:
            progress.stage(f"reading the header of {checkpoint.location.path.name}")
        recipes, needs_text = _applied_to(model, study), False
        if any(recipe.steps for recipe in recipes):
            checkpoint.refuse_quantized()
        checkpoint.check()
        max_length(checkpoint.skeleton, checkpoint.tokenizer, checkpoint.name)
        for recipe in recipes:
            found = recipe_problems(recipe, checkpoint.matrices, model=checkpoint.skeleton)
            problems.extend(f"{problem} (model {model})" for problem in found)
            if not found and recipe.candidate is None:
                meanings[recipe].append(meaning(recipe, checkpoint.matrices))
            needs_text |= not found and needs_activations(recipe)
        if needs_text:
            problems += _text_problems(checkpoint, study)
    problems += _repeated(study, meanings)
    if problems:
        raise ManyUserError(list(dict.fromkeys(problems)))
    return checkpoints


def _text_problems(checkpoint: Checkpoint, study: Study) -> Iterator[str]:
    """Yield the problem of a model with the calibration text, if there is one."""
    try:
        calibration_calls(checkpoint, study.evaluation.calibration)
    except UserError as error:
        yield str(error)


def _applied_to(source: ModelReference, study: Study) -> tuple[Recipe, ...]:
    """Return the recipes whose steps are applied to a model or candidate."""
    of_candidate = (recipe for _, recipe in study.candidates if recipe.candidate == source)
    return tuple(dict.fromkeys([*(study.recipes if source in study.models else ()), *of_candidate]))


def _repeated(study: Study, meanings: Mapping[Recipe, Sequence[Hashable]]) -> Iterator[str]:
    """Report recipes that are equivalent in every model, which would count twice."""
    first: dict[Hashable, Recipe] = {}
    for recipe, each in meanings.items():
        if len(each) == len(study.models) and (other := first.setdefault(tuple(each), recipe)) != recipe:
            yield f"recipes '{other}' and '{recipe}' have the same effect on every model of the study; keep only one"


def refuse_changed_methods(checked: CheckedStudy) -> None:
    """Check that a run does not mix answers of a method with those of an earlier version that answered otherwise.

    Raises:
        UserError: It would.
    """
    if not checked.store.has_study():
        return
    stored, cells = checked.store.read_study().methods, checked.plan.cells
    methods = dict.fromkeys(step.method for cell in cells for step in cell.variant.recipe.steps)
    for method in methods:
        if stored.get(method, BY_NAME).revision == load_method(method).declaration.revision:
            continue
        its = [cell for cell in cells if any(step.method == method for step in cell.variant.recipe.steps)]
        left = set(checked.to_score())
        if any(cell in left for cell in its) and any(checked.store.has_outcomes(cell) for cell in its):
            raise UserError(
                f"the run at '{checked.store.location}' has answers of '{method}' by an earlier version of "
                "forgetmeter, which computed them differently, so new ones cannot be added; choose another --out"
            )


def execute(checked: CheckedStudy, progress: Progress, executor: Executor) -> int:
    """Run the missing cells of a study, and return how many of them had to be scored.

    Raises:
        UserError: A task's data or the device is missing; raised before any work. Or the executor left out a cell.
    """
    study, store = checked.plan.study, checked.store
    tasks = supported_tasks(checked, progress)
    for name, task in tasks.items():
        store.check_items(replace(task.description, name=name), valid_items(task))
    _convert(checked, tasks, progress)
    packed = {str(model): each.packed for model, each in checked.checkpoints.items()}
    sources = {model: asdict(source) for model, source in packed.items() if source is not None}
    shared = _shared_questions(checked, tasks, progress)
    # Not part of ``identity``, so that finished runs of earlier versions, which lack these, are recognized.
    records = {"methods": recorded_facts(study.recipes), "sources": sources, **({SHARED: shared} if shared else {})}
    store.open_study({**checked.document, **records})
    for name, task in tasks.items():
        store.write_items(replace(task.description, name=name), valid_items(task))
    to_score = checked.to_score()
    progress.amount(tokens_to_read(checked, tasks))
    stop = checked.plan.stop
    work = Work(checked.missing, tasks, checked.checkpoints, study.evaluation, store, checked.engines, stop)
    executor.execute(work, progress)
    _check_stored(to_score, work, type(executor))
    _check_listed(checked)
    return len(to_score)


def _check_listed(checked: CheckedStudy) -> None:
    """Check that the run lists the study's variants: another study may have extended it at the same moment.

    Raises:
        UserError: It does not.
    """
    missing = checked.store.unlisted(checked.document)
    if missing:
        raise UserError(
            f"another study extended the run at '{checked.store.location}' at the same moment, so it does not list "
            f"{counted(missing, 'variant')} of this one, whose answers are stored; repeat the command with the "
            "models, recipes and tasks of both studies"
        )


def _check_stored(cells: Sequence[Cell], work: Work, executor: type) -> None:
    left = work.unstored(cells)
    if left:
        if executor.__module__.startswith("forgetmeter."):
            raise UserError(
                f"the answers of {counted(len(left), 'cell')}, such as '{left[0].variant.recipe}' on '{left[0].task}', "
                f"are missing or damaged, although they were stored in '{work.store.location}': something else changed "
                "its files; run the same command again to compute them anew"
            )
        raise UserError(
            f"executor {executor.__name__} stored neither outcomes nor a failure for {counted(len(left), 'cell')}, "
            f"such as '{left[0].variant.recipe}' on '{left[0].task}'; it must call write_outcomes or write_failure for "
            "each"
        )


def estimate(checked: CheckedStudy, progress: Progress) -> dict[str, Task]:
    """Load the tasks of missing cells, check that each model supports them, and report the amount to read.

    Returns:
        The tasks that were loaded, by name.

    Raises:
        UserError: As for ``supported_tasks``.
    """
    tasks = supported_tasks(checked, progress)
    progress.amount(tokens_to_read(checked, tasks))
    return tasks


def open_engines(
    checked: CheckedStudy, given: Mapping[ModelReference, ModelReference]
) -> dict[ModelReference, ExternalEngine]:
    """Return the engines that answer missing cells; they start when they are first asked.

    Args:
        checked: The study.
        given: The references that were given for its engines, by those that its run has for them.

    Raises:
        UserError: An argument is missing or wrong.
    """
    engines, device = {}, checked.plan.study.evaluation.device
    for variant in dict.fromkeys(cell.variant for cell in checked.missing):
        if variant.source not in checked.checkpoints:
            engines[variant.source] = open_engine(
                given[variant.source], checked.checkpoints[variant.model], device=device
            )
    return engines


def _convert(checked: CheckedStudy, tasks: Mapping[str, Task], progress: Progress) -> None:
    """Convert the packed models of missing cells, and the baselines that these are compared with.

    Raises:
        UserError: One of them cannot be converted.
    """
    compared = {name for name, task in tasks.items() if is_compared(task.items)}
    sources = (cell.variant.source for cell in checked.missing)
    baselines = (cell.variant.model for cell in checked.missing if cell.task in compared)
    for model in dict.fromkeys([*sources, *baselines]):
        checkpoint = checked.checkpoints.get(model)
        if checkpoint is not None and not checkpoint.is_converted:
            progress.stage(f"converting {Path(checkpoint.name).name} to plain weights, once")
            _ = checkpoint.folder


def supported_tasks(checked: CheckedStudy, progress: Progress) -> dict[str, Task]:
    """Load the tasks of a checked study, and check that each model supports those of its missing cells.

    Raises:
        UserError: A task's data or the device is missing, a model does not support a task, or an engine's answers to a
            known text are wrong.
    """
    resolve_device(checked.plan.study.evaluation.device)
    for remark in _other_architectures(checked):
        progress.stage(remark)
    tasks = _load_tasks(checked, progress)
    _check_supported(checked, tasks)
    for model, engine in checked.engines.items():
        progress.stage(f"starting {engine.name}, and checking its answers on a known text")
        wanted = dict.fromkeys(cell.task for cell in checked.missing if cell.variant.source == model)
        engine.check(item for name in wanted for item in tasks[name].items)
    return tasks


def _other_architectures(checked: CheckedStudy) -> Iterator[str]:
    """Say which candidates are not of their baseline's architecture, so that more than compression may differ."""
    variants = (cell.variant for cell in checked.missing if cell.variant.recipe.candidate is not None)
    for model, candidate in dict.fromkeys((variant.model, variant.source) for variant in variants):
        if candidate in checked.checkpoints:
            before, now = (checked.checkpoints[each].config.model_type for each in (model, candidate))
            if before != now:
                yield (
                    f"candidate '{candidate}' has a different architecture ({now}) from its baseline '{model}' "
                    f"({before})"
                )


def _check_supported(checked: CheckedStudy, tasks: Mapping[str, Task]) -> None:
    problems = []
    for model in dict.fromkeys(cell.variant.source for cell in checked.missing):
        wanted = dict.fromkeys(cell.task for cell in checked.missing if cell.variant.source == model)
        reasons = {name: _unsupported(tasks[name], model, checked) for name in wanted}
        problems += [f"task '{name}': model '{model}' {reason}" for name, reason in reasons.items() if reason]
    problems += _other_vocabularies(checked, tasks)
    if problems:
        raise ManyUserError(problems)


def _unsupported(task: Task, model: ModelReference, checked: CheckedStudy) -> str | None:
    if model in checked.engines:
        return checked.engines[model].unsupported_reason(task.items)
    checkpoint = checked.checkpoints[model]
    longest = max_length(checkpoint.skeleton, checkpoint.tokenizer, checkpoint.name)
    return unsupported_reason(task.items, checkpoint.family, checkpoint.tokenizer, longest=longest)


def _prompting(checked: CheckedStudy) -> Prompting:
    """Return the settings of prompts; candidates get those of their baseline, so that all answer the same items."""
    study = checked.plan.study
    evaluation = study.evaluation
    template = None
    if evaluation.chat_template:
        (model,) = study.models
        template = chat_template_of(
            checked.checkpoints[model].tokenizer, str(model), system_instruction=evaluation.system_instruction
        )
    return Prompting(evaluation.num_fewshot, evaluation.system_instruction, template)


def _other_vocabularies(checked: CheckedStudy, tasks: Mapping[str, Task]) -> Iterator[str]:
    """Report candidates whose tokens differ from those of the baseline that they are compared with token by token."""
    compared = {name for name, task in tasks.items() if is_compared(task.items)}
    cells = (cell for cell in checked.missing if cell.task in compared and cell.variant.recipe.candidate is not None)
    for model, candidate, task in dict.fromkeys((cell.variant.model, cell.variant.source, cell.task) for cell in cells):
        if candidate not in checked.checkpoints:
            continue
        tokenizers = (checked.checkpoints[each].tokenizer for each in (model, candidate))
        if (difference := vocabulary_difference(*tokenizers)) is not None:
            yield (
                f"task '{task}': model '{model}' and its candidate '{candidate}' have different vocabularies "
                f"({difference}), so their predictions cannot be compared token by token; remove "
                "the candidate or the task, or use perplexity"
            )


def _shared_questions(checked: CheckedStudy, tasks: Mapping[str, Task], progress: Progress) -> list[list[str]]:
    """Return the pairs of tasks with many questions in common of which one is new, and say so."""
    stored, names = stored_tasks(checked.store), checked.plan.study.tasks
    new = [name for name in tasks if name not in stored]
    if not new or len(names) < 2:
        return []
    prompting, every = _prompting(checked), dict[str, Task]()
    for name in names:
        # Stored answers of a task whose data is gone can still be read.
        with suppress(UserError):
            every[name] = tasks[name] if name in tasks else _loaded(checked, name, prompting)
    shared = shared_questions({name: task.items for name, task in every.items()}, new)
    for (one, other), number in shared.items():
        progress.stage(
            f"'{one}' and '{other}' have {counted(number, 'question')} in common; where tasks count together, "
            "these would count twice"
        )
    return [list(pair) for pair in shared]


def _loaded(checked: CheckedStudy, name: str, prompting: Prompting) -> Task:
    return load_task(
        checked.paths.get(name, name),
        limit=checked.plan.study.evaluation.limit,
        data=checked.data,
        prompting=prompting,
        folders=checked.plan.study.task_folders,
    )


def _load_tasks(checked: CheckedStudy, progress: Progress) -> dict[str, Task]:
    tasks, problems = {}, []
    prompting = _prompting(checked)
    for name in checked.unread:
        progress.stage(f"reading task {name}")
        try:
            tasks[name] = _loaded(checked, name, prompting)
        except UserError as error:
            problems.append(str(error))
            continue
        for remark in tasks[name].description.remarks:
            progress.stage(remark)
    if problems:
        raise ManyUserError(problems)
    return tasks
