"""PopQA as a task: questions of 16 relations about entities of known popularity, with the relation's objects ranked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from forgetmeter.basics.plural import joined
from forgetmeter.errors import UserError, refuse
from forgetmeter.probes.by_relation import RELATIONS
from forgetmeter.probes.cloze import ANSWER, P_AT_1, SUBJECT
from forgetmeter.probes.data.archive import ProbeArchive
from forgetmeter.probes.declaration import TaskDeclaration
from forgetmeter.probes.from_file.facts import Facts
from forgetmeter.probes.from_file.rows import FileRow, read_rows
from forgetmeter.probes.from_file.task import RANKING, RANKINGS
from forgetmeter.probes.from_file.templates import TemplateFile
from forgetmeter.records.item import TaskDescription
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.task_name import TaskName

FILE = "popqa.tsv"
_VERSION = "1"
_SOURCE = "PopQA (Mallen et al. 2023), huggingface.co/datasets/akariasai/PopQA"
_COLUMNS = ("id", "prop", "obj", "s_pop", "question", "possible_answers")
_TEMPLATE = f"Q: {SUBJECT} A: {ANSWER}."
"""The prompt used by PopQA's authors."""

POPQA = ProbeArchive(
    name="popqa",
    folder="PopQA",
    address="https://huggingface.co/datasets/akariasai/PopQA/resolve/main/test.tsv",
    source="its authors (huggingface.co/datasets/akariasai/PopQA)",
    holds=FILE,
    marker=FILE,
    wanted=re.compile(re.escape(FILE)),
    tasks={"popqa": FILE},
    terms="cite Mallen et al. 2023, When Not to Trust Language Models (arXiv 2212.10511)",
)


def load_popqa(name: TaskName, *, limit: int | None = None, data: Path | None = None) -> Facts:
    """Load PopQA.

    A question is answered correctly if one of its possible answers is the likeliest of its relation's objects. Rows
    with the same question are merged into one item, which accepts the possible answers of all of them.

    Args:
        name: The task.
        limit: Only the first N questions per relation; ``None`` for all.
        data: The data folder; by default, the one ``data_folder`` returns.

    Raises:
        UserError: The file is missing or damaged, or lacks a relation that the options ask for.
    """
    path = POPQA.found(data) / FILE
    chosen = _by_relation(name, path)
    asked = [row for members in chosen.values() for row in _merged(members)]
    read = sum(map(len, chosen.values()))
    repeated = read - len(asked)
    return Facts(
        [(f"popqa/{row.label('id') or row.number}", row) for row in asked],
        TemplateFile(path, {relation: {0: _TEMPLATE} for relation in chosen}, _objects(chosen)),
        TaskDescription(
            name=str(name),
            version=_VERSION,
            source=_SOURCE,
            primary_metric=P_AT_1,
            official_size=read,
            filters={"repeated question": repeated} if repeated else {},
        ),
        among=RANKINGS[name.value("ranking")],
        limit=limit,
    )


def _check(name: TaskName, *, data: Path | None) -> None:
    _by_relation(name, POPQA.found(data) / FILE)


def _by_relation(name: TaskName, path: Path) -> dict[str, list[FileRow]]:
    """Return the rows of the selected relations.

    Raises:
        UserError: The file cannot be read, or lacks a column or a relation.
    """
    rows = read_rows(path)
    if missing := [column for column in _COLUMNS if column not in rows[0].values]:
        columns = f"column{'' if len(missing) == 1 else 's'} {joined(map(repr, missing))}"
        raise UserError(f"'{path}' lacks the {columns}; {POPQA.fetch_again}")
    found: dict[str, list[FileRow]] = {}
    for row in rows:
        found.setdefault(_relation(row), []).append(row)
    wanted = name.listed("relations")
    refuse(
        unknown("relation", each, found, within="task 'popqa'", most=80) for each in wanted or () if each not in found
    )
    return {each: found[each] for each in wanted or found}


def _relation(row: FileRow) -> str:
    return "_".join(row.label("prop").split())


def _objects(chosen: Mapping[str, Iterable[FileRow]]) -> dict[str, tuple[str, ...]]:
    """Return the objects of each relation; aliases do not compete, and relations with a single object are left out."""
    objects = {relation: {row.label("obj") for row in rows} - {""} for relation, rows in chosen.items()}
    return {relation: tuple(sorted(found)) for relation, found in objects.items() if len(found) > 1}


def _merged(rows: Sequence[FileRow]) -> Iterable[FileRow]:
    """Return rows of a relation as facts, with the question as the subject.

    Where a question repeats, the first row is kept, with the answers of all.
    """
    answers: dict[str, dict[str, None]] = {}
    first: dict[str, FileRow] = {}
    for row in rows:
        # Rows without a question are not duplicates of each other.
        question = row.label("question") or f"\0{row.number}"
        first.setdefault(question, row)
        possible = [row.label("obj"), *(each.strip() for each in row.texts("possible_answers"))]
        answers.setdefault(question, {}).update(dict.fromkeys(each for each in possible if each))
    for question, row in first.items():
        fact = {
            "id": row.values.get("id"),
            "subject": row.values.get("question"),
            "relation": _relation(row),
            "object": json.dumps([*answers[question]]),
            "popularity": row.values.get("s_pop"),
        }
        yield replace(row, values=fact)


TASK = TaskDeclaration(
    name="popqa",
    load=load_popqa,
    check=_check,
    options={
        "relations": replace(RELATIONS, example="capital+place_of_birth"),
        "ranking": replace(RANKING, default="answers"),
    },
    thing="fact",
    groups=("relation",),
    data=POPQA,
)
