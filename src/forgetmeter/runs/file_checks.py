"""Checks of a run's files: each is, byte by byte, what was written, and none is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import product

from forgetmeter.runs import layout
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.runs.record_json import is_canonical
from forgetmeter.runs.run import Run
from forgetmeter.specs.recipe import BASELINE


def edited_records(folder: RunFolder, paths: Iterable[str]) -> Iterator[str]:
    """Yield which of a run's JSON files are not as they were written, one sentence each."""
    for path in paths:
        if is_record(path) and not is_canonical(folder.read(path)):
            yield f"{path} is not as it was written: a byte was changed, or it was edited"


def file_problems(run: Run, paths: Collection[str]) -> Iterator[str]:
    """Yield which files of a run are damaged, missing or not of its study, one sentence each.

    Args:
        run: The run.
        paths: Paths of all files in its folder.
    """
    yield from _unread(run, paths)
    yield from _missing(run, frozenset(paths))
    yield from _unnamed(run, paths)


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


def _missing(run: Run, paths: Collection[str]) -> Iterator[str]:
    stored = {each.task for each in run.tasks}
    for task in run.study.tasks:
        if task not in stored and layout.items_path(task) not in paths and not run.study.origins:
            yield f"the items of {task} are missing"
    known = {(each.variant, each.task) for each in run.cells} | {(each.variant, each.task) for each in run.failures}
    answered = {each.variant for each in run.cells}
    for variant, task in product(run.variants, run.study.tasks):
        # A damaged file is not a missing one.
        is_there = (variant.id, task) in known or layout.outcomes_path(variant.id, task) in paths
        if not is_there and run.study.is_asked(variant.recipe, task):
            yield f"the answers of {variant.recipe} ({variant.model}) on {task} are missing"
    for variant in run.variants:
        if variant.id in answered and layout.variant_path(variant.id) not in paths:
            yield f"the record of {variant.recipe} ({variant.model}) is missing"
    for cell in run.cells if run.study.has_noise_floor else ():
        if cell.recipe == BASELINE and layout.noise_path(cell.variant, cell.task) not in paths:
            yield f"the noise floor of {cell.model} on {cell.task} is missing"


def _unnamed(run: Run, paths: Iterable[str]) -> Iterator[str]:
    """Yield which variants and tasks are stored that the study does not name."""
    strange = {*strangers(paths)}
    stored = {variant for path in paths if path not in strange and (variant := layout.variant_of(path)) is not None}
    # Earlier versions did not list the variants.
    for variant in sorted(stored - run.study.variants.keys()) if run.study.variants else ():
        yield f"{layout.VARIANTS}/{variant} is of no variant in {layout.STUDY}"
    tasks = {each.task for each in run.tasks} | {each.task for each in run.cells} | {each.task for each in run.failures}
    for task in sorted(tasks - {*run.study.tasks}):
        yield f"{task} has items or answers, and is no task in {layout.STUDY}"
