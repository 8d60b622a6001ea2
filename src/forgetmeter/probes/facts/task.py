"""The built-in facts as a task: each relation's answers ranked by their likelihood in the blank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetmeter.basics.json_text import parse_json
from forgetmeter.errors import ManyUserError, UserError, one_line
from forgetmeter.probes.by_relation import RELATIONS, TEMPLATES, RelationCounts, missing_templates, template_judgement
from forgetmeter.probes.cloze import (
    ANSWER,
    MRR,
    P_AT_1,
    SUBJECT,
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

FACT_FILE = Path(__file__).with_name("facts.json")
"""Written by ``tools/make_facts.py`` in the repository."""

_SOURCE = "built-in facts of forgetmeter (docs/facts.md)"


@dataclass(frozen=True)
class Fact:
    """A fact.

    Attributes:
        subject: The subject as in a sentence, with its article if it has one.
        object: The only right answer, a single word.
        popularity: Number of people the subject has or concerns; ``None`` if unknown.
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
        phrasings: Phrasings by 0-based number; each contains ``[X]`` (subject) once and ends with ``[Y].`` (object).
        answers: The distinct objects of its facts, in alphabetical order.
        popularity: What its facts' popularity counts, in words.
        facts: Its facts, pseudo-randomly ordered, so that the first N are a fair sample.
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
        version: Changes whenever facts, phrasings or their order change.
        trained_phrasings: Number of phrasings per relation, from the first, that the standards are trained on; the rest
            are held out.
    """

    version: str
    trained_phrasings: int
    relations: tuple[FactRelation, ...]


class FactsTask:
    """The built-in facts: each fact in each phrasing of its relation.

    Args:
        limit: Only the first N facts per relation and phrasing, a fair sample and the same facts for every phrasing;
            ``None`` for all.

    Attributes:
        items: The items, ordered by relation, phrasing and fact.

    Raises:
        UserError: The file is missing or damaged, or does not contain what the options ask for.
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
        """Judge the answered items; an item is correct if the right answer is the likeliest of its relation's answers.

        ``p_at_1``, ``p_at_5`` and ``mrr`` are means over items and, with the suffix ``_macro``, over relations;
        ``p_at_1_template_0`` and so on are means over items per phrasing.
        """
        outcomes = [(item, _outcome(item, answer)) for item, answer in answered(self.items, answers)]
        return template_judgement(outcomes, P_AT_1)


def statement(phrasing: str, subject: str) -> str:
    """Return a phrasing with its subject filled in, capitalized; ``[Y]`` stays."""
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
    ranked = rank_candidates(answer.candidates, item.gold, item.choices)
    return ranked_outcome(item, ranked, answer.candidates, {**ranked.precision(), MRR: ranked.reciprocal})


def read_fact_file(path: Path = FACT_FILE) -> FactFile:
    """Read a file of facts.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        content = parse_json(path.read_bytes())
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise _damaged(path, f"are not valid JSON ({one_line(error, most=80)})") from error
    try:
        return _fact_file(content)
    except KeyError as error:
        raise _damaged(path, f"lack {error}") from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise _damaged(path, f"are damaged ({one_line(error, most=120)})") from error


def fact_relations(name: TaskName, file: FactFile) -> tuple[FactRelation, ...]:
    """Return the relations and phrasings that a task selects.

    Raises:
        ManyUserError: Relations or phrasings are unknown; one line each.
    """
    relations = {relation.name: relation for relation in file.relations}
    wanted, numbers = name.listed("relations"), name.listed("templates")
    problems = [
        unknown("relation", each, relations, within="task 'facts'", most=50)
        for each in wanted or ()
        if each not in relations
    ]
    chosen = [each for key, each in relations.items() if wanted is None or key in wanted]
    problems += missing_templates(name, {each.name: each.phrasings for each in chosen})
    if problems:
        raise ManyUserError(problems)
    if numbers is None:
        return tuple(chosen)
    return tuple(
        replace(each, phrasings={int(number): each.phrasings[int(number)] for number in numbers}) for each in chosen
    )


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"the built-in facts '{path}' {what}; install forgetmeter again")


def _fact_file(content: Any) -> FactFile:  # noqa: ANN401
    facts: dict[str, list[Fact]] = {each["relation"]: [] for each in content["relations"]}
    for each in content["facts"]:
        facts[each["relation"]].append(Fact(each["subject"], each["object"], each["popularity"]))
    relations = tuple(_relation(each, facts[each["relation"]]) for each in content["relations"])
    if not relations:
        raise ValueError("no relations")
    if len(facts) < len(relations):
        raise ValueError("two relations have the same name")
    return FactFile(content["version"], content["trained_phrasings"], relations)


def _relation(given: Mapping[str, Any], facts: Sequence[Fact]) -> FactRelation:
    name, phrasings, answers = given["relation"], given["phrasings"], given["answers"]
    for phrasing in phrasings:
        if phrasing.count(SUBJECT) != 1 or phrasing.count(ANSWER) != 1 or not phrasing.endswith(f"{ANSWER}."):
            raise ValueError(
                f"phrasing '{phrasing}' of {name} must contain {SUBJECT} and {ANSWER} once each, and end with "
                f"'{ANSWER}.'"
            )
    allowed = set(answers)
    if len(allowed) < len(answers) or not all(isinstance(each, str) and each.strip() for each in answers):
        raise ValueError(f"answers of {name} must be texts without duplicates")
    subjects = set()
    for fact in facts:
        if not isinstance(fact.subject, str) or fact.subject in subjects:
            raise ValueError(f"subject {fact.subject!r} of {name} is not text or is a duplicate")
        if not fact.subject.strip():
            raise ValueError(f"a subject of {name} is empty")
        if fact.object not in allowed:
            raise ValueError(f"object {fact.object!r} of {name} is not one of its answers")
        if fact.popularity is not None and type(fact.popularity) is not int:
            raise ValueError(f"popularity {fact.popularity!r} of '{fact.subject}' in {name} is not an integer")
        subjects.add(fact.subject)
    if not facts or not phrasings:
        raise ValueError(f"relation {name} has no facts or no phrasings")
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
