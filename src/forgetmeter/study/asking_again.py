"""Asks a sample of a run's questions again, and compares the answers."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from forgetmeter.basics.plural import counted, listed
from forgetmeter.config.study import Evaluation, Study
from forgetmeter.config.vocabulary import Vocabulary
from forgetmeter.errors import UserError, refuse
from forgetmeter.executors.executor import Progress, Work
from forgetmeter.executors.local import LocalExecutor
from forgetmeter.records.item import Answer, Item, Task, TaskDescription, valid_items
from forgetmeter.records.outcome import Judgement
from forgetmeter.runs.run import Run, read_run
from forgetmeter.runs.stored import StoredCell
from forgetmeter.runs.tables.items_table import items_hash, items_parquet
from forgetmeter.runs.tables.outcomes_table import TOKEN_VALUES
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.study.checked_study import CheckedStudy
from forgetmeter.study.preparing import supported_tasks
from forgetmeter.study.running import check_study

_TOLERANCE = {"float32": 0.01}
_TOLERANCE_OF_16_BITS = 0.25
"""Largest difference of a log-likelihood, in nats, that other batches and processors may cause."""
_FACTS = "fields"


@dataclass(frozen=True)
class AskedAgain:
    """Result of asking a sample again.

    Attributes:
        problems: What differs, one sentence each.
        unasked: Which answers could not be asked again, one sentence each.
        answers: Number of answers that were compared.
        largest: Largest difference of a log-likelihood, in nats.
    """

    problems: tuple[str, ...]
    unasked: tuple[str, ...]
    answers: int
    largest: float

    @property
    def holds(self) -> tuple[str, ...]:
        """What holds, as a sentence; nothing if something differs, or if no answer was compared."""
        if self.problems or not self.answers:
            return ()
        same = f"{counted(self.answers, 'answer')} asked again are the same"
        return (f"{same} (largest difference of a log-likelihood: {self.largest:.2g} nats)",)


class _Sampled:
    """Some items of a task, judged by the whole task's rule."""

    def __init__(self, task: Task, places: Sequence[int]) -> None:
        self._task, self._places = task, places

    @property
    def description(self) -> TaskDescription:
        return self._task.description

    @property
    def items(self) -> Sequence[Item]:
        return [self._task.items[place] for place in self._places]

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        given: list[Answer | None] = [None] * len(self._task.items)
        for place, answer in zip(self._places, answers, strict=True):
            given[place] = answer
        return self._task.judge(given)


def ask_again(
    run: Run,
    *,
    sample: int,
    seed: int = 0,
    missing: Collection[str] = (),
    task_folders: Sequence[str] = (),
    data: Path | None = None,
    progress: Progress | None = None,
) -> AskedAgain:
    """Ask the variants of a run a sample of each task's items again, and compare the answers and sizes.

    Args:
        run: The run.
        sample: Number of items of each task.
        seed: Random seed of the sample.
        missing: Models and candidates that are not here; the variants that need them are not asked.
        task_folders: Folders with the user's own tasks.
        data: Data folder of the probes.
        progress: Progress listener.

    Raises:
        UserError: A task or its data cannot be found, the answers were imported, or no model is available.
    """
    progress = progress or Progress()
    if run.study.origins:
        raise UserError(
            "the answers of this run were imported, so its questions cannot be asked again; verify it without a sample"
        )
    with tempfile.TemporaryDirectory(prefix="forgetmeter-") as folder:
        study = replace(_study(run, missing), output=str(Path(folder) / "run"), task_folders=tuple(task_folders))

        def read(vocabulary: Vocabulary | None) -> Study:
            if vocabulary is not None:
                refuse(problem for model in study.references for problem in vocabulary.model_problems(model))
            return study

        if not study.models:
            raise UserError("none of the run's models is available on this machine")
        checked = check_study(read, progress=progress, data=data)
        tasks = supported_tasks(checked, progress)
        problems = [*_changed_tasks(run, tasks), *_changed_sources(run, checked)]
        again = _answered(checked, _sampled(run, tasks, sample, seed), run, progress)
        return _compared(run, again, problems)


def _study(run: Run, missing: Collection[str]) -> Study:
    record, settings = run.study, run.study.settings
    here = [model for model in record.models if model not in missing]
    candidates = [
        (parse_model_reference(model), recipe)
        for model, texts in record.candidates.items()
        for recipe in map(parse_recipe, texts)
        if model in here and str(recipe.candidate) not in missing
    ]
    names = {"limit", "seed", "dtype", "device", "num_fewshot", "system_instruction", "chat_template"}
    evaluation = Evaluation(**{name: value for name, value in settings.items() if name in names})
    return Study(
        models=tuple(map(parse_model_reference, here)),
        recipes=tuple(map(parse_recipe, record.recipes)),
        tasks=record.tasks,
        evaluation=evaluation,
        output="",
        candidates=tuple(candidates),
    )


def _changed_tasks(run: Run, tasks: Mapping[str, Task]) -> Iterator[str]:
    for each in run.tasks:
        if each.task not in tasks:
            continue
        items, description = valid_items(tasks[each.task]), tasks[each.task].description
        if items_hash(items) != each.facts.get("items_hash"):
            yield f"{each.task}: its items are not those that were asked"
        elif not _are_same(run.read(each.path), items_parquet(description, items)):
            yield f"{each.task}: the texts, answers or facts of its items are not those of its data"
        for name in ("primary_metric", "official_size", "filters"):
            if name in each.facts and each.facts[name] != getattr(description, name):
                yield f"{each.task}: its {name} is {each.facts[name]}, and not {getattr(description, name)}"


