"""BEAR as a task: statements ranked by likelihood."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from forgetmeter.basics.json_text import parse_json
from forgetmeter.errors import ManyUserError, UserError, one_line
from forgetmeter.probes.by_relation import RELATIONS, TEMPLATES, RelationCounts, missing_templates, template_judgement
from forgetmeter.probes.choice_problems import choice_problem
from forgetmeter.probes.cloze import (
    ACCURACY,
    ANSWER,
    SUBJECT,
    AnswerSpace,
    answered,
    candidates_outcome,
    content_hash,
    filled_template,
)
from forgetmeter.probes.data.archive import ProbeArchive
from forgetmeter.probes.declaration import TaskDeclaration
from forgetmeter.probes.json_lines import JsonLine, read_json_lines
from forgetmeter.records.item import Answer, Cloze, Item, Problem, TaskDescription
from forgetmeter.records.outcome import Judgement
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.task_name import TaskName, natural_order

METADATA = "metadata_relations.json"
_VERSION = "1"
_SOURCE = "BEAR (Wiland et al. 2024), github.com/lm-pub-quiz/BEAR"

BEAR = ProbeArchive(
    name="bear",
    folder="BEAR",
    # Pinned to a commit for reproducibility.
    address="https://github.com/lm-pub-quiz/BEAR/archive/725b4e3139d0a5fdf914b0419ba744273dddc689.zip",
    source="the lm-pub-quiz project (github.com/lm-pub-quiz/BEAR)",
    holds=f"{METADATA} and P*.jsonl",
    marker=METADATA,
    wanted=re.compile(r"metadata_relations\.json|P\d+\.jsonl"),
    tasks={"bear": METADATA},
    terms="cite Wiland, Ploner and Akbik 2024, BEAR: A Unified Framework for Evaluating Relational Knowledge",
)


@dataclass(frozen=True)
class BearRelation:
    """A relation of BEAR.

    Attributes:
        name: Its name, such as ``P36``.
        templates: The templates to use, by 0-based number; each contains ``[X]``, and ``[Y]`` once.
        answers: The answer space, in order, without duplicates.
        answer_ids: The answers' identifiers, in the same order; empty if not given.
        path: The file with its facts.
    """

    name: str
    templates: Mapping[int, str]
    answers: tuple[str, ...]
    answer_ids: tuple[str, ...]
    path: Path


class BearTask:
    """BEAR: for each fact and template, which of the relation's answers makes the likeliest statement.

    Statements are capitalized, as in lm-pub-quiz.

    Args:
        limit: Only the first N items per relation; ``None`` for all.
        data: The data folder; by default, the one ``data_folder`` returns.

    Attributes:
        items: The items, ordered by relation, fact and template.

    Raises:
        UserError: The data is missing or damaged, or does not contain what the options ask for.
    """

    def __init__(self, name: TaskName, *, limit: int | None = None, data: Path | None = None) -> None:
        items: list[Item] = []
        counts = []
        for relation in bear_relations(name, BEAR.found(data)):
            asking = _Asking(relation)
            facts = [asking.fact(line) for line in read_json_lines(relation.path, fix=BEAR.fetch_again)]
            prompt = " / ".join(relation.templates.values())
            counts.append(RelationCounts(relation.name, "", prompt, len(facts) * len(relation.templates), {}))
            items.extend(islice(asking.items(facts), limit))
        self.items = tuple(items)
        self.relations = tuple(counts)
        self.description = TaskDescription(
            name=str(name),
            version=_VERSION,
            source=_SOURCE,
            primary_metric=ACCURACY,
            official_size=sum(each.read for each in counts),
        )

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items; an item is correct if the right answer is the likeliest (the first one in a tie).

        ``accuracy`` is the mean over all facts and templates, as in lm-pub-quiz's ``DatasetResults.get_metrics``
        (which weights relations by their number of items). ``accuracy_macro`` is the mean over relations, and
        ``accuracy_template_0`` and so on are the accuracies per template.
        """
        outcomes = [(item, candidates_outcome(item, answer)) for item, answer in answered(self.items, answers)]
        return template_judgement(outcomes, ACCURACY)


