"""Running a study: check everything, do what is missing, say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetmeter.config.study import Study
from forgetmeter.config.study_file import read_study_file, study_from_options
from forgetmeter.config.vocabulary import Vocabulary
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Executor, Progress, Silence
from forgetmeter.models.location import Location, locate
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.study.installed import InstalledVocabulary
from forgetmeter.study.prospect import Finished, Prospect, prospect_of

if TYPE_CHECKING:
    from forgetmeter.models.checkpoint import Checkpoint

ReadStudy = Callable[[Vocabulary | None], Study]
"""Reads a study and checks it against a vocabulary; against none, only its form."""


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
        # Imports torch and transformers, seconds that a finished study does not wait for.
        from forgetmeter.study.preparing import execute

        execute(prospect, progress or Silence(), executor)
    places = {(cell.variant.id, cell.task): place for place, cell in enumerate(prospect.plan.cells)}
    failures = tuple(
        sorted(prospect.store.failures(), key=lambda one: places.get((one.variant, one.task), len(places)))
    )
    return Finished(prospect.plan.study.output, len(prospect.plan.cells), len(prospect.missing), failures)


def check_tasks(prospect: Prospect, progress: Progress) -> None:
    """Check what ``run_prospect`` checks of the tasks before it begins; nothing is written.

    Args:
        prospect: The study.
        progress: Is told which task is being read.

    Raises:
        UserError: A task's data or the device is missing, or a model cannot be asked a task.
    """
    if prospect.missing:
        # Imports torch and transformers, seconds that a finished study does not wait for.
        from forgetmeter.study.preparing import askable_tasks

        askable_tasks(prospect, progress)


def reader(study: Path | str | Mapping[str, Any] | ReadStudy) -> ReadStudy:
    """Return a function that reads the study, whatever it is given as."""
    if isinstance(study, Mapping):
        options = dict(study)
        return lambda vocabulary: study_from_options(options, vocabulary=vocabulary)
    if isinstance(study, (str, Path)):
        path = Path(study)
        return lambda vocabulary: read_study_file(path, vocabulary=vocabulary)
    return study


def look_at(
    read: ReadStudy,
    *,
    progress: Progress | None = None,
    data: Path | None = None,
    opened: Mapping[ModelReference, Checkpoint] | None = None,
) -> Prospect:
    """Check a study and see what is missing of it; writes nothing but converted models to the cache.

    A finished study is recognized by its stored copy, without importing anything heavy.

    Args:
        read: Reads the study.
        progress: Is told of anything that takes long.
        data: The data folder of the probes, where it is named.
        opened: Models that are open already.

    Raises:
        UserError: The study is wrong, or the output folder holds something else.
    """
    locations = {model: checkpoint.location for model, checkpoint in (opened or {}).items()}
    if (known := _known(read, locations)) is not None:
        return known
    study = read(InstalledVocabulary(data, locations))
    prospect = prospect_of(study, {model: locations[model] for model in study.models})
    # Imports transformers, seconds that a study with a wrong name in it does not wait for.
    from forgetmeter.study.preparing import open_checked

    checkpoints = open_checked(study, locations, progress or Silence(), opened or {})
    return replace(prospect, checkpoints=checkpoints, data=data)


def _known(read: ReadStudy, locations: dict[ModelReference, Location]) -> Prospect | None:
    """Return the prospect of a study that was checked when its run began, if all of it is stored."""
    try:
        study = read(None)
        if not RunStore(study.output).has_study():
            return None
        for model in study.models:
            locations[model] = locations.get(model) or locate(model)
    except UserError:
        return None
    prospect = prospect_of(study, {model: locations[model] for model in study.models})
    return None if prospect.missing else prospect
