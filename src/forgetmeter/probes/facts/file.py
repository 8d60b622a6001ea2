"""The built-in facts: the file in the package, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.task_name import TaskName

SUBJECT, ANSWER = "[X]", "[Y]"

FACT_FILE = Path(__file__).with_name("facts.json")
"""The file. ``tools/make_facts.py`` of the repository makes it."""

_MEND = "install forgetmeter again"


@dataclass(frozen=True)
class Fact:
    """A fact.

    Attributes:
        subject: As it stands inside a sentence, with its article where it has one.
        object: The one right answer, a single word.
        popularity: How many people the subject has, or are concerned with it; ``None`` where that is not known.
    """

    subject: str
    object: str
    popularity: int | None


@dataclass(frozen=True)
class FactRelation:
    """A relation of the built-in facts.

    Attributes:
        name: Its name, such as ``country_capital``.
        label: What it means, in words.
        phrasings: By number from 0; each has ``[X]`` for the subject once, and ends with ``[Y].`` for the object.
        answers: The objects of its facts, each once, in alphabetical order.
        popularity: What its facts' popularity counts, in words.
        facts: In an order that is as good as shuffled, so that the first so many are a fair sample.
    """

    name: str
    label: str
    phrasings: Mapping[int, str]
    answers: tuple[str, ...]
    popularity: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class FactFile:
    """All built-in facts.

    Attributes:
        version: Of the facts; another one means that facts, phrasings or their order are others.
        trained_phrasings: So many of each relation's phrasings, from the first on, are those that the standards are
            trained on; the rest are held out.
        relations: In their order.
    """

    version: str
    trained_phrasings: int
    relations: tuple[FactRelation, ...]


def read_fact_file(path: Path = FACT_FILE) -> FactFile:
    """Read the built-in facts.

    Args:
        path: The file.

    Raises:
        UserError: It is not there or damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"are cut off or no JSON ({' '.join(str(error).split())[:80]})") from error
    try:
        return _fact_file(content)
    except KeyError as error:
        raise _damaged(path, f"lack {error}") from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise _damaged(path, f"are damaged ({' '.join(str(error).split())[:120]})") from error


def fact_relations(name: TaskName, file: FactFile) -> tuple[FactRelation, ...]:
    """Return the relations that a task asks for, each with the phrasings that it asks by.

    Args:
        name: The task with its options.
        file: The facts.

    Raises:
        ManyUserError: There are no such relations or phrasings; a line each.
    """
    relations = {relation.name: relation for relation in file.relations}
    wanted, numbers = name.listed("relations"), name.listed("templates")
    problems = [
        unknown("relation of facts", each, relations, most=50) for each in wanted or () if each not in relations
    ]
    chosen = [each for key, each in relations.items() if wanted is None or key in wanted]
    problems += _phrasings_of_none(chosen, numbers or ())
    if problems:
        raise ManyUserError(problems)
    if numbers is None:
        return tuple(chosen)
    return tuple(
        replace(each, phrasings={int(number): each.phrasings[int(number)] for number in numbers}) for each in chosen
    )


def _phrasings_of_none(relations: Sequence[FactRelation], numbers: Sequence[str]) -> list[str]:
    problems = []
    for number in numbers:
        lacking = [each for each in relations if number not in map(str, each.phrasings)]
        if lacking:
            allowed = ", ".join(map(str, lacking[0].phrasings))
            problems.append(
                f"option templates of task 'facts': there is no template {number} in {lacking[0].name} "
                f"(allowed: {allowed})"
            )
    return problems


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"the built-in facts '{path}' {what}; {_MEND}")


def _fact_file(content: Any) -> FactFile:  # noqa: ANN401
    facts: dict[str, list[Fact]] = {each["relation"]: [] for each in content["relations"]}
    for each in content["facts"]:
        facts[each["relation"]].append(Fact(each["subject"], each["object"], each["popularity"]))
    relations = tuple(_relation(each, facts[each["relation"]]) for each in content["relations"])
    if not relations:
        raise ValueError("there is no relation")
    return FactFile(content["version"], content["trained_phrasings"], relations)


def _relation(given: Mapping[str, Any], facts: Sequence[Fact]) -> FactRelation:
    name, phrasings, answers = given["relation"], given["phrasings"], given["answers"]
    for phrasing in phrasings:
        if phrasing.count(SUBJECT) != 1 or phrasing.count(ANSWER) != 1 or not phrasing.endswith(f"{ANSWER}."):
            raise ValueError(f"phrasing '{phrasing}' of {name} must hold {SUBJECT} once and end with '{ANSWER}.'")
    allowed = set(answers)
    subjects = set()
    for fact in facts:
        if not isinstance(fact.subject, str) or fact.subject in subjects:
            raise ValueError(f"subject {fact.subject!r} of {name} is no text, or stands twice")
        if fact.object not in allowed:
            raise ValueError(f"object {fact.object!r} of {name} is none of its answers")
        if fact.popularity is not None and type(fact.popularity) is not int:
            raise ValueError(f"popularity {fact.popularity!r} of '{fact.subject}' in {name} is no whole number")
        subjects.add(fact.subject)
    if not facts or not phrasings:
        raise ValueError(f"relation {name} has no facts, or no phrasings")
    return FactRelation(
        name, given["label"], dict(enumerate(phrasings)), tuple(answers), given["popularity"], tuple(facts)
    )