class _Asking:
    def __init__(self, relation: BearRelation) -> None:
        self._relation = relation
        self._answers = AnswerSpace(relation.answers)

    def fact(self, line: JsonLine) -> tuple[int, str, int]:
        """Return a fact's index, its subject, and the index of its object among the answers.

        Raises:
            UserError: One is missing, or the object's index, name and identifier disagree.
        """
        # Like lm-pub-quiz, fall back to the object's identifier.
        place = line.record.get("answer_idx")
        if place is None and line.record.get("obj_id") in self._relation.answer_ids:
            place = self._relation.answer_ids.index(line.text("obj_id"))
        if not isinstance(place, int) or isinstance(place, bool):
            raise line.wrong_type("answer_idx", int)
        if not 0 <= place < len(self._relation.answers):
            raise line.wrong(f"answer_idx {place} is outside the {len(self._relation.answers)} answers of its relation")
        for key, known in (("obj_label", self._relation.answers), ("obj_id", self._relation.answer_ids)):
            given = line.optional_text(key)
            if given and known and given != known[place]:
                raise line.wrong(f"{key} '{given}' disagrees with answer {place} of its relation, '{known[place]}'")
        return line.index, line.filled_text("sub_label"), place

    def items(self, facts: Sequence[tuple[int, str, int]]) -> Iterator[Item]:
        for index, subject, place in facts:
            for number, template in self._relation.templates.items():
                cloze = filled_template(template, subject, "candidates")
                yield self._item(f"{self._relation.name}/{index}", number, cloze, subject, place)

    def _item(self, fact: str, template: int, cloze: Cloze, subject: str, place: int) -> Item:
        choices, choices_hash = self._answers.at(cloze)
        problem = choice_problem((place,), choices)
        return Item(
            id=f"bear/{fact}/{template}",
            content_hash=content_hash([cloze.before, cloze.after, choices_hash, str(place)]),
            asks=Problem(problem) if problem else cloze,
            choices=choices,
            gold=(place,),
            fields={
                "relation": self._relation.name,
                "subject": subject,
                "object": self._relation.answers[place],
                "template": str(template),
                "fact": fact,
            },
        )


def bear_relations(name: TaskName, folder: Path) -> tuple[BearRelation, ...]:
    """Return the selected relations in numerical order, without reading facts.

    Raises:
        ManyUserError: Relations or templates are unknown, malformed or have no file; one line each.
        UserError: The metadata cannot be read.
    """
    metadata = _metadata(folder / METADATA)
    wanted = name.listed("relations")
    problems = _stray_files(folder, metadata) if wanted is None else []
    relations = []
    for each in wanted or sorted(metadata, key=natural_order):
        try:
            if each not in metadata:
                raise UserError(unknown("relation", each, metadata, within="task 'bear'", most=80))
            relations.append(_relation(each, metadata[each], folder))
        except UserError as error:
            problems.append(str(error))
    problems += missing_templates(name, {each.name: each.templates for each in relations})
    if problems:
        raise ManyUserError(problems)
    return tuple(_with_templates(relation, name.listed("templates")) for relation in relations)


def _with_templates(relation: BearRelation, wanted: Sequence[str] | None) -> BearRelation:
    if wanted is None:
        return relation
    return replace(relation, templates={int(number): relation.templates[int(number)] for number in wanted})


def _metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = parse_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror or error}); {BEAR.fetch_again}") from error
    except ValueError as error:
        raise UserError(f"'{path}' is not valid JSON ({one_line(error, most=80)}); {BEAR.fetch_again}") from error
    if not isinstance(metadata, dict) or not metadata:
        raise UserError(f"'{path}' lists no relations; {BEAR.fetch_again}")
    return metadata


def _stray_files(folder: Path, metadata: Mapping[str, Any]) -> list[str]:
    """Return a problem for each file that would be ignored silently, as its relation is missing from the metadata."""
    strays = sorted(path for path in folder.glob("*.jsonl") if path.stem not in metadata)
    return [f"'{path}' belongs to no relation in {METADATA}; {BEAR.fetch_again}" for path in strays]


def _relation(name: str, given: Any, folder: Path) -> BearRelation:  # noqa: ANN401
    where = f"relation {name} in '{folder / METADATA}'"
    if not isinstance(given, dict):
        raise UserError(f"{where} is not an object; {BEAR.fetch_again}")
    path = folder / f"{name}.jsonl"
    if not path.is_file():
        raise UserError(f"relation {name} is in {METADATA}, but '{path}' does not exist; {BEAR.fetch_again}")
    answers = _texts(given, "answer_space_labels", where)
    ids = _texts(given, "answer_space_ids", where) if "answer_space_ids" in given else ()
    if ids and len(ids) != len(answers):
        both = f"{len(answers)} answer_space_labels, but {len(ids)} answer_space_ids"
        raise UserError(f"{where} has {both}; {BEAR.fetch_again}")
    for key, values in (("answer_space_labels", answers), ("answer_space_ids", ids)):
        if repeated := next((value for value, count in Counter(values).items() if count > 1), None):
            raise UserError(f"{where}: '{repeated}' is a duplicate in {key}; {BEAR.fetch_again}")
    templates = dict(enumerate(_texts(given, "templates", where)))
    for number, template in templates.items():
        if template.count(ANSWER) != 1 or SUBJECT not in template:
            needed = SUBJECT if template.count(ANSWER) == 1 else f"{ANSWER} once"
            what = f"template {number} of {where} must contain {needed}, but is '{template}'"
            raise UserError(f"{what}; {BEAR.fetch_again}")
    return BearRelation(name, templates, answers, ids, path)


def _texts(given: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = given.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each.strip() for each in value):
        raise UserError(f"{where}: {key} must be a list of texts that are not empty; {BEAR.fetch_again}")
    return tuple(value)


def _check(name: TaskName, *, data: Path | None) -> None:
    bear_relations(name, BEAR.found(data))


TASK = TaskDeclaration(
    name="bear",
    load=BearTask,
    check=_check,
    options={"relations": RELATIONS, "templates": TEMPLATES},
    thing="fact",
    phrasings="templates",
    groups=("relation",),
    data=BEAR,
)
