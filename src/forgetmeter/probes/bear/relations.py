"""The relations of BEAR: templates and answer spaces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetmeter.errors import ManyUserError, UserError, one_line
from forgetmeter.probes.data.archive import ProbeArchive
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.task_name import TaskName, natural_order

SUBJECT, ANSWER = "[X]", "[Y]"
METADATA = "metadata_relations.json"

BEAR = ProbeArchive(
    name="bear",
    folder="BEAR",
    # Of one commit, so that it is the same for everybody.
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
        templates: By number from 0, those to ask by; each has ``[Y]`` once.
        answers: The answer space, in its order.
        answer_ids: The answers' identifiers, in the same order; empty where none are given.
        path: The file of its facts.
    """

    name: str
    templates: Mapping[int, str]
    answers: tuple[str, ...]
    answer_ids: tuple[str, ...]
    path: Path


def bear_relations(name: TaskName, folder: Path) -> tuple[BearRelation, ...]:
    """Return the relations to ask for, in the order of their numbers; no facts are read.

    Args:
        name: The task.
        folder: BEAR's data.

    Raises:
        ManyUserError: Relations or templates are unknown, malformed or have no file; a line each.
        UserError: The metadata cannot be read.
    """
    metadata = _metadata(folder / METADATA)
    wanted = name.listed("relations")
    problems = _files_of_none(folder, metadata) if wanted is None else []
    relations = []
    for each in wanted or sorted(metadata, key=natural_order):
        try:
            if each not in metadata:
                raise UserError(unknown("relation of bear", each, metadata, most=80))
            relations.append(_relation(each, metadata[each], folder))
        except UserError as error:
            problems.append(str(error))
    problems += _templates_of_none(relations, name.listed("templates"))
    if problems:
        raise ManyUserError(problems)
    return tuple(_with_templates(relation, name.listed("templates")) for relation in relations)


def _templates_of_none(relations: Sequence[BearRelation], wanted: Sequence[str] | None) -> list[str]:
    """Return a problem for each template that was asked for and that a relation has not."""
    problems = []
    for number in wanted or ():
        lacking = [relation for relation in relations if number not in map(str, relation.templates)]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            allowed = ", ".join(map(str, lacking[0].templates))
            problems.append(
                f"option templates of task 'bear': there is no template {number} in {lacking[0].name}{more} "
                f"(allowed: {allowed})"
            )
    return problems


def _with_templates(relation: BearRelation, wanted: Sequence[str] | None) -> BearRelation:
    if wanted is None:
        return relation
    return replace(relation, templates={int(number): relation.templates[int(number)] for number in wanted})


def _metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror or error}); {BEAR.fetch_again}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is cut off or no JSON ({one_line(error, most=80)}); {BEAR.fetch_again}") from error
    if not isinstance(metadata, dict) or not metadata:
        raise UserError(f"'{path}' names no relations; {BEAR.fetch_again}")
    return metadata


def _files_of_none(folder: Path, metadata: Mapping[str, Any]) -> list[str]:
    """Return a problem for each file whose relation the metadata has not; it would be missing without a word."""
    strays = sorted(path for path in folder.glob("*.jsonl") if path.stem not in metadata)
    return [f"'{path}' is of no relation in {METADATA}; {BEAR.fetch_again}" for path in strays]


def _relation(name: str, given: Any, folder: Path) -> BearRelation:  # noqa: ANN401
    where = f"relation {name} in '{folder / METADATA}'"
    if not isinstance(given, dict):
        raise UserError(f"{where} is no object; {BEAR.fetch_again}")
    path = folder / f"{name}.jsonl"
    if not path.is_file():
        raise UserError(f"relation {name} is in {METADATA}, but there is no file '{path}'; {BEAR.fetch_again}")
    answers = _texts(given, "answer_space_labels", where)
    ids = _texts(given, "answer_space_ids", where) if "answer_space_ids" in given else ()
    if ids and len(ids) != len(answers):
        both = f"{len(answers)} answer_space_labels, but {len(ids)} answer_space_ids"
        raise UserError(f"{where} has {both}; {BEAR.fetch_again}")
    templates = dict(enumerate(_texts(given, "templates", where)))
    for number, template in templates.items():
        if template.count(ANSWER) != 1:
            what = f"template {number} of {where} must hold {ANSWER} once, and is '{template}'"
            raise UserError(f"{what}; {BEAR.fetch_again}")
    return BearRelation(name, templates, answers, ids, path)


def _texts(given: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = given.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise UserError(f"{where} has no {key}, or not as a list of texts; {BEAR.fetch_again}")
    return tuple(value)
