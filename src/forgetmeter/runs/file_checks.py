"""Checks of a run's files: each is, byte by byte, what was written, and none is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from forgetmeter.basics.plural import counted
from forgetmeter.runs import layout
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.runs.identity import has_digest as has_own_digest
from forgetmeter.runs.identity import has_digests
from forgetmeter.runs.intact import has_digest
from forgetmeter.runs.record_json import is_canonical
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import StoredVariant
from forgetmeter.runs.tables.metadata import UNREADABLE, has_whole_digest
from forgetmeter.specs.recipe import BASELINE, stored_recipe


def edited_records(folder: RunFolder, paths: Iterable[str]) -> Iterator[str]:
    """Yield which of a run's JSON files are not as they were written, one sentence each."""
    for path in paths:
        if is_record(path) and not is_canonical(folder.read(path)):
            yield f"{path} is not as it was written: a byte was changed, or it was edited"


@dataclass(frozen=True)
class Undigested:
    """Files of earlier versions that cannot be compared, or not wholly, with what was written.

    Attributes:
        files: Those without a digest.
        footers: Tables with a digest of their rows and facts alone.
        is_all: Whether no file of the run has a digest.
    """

    files: tuple[str, ...]
    footers: tuple[str, ...]
    is_all: bool

    @property
    def sentences(self) -> Iterator[str]:
        """What was not checked, one phrase each."""
        if self.files:
            are = "is as it was" if len(self.files) == 1 else "are as they were"
            it = "it without a digest" if len(self.files) == 1 else "them without digests"
            yield f"whether {counted(len(self.files), 'file')} {are} written: an earlier version wrote {it}"
        if self.footers:
            yield f"the footers of {counted(len(self.footers), 'table')}: an earlier version's digests leave them out"


def find_undigested(run: Run, paths: Iterable[str]) -> Undigested:
    """Return which files of a run have no digest, as earlier versions wrote none."""
    strange, unread = {*strangers(paths)}, {*run.damaged}
    own = [path for path in paths if path not in strange and path not in unread]
    # In a run that no earlier version started, a file without a digest counts as damaged.
    may_lack = () if has_digests(run.study.document) else own
    files = [path for path in may_lack if not has_digest(path, run.read(path))]
    tables = [path for path in own if layout.is_table(path) and path not in files]
    footers = [path for path in tables if not _is_whole(run.read(path))]
    return Undigested(tuple(files), tuple(footers), is_all=len(files) == len(own))


def file_problems(run: Run, paths: Collection[str]) -> Iterator[str]:
    """Yield which files of a run are damaged, missing or not of its study, one sentence each.

    Args:
        run: The run.
        paths: Paths of all files in its folder.
    """
    yield from _unread(run, paths)
    yield from _missing(run, frozenset(paths))
    yield from _unnamed(run, paths)
    # The version that introduced digests listed variants, and recorded the content of models that it ran.
    if has_own_digest(run.study.document) and not run.study.variants:
        yield f"{layout.STUDY} lists no variants"
    if has_own_digest(run.study.document) and not run.study.origins:
        parsed = (stored_recipe(text) for texts in run.study.candidates.values() for text in texts)
        made = {str(recipe.candidate) for recipe in parsed if recipe is not None and recipe.candidate is not None}
        for model in sorted({*run.study.models, *made} - run.study.model_content.keys()):
            yield f"{layout.STUDY} lacks the hash of model '{model}'"


def is_unfinished(run: Run, paths: Collection[str]) -> bool:
    """Return whether the run's study has cells without answers that ``forgetmeter run`` can compute."""
    return not run.study.origins and any(_unanswered(run, frozenset(paths)))


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


def _is_whole(content: bytes) -> bool:
    try:
        return has_whole_digest(content)
    except UNREADABLE:
        # Found as a problem of its own.
        return True


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
    for variant, task in _unanswered(run, paths):
        yield f"the answers of {variant.recipe} ({variant.model}) on {task} are missing"
    answered = {each.variant for each in run.cells}
    for variant in run.variants:
        if variant.id in answered and layout.variant_path(variant.id) not in paths:
            yield f"the record of {variant.recipe} ({variant.model}) is missing"
        elif variant.id in answered and variant.reached is None and _is_applied(run, variant):
            yield f"the record of {variant.recipe} ({variant.model}) lacks its counts of weights and its sizes"
    for cell in run.cells if run.study.has_noise_floor else ():
        if cell.recipe == BASELINE and layout.noise_path(cell.variant, cell.task) not in paths:
            yield f"the noise floor of {cell.model} on {cell.task} is missing"


def _unanswered(run: Run, paths: Collection[str]) -> Iterator[tuple[StoredVariant, str]]:
    """Yield the variants and tasks whose cells have neither answers nor an error."""
    known = {(each.variant, each.task) for each in run.cells} | {(each.variant, each.task) for each in run.failures}
    for variant, task in product(run.variants, run.study.tasks):
        # A damaged file is not a missing one.
        is_there = (variant.id, task) in known or layout.outcomes_path(variant.id, task) in paths
        if not is_there and run.study.is_asked(variant.recipe, task):
            yield variant, task


def _is_applied(run: Run, variant: StoredVariant) -> bool:
    """Return whether a variant was made here; another runtime may not say how large its model is."""
    if run.study.origins:
        return False
    is_candidate = any(variant.recipe in recipes for recipes in run.study.candidates.values())
    return not is_candidate or "compress_seconds" in variant.facts


def _unnamed(run: Run, paths: Iterable[str]) -> Iterator[str]:
    """Yield which variants and tasks are stored that the study does not name."""
    strange = {*strangers(paths)}
    stored = {variant for path in paths if path not in strange and (variant := layout.variant_of(path)) is not None}
    # Earlier versions did not list the variants.
    for variant in sorted(stored - run.study.variants.keys()) if run.study.variants else ():
        yield f"{layout.VARIANTS}/{variant} is of no variant in {layout.STUDY}"
    tasks = {each.task for each in run.tasks} | {each.task for each in run.cells} | {each.task for each in run.failures}
    for task in sorted(tasks - {*run.study.tasks}):
        yield f"{task} has items or answers, and is not a task in {layout.STUDY}"