def _are_same(stored: bytes, given: bytes) -> bool:
    """Whether two files of the same items agree, as far as both have a column or fact; earlier versions had fewer."""
    old, new = (pq.read_table(io.BytesIO(content)) for content in (stored, given))
    names = [name for name in old.column_names if name in new.column_names and name != _FACTS]
    facts = zip(old[_FACTS].to_pylist(), new[_FACTS].to_pylist(), strict=True)
    is_same = all(dict(one).items() <= dict(other).items() for one, other in facts)
    return is_same and old.select(names).equals(new.select(names))


def _changed_sources(run: Run, checked: CheckedStudy) -> Iterator[str]:
    stored = run.study.sources
    for model, each in checked.checkpoints.items():
        packed, said = each.packed, stored.get(str(model))
        if packed is None or said is None:
            continue
        if (packed.bytes, packed.dense_bytes) != (said.bytes, said.dense_bytes):
            yield f"model '{model}' has {packed.bytes} bytes, and {said.bytes} are stated"
        for field in ("format", "maker", "reading", "bits"):
            own, stated = getattr(packed, field), getattr(said, field)
            # Earlier versions recorded neither how weights are read nor their bits.
            if stated and own != stated:
                yield f"model '{model}': its {field} is stated as {stated}, and its files give {own}"


def _sampled(run: Run, tasks: Mapping[str, Task], sample: int, seed: int) -> dict[str, Task]:
    found: dict[str, Task] = {}
    for name, task in tasks.items():
        cells = [cell for cell in run.cells if cell.task == name]
        asked = set().union(*(run.item_ids(cell) for cell in cells))
        places = [place for place, item in enumerate(task.items) if item.id in asked]
        random = np.random.default_rng(seed)
        if places:
            chosen = random.choice(places, size=min(sample, len(places)), replace=False)
            found[name] = _Sampled(task, sorted(chosen.tolist()))
    return found


def _answered(checked: CheckedStudy, tasks: Mapping[str, Task], run: Run, progress: Progress) -> Run:
    done = {(cell.model, cell.recipe, cell.task) for cell in run.cells}
    cells = [
        cell
        for cell in checked.missing
        if cell.task in tasks and (str(cell.variant.model), str(cell.variant.recipe), cell.task) in done
    ]
    checked.store.open_study(checked.document)
    for name, task in tasks.items():
        checked.store.write_items(replace(task.description, name=name), valid_items(task))
    evaluation = checked.plan.study.evaluation
    work = Work(cells, tasks, checked.checkpoints, evaluation, checked.store, checked.engines)
    LocalExecutor().execute(work, progress)
    return read_run(checked.store.location)


def _compared(run: Run, again: Run, problems: list[str]) -> AskedAgain:
    tolerance = _TOLERANCE.get(str(run.study.settings.get("dtype")), _TOLERANCE_OF_16_BITS)
    answers, largest = 0, 0.0
    for failure in again.failures:
        problems.append(f"{failure.recipe} ({failure.model}) on {failure.task} fails now: {failure.error}")
    for cell in again.cells:
        before = run.cell(cell.model, cell.recipe, cell.task)
        assert before is not None
        differences = _differences(run, before, again, cell, tolerance)
        answers += len(differences)
        largest = max(largest, float(differences["difference"].max()) if len(differences) else 0.0)
        changed = int(differences["is_other"].sum())
        if changed:
            problems.append(
                f"{cell.recipe} ({cell.model}) on {cell.task}: {changed} of {counted(len(differences), 'answer')} "
                f"differ when asked again, by up to {differences['difference'].max():.3g} nats"
            )
    problems += _other_sizes(run, again)
    return AskedAgain(tuple(problems), tuple(_unasked(run, again)), answers, largest)


def _unasked(run: Run, again: Run) -> Iterator[str]:
    asked = {cell.key for cell in again.cells} | {(each.model, each.recipe, each.task) for each in again.failures}
    left: dict[str, list[str]] = {}
    for cell in run.cells:
        if cell.key not in asked:
            left.setdefault(f"{cell.recipe} ({cell.model})", []).append(cell.task)
    for variant, tasks in left.items():
        yield f"a sample of the answers of {variant} on {listed(tasks, 3)}, which could not be asked again"


def _differences(run: Run, before: StoredCell, again: Run, after: StoredCell, tolerance: float) -> pd.DataFrame:
    """Return, per item, the largest difference of a log-likelihood, and whether the answer is another one."""
    old, new = run.outcomes_of(before).set_index("item_id"), again.outcomes_of(after).set_index("item_id")
    new = new.loc[[item for item in new.index if item in old.index]]
    old = old.loc[new.index]
    names = [name for name in ("loglikelihoods", TOKEN_VALUES) if name in new and name in old]
    difference = np.max(
        [
            [
                _largest_difference(np.asarray(one), np.asarray(other))
                for one, other in zip(old[name], new[name], strict=True)
            ]
            for name in names
        ],
        axis=0,
    )
    is_clear = ~(np.abs(old["margin"].to_numpy(dtype=np.float64)) <= tolerance)
    # Of tasks without right answers, both are missing.
    other_verdict = ~old["correct"].astype("boolean").eq(new["correct"].astype("boolean")).fillna(True).to_numpy()
    return pd.DataFrame({"difference": difference, "is_other": (other_verdict & is_clear) | (difference > tolerance)})


def _largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return float("inf")
    both = np.isfinite(one) & np.isfinite(other)
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    return float(np.abs(one[both] - other[both]).max(initial=0.0))


def _other_sizes(run: Run, again: Run) -> Iterator[str]:
    stored = {(each.model, each.recipe): each.reached for each in run.variants}
    for each in again.variants:
        before = stored.get((each.model, each.recipe))
        if before is not None and each.reached is not None and before != each.reached:
            yield f"{each.recipe} ({each.model}): compressing it again gives other numbers of zeros or bytes"
