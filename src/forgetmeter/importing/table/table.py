"""Answers in a table, one row per item and variant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path

from forgetmeter.basics.file_digest import sha256_of
from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError, refuse
from forgetmeter.importing.imported_run import (
    ImportedRun,
    ImportedTask,
    ImportedVariant,
    paired_notes,
    shared_tasks,
    unshared_note,
)
from forgetmeter.importing.table.answer import GivenAnswer, refuse_counting_from_1, refuse_no_place
from forgetmeter.importing.table.values import (
    TruthColumn,
    loglikelihoods_in,
    optional_text_in,
    refuse_other,
    text_in,
)
from forgetmeter.probes.cloze import ACCURACY, NOTHING_SAID, Ranked, rank_candidates
from forgetmeter.probes.from_file.rows import FileRow, read_rows
from forgetmeter.records.imported import Origin
from forgetmeter.records.item import ClozeAnswer, Item, Request, Requests, TaskDescription
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.specs.suggestion import unknown

_MISSPELLED = 0.85


@dataclass(frozen=True, kw_only=True)
class TableColumns:
    """The columns of a table; ``None`` for those that it does not have.

    Attributes:
        item: What identifies an item within its task.
        variant: The name of the variant that answered.
        correct: Whether the answer is right.
        task: The task; or a name, if there is no such column, for the only task. By default, the file's name.
        question: The question as text.
        prediction: The answer as text.
        gold: The right answer as text; or its place among the log-likelihoods, from 0.
        relation: The relation or group that the item belongs to.
        loglikelihoods: Log-likelihood of each choice, in nats.
    """

    item: str
    variant: str
    correct: str
    task: str | None = None
    question: str | None = None
    prediction: str | None = None
    gold: str | None = None
    relation: str | None = None
    loglikelihoods: str | None = None

    @property
    def named(self) -> list[str]:
        """The columns that are given, without the task."""
        given = (getattr(self, each.name) for each in fields(self) if each.name != "task")
        return [name for name in given if name is not None]


_Answers = dict[str, dict[str, dict[str, GivenAnswer]]]
"""Answers by task, variant and item."""


def import_table(path: Path, columns: TableColumns, *, baseline: str | None = None) -> ImportedRun:
    """Read answers from a table.

    Args:
        path: A CSV, TSV, JSON Lines or Parquet file.
        columns: Its columns.
        baseline: The variant that the others are compared with; by default, the one named ``baseline``.

    Raises:
        UserError: The table cannot be read, is incomplete or contradicts itself, or does not name the baseline.
    """
    found = _read(path, columns)
    names = list(dict.fromkeys(name for variants in found.values() for name in variants))
    chosen = _baseline(path, columns.variant, names, baseline)
    others = [name for name in names if name != chosen]
    tasks_of = {name: [task for task, variants in found.items() if name in variants] for name in names}
    wanted = shared_tasks(tasks_of[chosen], {name: tasks_of[name] for name in others})
    tasks = {task: _task(path, task, found[task][chosen]) for task in wanted}
    digest = sha256_of(path)

    def variant(name: str) -> ImportedVariant:
        answers = {task: found[task].get(name, {}) for task in tasks}
        judgements = {task: _judgement(tasks[task], each) for task, each in answers.items()}
        notes = [*_notes(found, tasks, name, chosen), *_unplaced_notes(tasks, judgements)]
        origin = Origin("a table", {path.name: digest}, _settings(columns), tuple(notes))
        if not any(each.outcomes for each in judgements.values()):
            raise UserError(f"'{name}' answered none of the baseline's items; check column '{columns.item}'")
        return ImportedVariant(
            name,
            {task: each for task, each in judgements.items() if each.outcomes},
            origin,
            {task: sum(not one.is_number for one in each.values()) for task, each in answers.items()},
        )

    return ImportedRun(tuple(tasks.values()), variant(chosen), tuple(map(variant, others)))


def _settings(columns: TableColumns) -> dict[str, str]:
    return {each.name: value for each in fields(columns) if (value := getattr(columns, each.name)) is not None}


def _baseline(path: Path, column: str, names: Sequence[str], wanted: str | None) -> str:
    chosen = " ".join(wanted.split()) if wanted is not None else BASELINE
    if chosen in names:
        return chosen
    if wanted is not None:
        raise UserError(unknown("baseline", wanted, names, within=f"column '{column}'"))
    raise UserError(
        f"'{path}' has no variant named '{BASELINE}'; name the baseline with --baseline (allowed: {', '.join(names)})"
    )


def _read(path: Path, columns: TableColumns) -> _Answers:
    rows = read_rows(path)
    # A JSON object may omit columns that it has no value for.
    names = dict.fromkeys(name for row in rows for name in row.values)
    refuse(unknown("column", name, names, within=f"'{path}'") for name in columns.named if name not in names)
    by_task = columns.task in names
    others = {name.lower(): name for name in names if name not in columns.named}
    if columns.task and not by_task and (near := get_close_matches(columns.task.lower(), others, 1, _MISSPELLED)):
        meant = others[near[0]]
        raise UserError(f"'{path}' has no column '{columns.task}'; write --task {meant}, or give the task another name")
    is_right = TruthColumn(columns.correct)
    found: _Answers = {}
    first: dict[tuple[str, str], GivenAnswer] = {}
    for row in rows:
        item, name = text_in(row, columns.item), " ".join(text_in(row, columns.variant).split())
        task = text_in(row, str(columns.task)) if by_task else columns.task or path.stem
        answer = _answer(row, columns, is_right)
        answers = found.setdefault(task, {}).setdefault(name, {})
        if item in answers:
            raise row.wrong(
                f"a second answer by '{name}' to item '{item}'{f' of {task}' if by_task else ''} (the first is in "
                f"{answers[item].row.place}); keep one of them"
            )
        answers[item] = answer
        _refuse_contradiction(first.setdefault((task, item), answer), answer, columns)
    refuse_counting_from_1([each for task in found.values() for name in task.values() for each in name.values()])
    for variants in found.values():
        refuse_no_place([each for answers in variants.values() for each in answers.values()], columns.gold)
    return found


def _answer(row: FileRow, columns: TableColumns, is_right: TruthColumn) -> GivenAnswer:
    return GivenAnswer(
        row=row,
        correct=is_right.value_in(row),
        prediction=optional_text_in(row, columns.prediction),
        gold=optional_text_in(row, columns.gold),
        relation=optional_text_in(row, columns.relation),
        question=optional_text_in(row, columns.question),
        loglikelihoods=loglikelihoods_in(row, columns.loglikelihoods),
    )


def _refuse_contradiction(first: GivenAnswer, second: GivenAnswer, columns: TableColumns) -> None:
    refuse_other(second.row, columns.gold, first.gold, second.gold, first.row)
    refuse_other(second.row, columns.relation, first.relation, second.relation, first.row)
    refuse_other(second.row, columns.question, first.question, second.question, first.row)
    if len(first.loglikelihoods) != len(second.loglikelihoods):
        raise second.row.wrong(
            f"{len(second.loglikelihoods)} log-likelihoods, but {len(first.loglikelihoods)} in {first.row.place}, "
            "which is for the same item; write one for each choice"
        )


def _task(path: Path, name: str, answers: Mapping[str, GivenAnswer]) -> ImportedTask:
    items = tuple(_item(item, answer) for item, answer in answers.items())
    return ImportedTask(TaskDescription(name, "", path.name, ACCURACY, len(items)), items)


def _item(name: str, answer: GivenAnswer) -> Item:
    content = json.dumps([name, answer.question, answer.gold, answer.relation, len(answer.loglikelihoods)])
    gold = answer.place
    return Item(
        id=name,
        content_hash=hashlib.sha256(content.encode()).hexdigest()[:16],
        asks=Requests([Request(answer.question or name, "")]),
        # Without the place of the right answer, guessing is undefined.
        choices=() if gold is None else tuple(map(str, range(len(answer.loglikelihoods)))),
        gold=() if gold is None else (gold,),
        fields={"relation": answer.relation} if answer.relation else {},
    )


def _judgement(task: ImportedTask, answers: Mapping[str, GivenAnswer]) -> Judgement:
    outcomes = tuple(_outcome(item, answers[item.id]) for item in task.items if item.id in answers)
    right = [each.metrics[ACCURACY] for each in outcomes]
    return Judgement(outcomes, {ACCURACY: sum(right) / len(right)} if right else {})


def _outcome(item: Item, answer: GivenAnswer) -> Outcome:
    placed, correct = _placed(item, answer), answer.correct and answer.is_number
    return Outcome(
        item_id=item.id,
        correct=correct,
        prediction=(answer.prediction or placed.prediction) if answer.is_number else "",
        gold=answer.gold,
        rank=placed.rank,
        margin=placed.margin,
        loglikelihoods=answer.loglikelihoods,
        metrics={ACCURACY: float(correct)},
    )


def _placed(item: Item, answer: GivenAnswer) -> Ranked:
    """Return the rank of the right answer, if what is right follows from the log-likelihoods."""
    if not item.gold:
        return NOTHING_SAID
    ranked = rank_candidates(answer.loglikelihoods, item.gold, item.choices)
    return ranked if ranked.correct == answer.correct else NOTHING_SAID


def _notes(found: _Answers, tasks: Collection[str], name: str, baseline: str) -> list[str]:
    answered = [task for task, variants in found.items() if name in variants]
    why = "no other variant answered them" if name == baseline else "the baseline did not answer them"
    notes = unshared_note(answered, tasks, why=why)
    for task in tasks:
        of, own = found[task][baseline], found[task].get(name, {})
        if own:
            both = len(of.keys() & own.keys())
            notes += paired_notes(task, answered=both, of=len(of), others=len(own) - both)
    return notes


def _unplaced_notes(tasks: Mapping[str, ImportedTask], judgements: Mapping[str, Judgement]) -> Iterator[str]:
    """Yield a sentence for each task whose log-likelihoods do not say what the table says is right."""
    for task, judgement in judgements.items():
        placed = {item.id for item in tasks[task].items if item.gold}
        given = [each for each in judgement.outcomes if each.item_id in placed]
        answers = [each for each in given if ClozeAnswer(each.loglikelihoods).is_number]
        unlike = [each.item_id for each in answers if each.rank is None]
        if unlike:
            yield (
                f"{task}: right and wrong do not follow from the log-likelihoods in {len(unlike):,} of "
                f"{counted(len(answers), 'answer')} (first: item {unlike[0]}); these have no rank or margin"
            )
