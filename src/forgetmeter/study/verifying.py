"""Verifies a run: files, numbers, models and, on request, a sample of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forgetmeter.basics.plural import counted, listed
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.models.location import locate
from forgetmeter.report.report_checks import check_report
from forgetmeter.results.recomputed import number_problems
from forgetmeter.runs.file_checks import edited_records, file_problems
from forgetmeter.runs.run import Run, read_run
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import parse_model_reference


@dataclass(frozen=True)
class Verification:
    """What holds of a run, and what does not.

    Attributes:
        problems: What does not hold, one sentence each.
        holds: What was checked and holds.
        unchecked: What could not be checked, and why.
    """

    problems: tuple[str, ...]
    holds: tuple[str, ...]
    unchecked: tuple[str, ...]


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
        UserError: There is no run at the location, or the sample cannot be asked.
    """
    place = str(location)
    store = RunStore(place)
    if not store.has_study():
        store.read_study()
    paths = store.folder.list()
    problems, holds, unchecked = list(edited_records(store.folder, paths)), list[str](), list[str]()
    reported, others = check_report(store.folder, paths)
    if others:
        unchecked.append(f"{listed(others, 3)}: not part of the run, nor of a report with checksums")
    try:
        run = read_run(place)
    except UserError as error:
        unchecked.append("its numbers, models and answers, as it cannot be read")
        return Verification((*problems, str(error), *reported), (), tuple(unchecked))
    problems += [*file_problems(run, paths), *reported]
    if not problems:
        holds.append("every file is as it was written")
    wrong = list(number_problems(run))
    problems += wrong
    if not wrong:
        holds.append(f"the numbers of {counted(len(run.cells), 'cell')} follow from the answers")
    changed, found, missing = _models(run)
    problems += changed
    unchecked += missing
    if found and not changed:
        holds.append(f"{counted(found, 'model')} {'is' if found == 1 else 'are'} what was evaluated")
    if sample and not problems:
        # Imports torch and transformers, which take seconds.
        from forgetmeter.study.asking_again import ask_again

        again = ask_again(run, sample=sample, seed=seed, task_folders=task_folders, data=data, progress=progress)
        problems += again.problems
        if not again.problems:
            holds.append(
                f"{counted(again.answers, 'answer')} asked again are the same (largest difference of a "
                f"log-likelihood: {again.largest:.2g} nats)"
            )
    elif sample:
        unchecked.append("a sample of the answers, because of what does not hold")
    return Verification(tuple(problems), tuple(holds), tuple(unchecked))


def _models(run: Run) -> tuple[list[str], int, list[str]]:
    """Return which models have changed, how many have not, and which are not here."""
    changed, found, missing = [], 0, []
    if run.study.origins:
        return [], 0, ["models: the answers were imported"]
    for name, content in run.study.model_content.items():
        try:
            identity = locate(parse_model_reference(name)).identity
        except UserError as error:
            missing.append(str(error))
            continue
        if identity == content:
            found += 1
        else:
            changed.append(f"model '{name}' is not the one that was evaluated: its content has another hash")
    if not run.study.model_content:
        missing.append("models: the run does not record their content")
    return changed, found, missing
