"""A user's own questions or facts as a task, from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from forgetmeter.basics.visible_text import encodable
from forgetmeter.errors import UserError
from forgetmeter.probes.by_relation import TEMPLATES
from forgetmeter.probes.cloze import P_AT_1, whole_hash
from forgetmeter.probes.declaration import TaskDeclaration
from forgetmeter.probes.from_file.columns import FACTS, form_of
from forgetmeter.probes.from_file.facts import Facts
from forgetmeter.probes.from_file.questions import ACC, Questions
from forgetmeter.probes.from_file.rows import FileRow, read_rows
from forgetmeter.probes.from_file.templates import SUFFIX, TemplateFile, read_template_file
from forgetmeter.records.item import Among, Item, Task, TaskDescription
from forgetmeter.specs.task_name import TaskName, TaskOption

_VERSION = "1"
RANKINGS: dict[str, Among] = {"statements": "candidates", "answers": "answers"}
RANKING = TaskOption(
    "statements",
    "What is ranked: whole statements, or only the answers in the blank, which is much faster.",
    tuple(RANKINGS),
)


def load_file(name: TaskName, *, limit: int | None = None) -> Task:
    """Load a file of questions (``prompt, choices, answer``) or facts (``subject, relation, object``).

    An item whose values are missing or contradict each other is an item with a problem.

    Args:
        name: The task.
        limit: Only the first N items, per group, or per relation and template; ``None`` for all.

    Raises:
        UserError: The file or its templates cannot be read, or no item is valid.
    """
    path = _path(name)
    rows = read_rows(path)
    form, unused = form_of(rows, path)
    named = _with_ids(rows)
    is_facts = form is FACTS
    description = TaskDescription(
        name=str(name),
        version=_VERSION,
        source=path.name,
        primary_metric=P_AT_1 if is_facts else ACC,
        official_size=len(rows),
        remarks=(f"columns of {path.name} that are not used: {', '.join(map(str, unused))}",) if unused else (),
    )
    task: Facts | Questions
    if is_facts:
        among = RANKINGS[name.value("ranking")]
        task = Facts(named, _templates(name, path), description, among=among, limit=limit)
    else:
        if name.options != tuple(each for each in name.options if each[0] == "path"):
            raise UserError(
                f"task '{name}': templates and ranking are options for facts, but '{path}' has questions; omit them"
            )
        task = Questions(named, description, limit=limit)
    if all(item.problem for item in task.items):
        first, places = task.items[0], {given: row.place for given, row in named}
        # The id of a fact's item ends with the number of its template.
        place = places.get(first.id) or places[first.id.rpartition("/")[0]]
        raise UserError(f"{place}: {first.problem}, and no other item of the file is valid either")
    task.description = replace(description, judging=_groups_hash(task.items))
    return task


def _groups_hash(items: Sequence[Item]) -> str:
    """Return a hash of the items' groups and popularities, which their content hashes lack; empty without any."""
    said = [item.fields.get(name, "") for item in items for name in ("relation", "popularity")]
    return whole_hash([*(item.id for item in items), *said]) if any(said) else ""


def _check(name: TaskName) -> None:
    path = _path(name)
    # A YAML file next to questions is something else.
    (first,) = read_rows(path, limit=1)
    if all(column in first.values for column in FACTS.required) and "prompt" not in first.values:
        _templates(name, path)


def _path(name: TaskName) -> Path:
    given = name.value("path")
    if not given:
        raise UserError("task 'file' needs a file of questions or facts: write file:PATH, such as file:my-facts.csv")
    return Path(given).expanduser() if given.startswith("~/") else Path(given)


def _templates(name: TaskName, path: Path) -> TemplateFile:
    file = read_template_file(path.with_suffix(SUFFIX))
    return file.selected(name, must_precede=name.value("ranking") == "answers")


def _with_ids(rows: Sequence[FileRow]) -> list[tuple[str, FileRow]]:
    """Return each row with its item's id, which is that of the row or else its number.

    Raises:
        UserError: Two rows have the same id.
    """
    first: dict[str, FileRow] = {}
    for row in rows:
        given = row.label("id") or str(row.number)
        if encodable(given) != given:
            raise row.wrong(f"id '{encodable(given)}' is not valid Unicode; change it")
        other = first.setdefault(given, row)
        if other is not row:
            raise row.wrong(f"id '{given}' is a duplicate (first in {other.place})")
    return [(f"file/{given}", row) for given, row in first.items()]


TASK = TaskDeclaration(
    name="file",
    load=load_file,
    check=_check,
    options={
        "path": TaskOption(
            "", "A file of questions or facts: .jsonl, .csv, .tsv or .parquet.", kind="path", is_unnamed=True
        ),
        "templates": TEMPLATES,
        "ranking": RANKING,
    },
    thing="fact",
    phrasings="templates",
    groups=("relation", "phrasing"),
)
