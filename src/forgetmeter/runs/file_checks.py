"""Checks of a run's files: each is, byte by byte, what was written, and none is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from forgetmeter.errors import UserError
from forgetmeter.runs import layout
from forgetmeter.runs.record_json import is_canonical
from forgetmeter.runs.run import Run, read_run
from forgetmeter.runs.run_store import RunStore


def file_problems(location: str) -> Iterator[str]:
    """Yield what is wrong with the files of a run, one sentence each.

    Raises:
        UserError: There is no run at the location.
    """
    store = RunStore(location)
    if not store.has_study():
        store.read_study()
    paths = store.folder.list()
    for path in paths:
        if is_record(path) and not is_canonical(store.folder.read(path)):
            yield f"{path} is not as it was written: a byte was changed, or it was edited"
    try:
        run = read_run(location)
    except UserError as error:
        yield str(error)
        return
    yield from _unread(run, paths)
    yield from _missing(run, paths)


def is_record(path: str) -> bool:
    """Return whether ``path`` is one of a run's JSON files."""
    is_of_variant = layout.is_variant(path) or layout.is_noise(path) or layout.failed_cell(path) is not None
    return path == layout.STUDY or is_of_variant


def strangers(paths: Iterable[str]) -> list[str]:
    """Return the paths of files that are not part of a run."""
    return [
        path
        for path in paths
        if not is_record(path) and layout.outcomes_cell(path) is None and layout.items_task(path) is None
    ]


def _unread(run: Run, paths: Iterable[str]) -> Iterator[str]:
    read = {each.path for each in run.tasks}
    items = [path for path in paths if layout.items_task(path) is not None and path not in read]
    for path in (*items, *run.damaged):
        yield f"{path} is not as it was written: damaged, edited, or of another cell"


def _missing(run: Run, paths: Sequence[str]) -> Iterator[str]:
    done = {(each.variant, each.task) for each in run.cells} | {(each.variant, each.task) for each in run.failures}
    stored = {each.task for each in run.tasks}
    for task in run.study.tasks:
        if task not in stored and not run.study.origins:
            yield f"the items of {task} are missing"
    for variant, task in product(run.variants, run.study.tasks):
        if (variant.id, task) not in done and layout.outcomes_path(variant.id, task) not in run.damaged:
            yield f"the answers of {variant.recipe} ({variant.model}) on {task} are missing"
    for variant in run.variants:
        is_answered = any(each.variant == variant.id for each in run.cells)
        if is_answered and layout.variant_path(variant.id) not in paths:
            yield f"the record of {variant.recipe} ({variant.model}) is missing"
