"""Runs a study: checks everything, runs the missing cells, and returns the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetmeter.basics.quiet import quiet
from forgetmeter.config.study import Study
from forgetmeter.config.study_file import read_study_file, study_from_options
from forgetmeter.config.vocabulary import Vocabulary
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Executor, Progress
from forgetmeter.executors.registry import check_executor, executor_named
from forgetmeter.models.location import Location, locate
from forgetmeter.probes.lm_eval.own_folders import own_task_files
from forgetmeter.probes.lm_eval.prompting import Prompting
from forgetmeter.probes.loading import load_task, single_tasks, task_groups, task_problems
from forgetmeter.probes.registry import is_declared
from forgetmeter.records.item import valid_items
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.suggestion import refuse_type
from forgetmeter.study import planned_tasks
from forgetmeter.study.checked_study import CheckedStudy, Finished, plan_study, stored_tasks
from forgetmeter.study.installed import InstalledVocabulary

if TYPE_CHECKING:
    from forgetmeter.models.checkpoint import Checkpoint
    from forgetmeter.results.summary import TaskSummary

ReadStudy = Callable[[Vocabulary | None], Study]
"""Reads a study and checks it against a vocabulary; without one, checks only its form."""


@quiet()
def run(
    study: Path | str | Mapping[str, Any] | ReadStudy,
    *,
    progress: Progress | None = None,
    executor: Executor | str = "local",
    workers: int | None = None,
    address: str | None = None,
    time_limit: float | None = None,
    data: Path | None = None,
) -> Finished:
    """Run the missing cells of a study.

    Args:
        study: A YAML file, the same as a mapping by dotted key, or a function that reads one.
        progress: Progress listener.
        executor: Runs the cells, given as an object or by name; by default on this machine.
        workers: Number of evaluation processes, if the executor is given by name; by default only the calling process.
        address: The cluster to run on, if the executor named has one.
        time_limit: Seconds that a cell may take, with loading its model and compressing it, if the executor is given
            by name; by default, there is no limit.
        data: Data folder of the probes; by default ``FORGETMETER_DATA``, else ``data`` in the cache folder.

    Raises:
        UserError: The study is not valid; raised before any work. Or the executor left out a cell.
    """
    if isinstance(executor, str):
        check_executor(executor, workers, time_limit)
    checked = check_study(reader(study), progress=progress, data=data)
    return run_checked(
        checked, progress=progress, executor=executor, workers=workers, address=address, time_limit=time_limit
    )


def run_checked(
    checked: CheckedStudy,
    *,
    progress: Progress | None = None,
    executor: Executor | str = "local",
    workers: int | None = None,
    address: str | None = None,
    time_limit: float | None = None,
) -> Finished:
    """Run the missing cells of a checked study.

    Raises:
        UserError: A task's data or the device is missing; raised before any work.
    """
    computed = 0
    if checked.unread:
        # Imports torch and transformers, which take seconds and are not needed for a finished study.
        from forgetmeter.study.preparing import execute

        if isinstance(executor, str):
            executor = executor_named(executor, workers=workers, address=address, time_limit=time_limit)
        computed = execute(checked, progress or Progress(), executor)
    elif checked.store.changes(checked.document):
        # All that was missing is left out.
        checked.store.open_study(checked.document)
    places = {(cell.variant.id, cell.task): place for place, cell in enumerate(checked.plan.cells)}
    failures = tuple(sorted(checked.store.failures(), key=lambda one: places.get((one.variant, one.task), len(places))))
    return Finished(checked.plan.study.output, len(checked.plan.cells), computed, failures)


def check_tasks(checked: CheckedStudy, progress: Progress) -> tuple[TaskSummary, ...]:
    """Run the checks of tasks that ``run_checked`` starts with, and estimate its amount; nothing is written.

    Returns:
        The tasks with right answers, with the number of their items.

    Raises:
        UserError: A task's data or the device is missing, or a model does not support a task.
    """
    if checked.unread:
        # Imports torch and transformers, which take seconds and are not needed for a finished study.
        from forgetmeter.study.preparing import estimate

        return planned_tasks.planned_tasks(checked, estimate(checked, progress))
    return planned_tasks.planned_tasks(checked, {})


def _as_in_yaml(key: str, value: Any) -> Any:  # noqa: ANN401
    """Return a value of a study with paths as texts; a single model, recipe or task need not be a list."""
    if isinstance(value, Mapping):
        return {inner: _as_in_yaml("", each) for inner, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_in_yaml("", each) for each in value]
    text = str(value) if isinstance(value, Path) else value
    return [text] if key in ("models", "recipes", "tasks") and isinstance(text, str) else text


def reader(study: Path | str | Mapping[str, Any] | ReadStudy) -> ReadStudy:
    """Return a function that reads the study from any of its forms."""
    if isinstance(study, Mapping):
        options = {key: _as_in_yaml(key, value) for key, value in study.items()}
        return lambda vocabulary: study_from_options(options, vocabulary=vocabulary, name=str)
    if isinstance(study, (str, Path)):
        path = Path(study)
        return lambda vocabulary: read_study_file(path, vocabulary=vocabulary)
    if not callable(study):
        refuse_type("study", study, str, Path, Mapping)
    return study


def check_study(
    read: ReadStudy,
    *,
    progress: Progress | None = None,
    data: Path | None = None,
    opened: Mapping[ModelReference, Checkpoint] | None = None,
) -> CheckedStudy:
    """Check a study and find its missing cells; writes nothing except converted models to the cache.

    A finished study is recognized by its stored copy, without heavy imports.

    Raises:
        UserError: The study is not valid, or the output folder holds something else.
    """
    locations = {model: checkpoint.location for model, checkpoint in (opened or {}).items()}
    if (known := _known(read(None), locations, data)) is not None:
        return known
    # Imports of torch and transformers take seconds, and mistakes in names are found without.
    read(InstalledVocabulary(data, locations, names_only=True))
    study = read(InstalledVocabulary(data, locations))
    study = with_single_tasks(study)
    checked = plan_study(study, {model: locations[model] for model in study.references}, data)
    _check_finished_tasks(checked, data)
    # Imports transformers, which takes seconds; studies with unknown names fail before.
    from forgetmeter.study.preparing import open_checked, open_engines, refuse_changed_methods

    refuse_changed_methods(checked)
    checkpoints = open_checked(study, locations, progress or Progress(), opened or {})
    # The run may know a model by another name.
    names = checked.plan.study.references
    pairs = list(zip(study.references, names, strict=True))
    named = {name: checkpoints[model] for model, name in pairs if model in checkpoints}
    for change in (*checked.store.changes(checked.document), *checked.store.other_versions(checked.document)):
        (progress or Progress()).stage(change)
    checked = replace(checked, checkpoints=named)
    given = {name: model for model, name in pairs if model not in checkpoints}
    return replace(checked, engines=open_engines(checked, given))


def with_single_tasks(study: Study) -> Study:
    """Return a study with the tasks of its groups in their place."""
    groups = task_groups(study.tasks, study.task_folders)
    return replace(study, tasks=single_tasks(study.tasks, study.task_folders), groups=groups)


def _known(study: Study, locations: dict[ModelReference, Location], data: Path | None) -> CheckedStudy | None:
    """Return a checked study if its run is complete; it was checked when the run started."""
    try:
        store = RunStore(study.output)
        if not store.has_study():
            return None
        stored = stored_tasks(store)
        # Finding a group takes a second, which is not needed for the tasks of the run.
        if not all(is_declared(name) or name in stored for name in study.tasks):
            study = with_single_tasks(study)
        for model in study.references:
            locations[model] = locations.get(model) or locate(model)
        # A run of another study may be due to a misspelled name, which only the whole check finds.
        checked = plan_study(study, {model: locations[model] for model in study.references}, data)
    except UserError:
        return None
    if checked.missing:
        return None
    _check_finished_tasks(checked, data)
    return checked


def _check_finished_tasks(checked: CheckedStudy, data: Path | None) -> None:
    """Check that the data of tasks without missing cells is still the same, if it can be read without a download.

    lm-eval's tasks, which take seconds to load, are not compared, except those that the study's folders define, nor are
    tasks whose data has been removed.

    Raises:
        UserError: A task's data changed since the run started, or cannot be read.
    """
    study = checked.plan.study
    for name in study.tasks:
        path = checked.paths.get(name, name)
        if name in checked.unread or not _may_have_changed(path, study):
            continue
        if not task_problems(path, data=data, folders=study.task_folders):
            prompting = Prompting(study.evaluation.num_fewshot, study.evaluation.system_instruction)
            task = load_task(
                path, limit=study.evaluation.limit, data=data, prompting=prompting, folders=study.task_folders
            )
            checked.store.check_items(replace(task.description, name=name), valid_items(task))


def _may_have_changed(task: str, study: Study) -> bool:
    """Return whether a task's items are compared with stored ones; those in a chat template need the tokenizer."""
    with suppress(UserError):
        is_own = not is_declared(task) and task in own_task_files(study.task_folders)
        return is_declared(task) or (is_own and not study.evaluation.chat_template)
    return False
