"""Verifies a run: files, numbers, models and, on request, a sample of its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forgetmeter.basics.plural import counted
from forgetmeter.errors import MissingModelError, UserError, one_line
from forgetmeter.executors.executor import Progress
from forgetmeter.models.files.file_hash import hashing_anew
from forgetmeter.models.files.model_files import weight_files
from forgetmeter.models.location import Location, locate
from forgetmeter.report.report_checks import check_origin, check_report
from forgetmeter.results.checks.recomputed import number_problems
from forgetmeter.results.checks.table_checks import or_error
from forgetmeter.runs import layout
from forgetmeter.runs.file_checks import edited_records, file_problems, find_undigested, is_unfinished
from forgetmeter.runs.run import Run, read_run
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import stored_recipe

_UNFINISHED = (
    "answers are missing: the run may be in progress or unfinished; `forgetmeter run` with the same study finishes it"
)


@dataclass(frozen=True)
class Verification:
    """What holds of a run, and what does not.

    Attributes:
        problems: What does not hold, one sentence each.
        holds: What was checked and holds.
        unchecked: What could not be checked, and why.
        is_sampled: Whether every variant was asked the sample again, if one was requested.
        notes: What may explain the problems, and what to do about it.
    """

    problems: tuple[str, ...]
    holds: tuple[str, ...]
    unchecked: tuple[str, ...]
    is_sampled: bool = True
    notes: tuple[str, ...] = ()


def verify(
    location: str | Path,
    *,
    sample: int = 0,
    seed: int = 0,
    task_folders: Sequence[str] = (),
    data: Path | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Verify a run.

    Its files are compared with the digests that were written with them, its numbers with the answers that they follow
    from, and its models with the hashes of their content.

    Args:
        location: Folder or URL of the run.
        sample: Number of items of each task to ask again; 0 for none, which needs no model.
        seed: Random seed of the sample.
        task_folders: Folders with the user's own tasks, to ask again.
        data: Data folder of the probes, to ask again.
        progress: Progress listener.

    Raises:
        UserError: There is no run at the location.
    """
    place = str(location)
    store = RunStore(place)
    if not store.has_study():
        store.read_study()
    paths = store.folder.list()
    problems, holds = list(or_error(layout.STUDY, partial(edited_records, store.folder, paths))), list[str]()
    reported, unchecked = check_report(store.folder, paths)
    try:
        run = read_run(place)
    except Exception as error:  # noqa: BLE001 - an altered file may contradict anything that reading relies on
        why = str(error) if isinstance(error, UserError) else f"the run cannot be read ({one_line(error)})"
        unchecked.append("its numbers, models and answers, as it cannot be read")
        return Verification((*problems, why, *reported), (), tuple(unchecked), is_sampled=not sample)
    problems += [*or_error("its list of files", partial(file_problems, run, paths)), *reported]
    undigested = find_undigested(run, paths)
    unchecked += undigested.sentences
    if not problems and not undigested.is_all:
        what = "what has a digest" if undigested.files or undigested.footers else "every file"
        holds.append(f"{what} is as it was written")
    wrong = list(or_error("its numbers", partial(number_problems, run)))
    problems += wrong or (() if problems else check_origin(store.folder, paths))
    if not wrong:
        holds.append(f"the numbers of {counted(len(run.cells), 'cell')} follow from the answers")
    with hashing_anew():
        changed, found, missing = _models(run)
    problems += changed
    unchecked += missing.values()
    if found and not changed:
        holds.append(f"{counted(found, 'model')} {'has' if found == 1 else 'have'} the recorded hash")
    unchecked += _failed(run)
    left = len(unchecked)
    if sample and problems:
        unchecked.append("a sample of the answers, because of what does not hold")
    elif sample:
        # Imports torch and transformers, which take seconds.
        from forgetmeter.study.asking_again import ask_again

        try:
            again = ask_again(
                run,
                sample=sample,
                seed=seed,
                missing=missing.keys(),
                task_folders=task_folders,
                data=data,
                progress=progress,
            )
        except UserError as error:
            unchecked.append(f"a sample of the answers: {error}")
        else:
            problems += again.problems
            unchecked += again.unasked
            holds += again.holds
    notes = (_UNFINISHED,) if is_unfinished(run, paths) else ()
    return Verification(tuple(problems), tuple(holds), tuple(unchecked), left == len(unchecked), notes)


def _failed(run: Run) -> Iterator[str]:
    """Yield which cells have no answers because they failed."""
    if run.failures:
        first, number = run.failures[0], counted(len(run.failures), "cell")
        yield f"{number} without answers, after an error: {first.recipe} ({first.model}) on {first.task}" + (
            "" if len(run.failures) == 1 else ", and others"
        )


def _wrong_sizes(run: Run, name: str, location: Location) -> Iterator[str]:
    """Yield which variant without a change has a size that the files of its model, in floating point, rule out."""
    if name in run.study.sources or location.base is not None or not location.path.is_dir():
        return
    starts = dict[Path, int]()
    for header in location.headers:
        starts[header.file] = min(header.offset, starts.get(header.file, header.offset))
    stored = sum(file.stat().st_size - starts[file] for file in weight_files(location.path) if file in starts)
    for variant in run.variants:
        recipe = stored_recipe(variant.recipe)
        if variant.reached is None or recipe is None or recipe.steps:
            continue
        # Tensors that are shared count once, and may be stored twice.
        of = variant.model if recipe.candidate is None else str(recipe.candidate)
        if of == name and not variant.reached.dense_bytes <= stored <= 2 * variant.reached.dense_bytes:
            yield (
                f"{variant.recipe} ({variant.model}): its size is stated as {variant.reached.dense_bytes:,} bytes, and "
                f"its files hold {stored:,}"
            )


def _models(run: Run) -> tuple[list[str], int, dict[str, str]]:
    """Return which models have changed, how many have not, and by name, why others cannot be compared."""
    changed, found, missing = [], 0, dict[str, str]()
    if run.study.origins:
        return [], 0, {"": "models: the answers were imported"}
    for name, content in run.study.model_content.items():
        try:
            location = locate(parse_model_reference(name))
        except MissingModelError as error:
            missing[name] = f"model '{name}', which is not here: {error}"
            continue
        except UserError as error:
            changed.append(f"not the model that was evaluated: {error}")
            continue
        # Earlier versions did not record the template of a run whose prompts were chats.
        is_chat = bool(run.study.settings.get("chat_template"))
        if content == location.identity or (is_chat and content == location.chat_identity):
            found += 1
            changed += _wrong_sizes(run, name, location)
        else:
            changed.append(f"model '{name}' is not the one that was evaluated: its content has another hash")
    if not run.study.model_content:
        missing[""] = "models: the run does not record their content"
    return changed, found, missing
