"""The built-in facts as a task: which of a relation's answers is the likeliest in the blank."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.probes.by_relation import RELATIONS, TEMPLATES, RelationCounts, template_judgement
from forgetmeter.probes.cloze import (
    MRR,
    P_AT_1,
    answered,
    capitalized,
    content_hash,
    rank_candidates,
    ranked_outcome,
    whole_hash,
)
from forgetmeter.probes.declaration import TaskDeclaration
from forgetmeter.records.item import Answer, Cloze, ClozeAnswer, Item, TaskDescription
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.task_name import TaskName

SUBJECT, ANSWER = "[X]", "[Y]"

FACT_FILE = Path(__file__).with_name("facts.json")
"""The file. ``tools/make_facts.py`` of the repository makes it."""

_SOURCE = "built-in facts of forgetmeter (docs/facts.md)"
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


class FactsTask:
    """The built-in facts: each fact asked by each phrasing of its relation.

    Args:
        name: The task with its options.
        limit: Only the first so many facts of each relation and phrasing; ``None`` for all. Every phrasing is then
            asked of the same facts, which are a fair sample, as the file's order is as good as shuffled.
        path: The file of the facts.

    Attributes:
        items: The items, relation by relation, phrasing by phrasing, fact by fact.
        relations: What was read of each relation.

    Raises:
        UserError: The file is not there or damaged, or does not hold what the options ask for.
    """

    def __init__(self, name: TaskName, *, limit: int | None = None, path: Path = FACT_FILE) -> None:
        file = read_fact_file(path)
        relations = fact_relations(name, file)
        self.items = tuple(item for relation in relations for item in _items(relation, limit))
        self.relations = tuple(
            RelationCounts(
                each.name, each.label, " / ".join(each.phrasings.values()), len(each.facts) * len(each.phrasings), {}
            )
            for each in relations
        )
        self.description = TaskDescription(
            name=str(name),
            version=file.version,
            source=_SOURCE,
            primary_metric=P_AT_1,
            official_size=sum(each.read for each in self.relations),
        )

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items: right where the right answer is the likeliest of its relation's.

        ``p_at_1``, ``p_at_5`` and ``mrr`` are means over items and, with ``_macro`` behind their name, over relations;
        ``p_at_1_template_0`` and so on are those of one phrasing each, over items.
        """
        outcomes = [(item, _outcome(item, answer)) for item, answer in answered(self.items, answers)]
        return template_judgement(outcomes, P_AT_1)


def statement(phrasing: str, subject: str) -> str:
    """Return a phrasing with its subject, its first letter a capital; ``[Y]`` is left as it is."""
    return capitalized(phrasing.replace(SUBJECT, subject))


def _items(relation: FactRelation, limit: int | None) -> Iterator[Item]:
    places = {answer: place for place, answer in enumerate(relation.answers)}
    answers_hash = whole_hash(relation.answers)
    for template, phrasing in relation.phrasings.items():
        for place, fact in enumerate(relation.facts[:limit]):
            before, after = statement(phrasing, fact.subject).rsplit(ANSWER, 1)
            cloze = Cloze(before, after, "answers")
            yield Item(
                id=f"facts/{relation.name}/{template}/{place}",
                content_hash=content_hash([before, after, cloze.among, answers_hash, fact.object]),
                asks=cloze,
                choices=relation.answers,
                gold=(places[fact.object],),
                fields=_fields(relation, fact, template),
            )


def _fields(relation: FactRelation, fact: Fact, template: int) -> dict[str, str]:
    fields = {
        "relation": relation.name,
        "relation_label": relation.label,
        "subject": fact.subject,
        "object": fact.object,
        "template": str(template),
    }
    if fact.popularity is not None:
        fields["popularity"] = str(fact.popularity)
    return fields


def _outcome(item: Item, answer: ClozeAnswer) -> Outcome:
    ranked = rank_candidates(answer.candidates, item.gold[0], item.choices)
    return ranked_outcome(item, ranked, answer.candidates, {**ranked.precision(), MRR: ranked.reciprocal})


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


TASK = TaskDeclaration(
    name="facts",
    load=FactsTask,
    check=lambda name: fact_relations(name, read_fact_file()),
    options={"relations": RELATIONS, "templates": TEMPLATES},
    thing="fact",
    phrasings="templates",
    groups=("relation", "phrasing"),
)
