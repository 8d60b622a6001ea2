"""Facts from a file: each fills the templates of its relation, and the relation's answers are ranked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from forgetmeter.errors import UserError
from forgetmeter.probes.by_relation import RelationCounts, template_judgement
from forgetmeter.probes.choice_problems import choice_problem
from forgetmeter.probes.cloze import (
    MRR,
    P_AT_1,
    AnswerSpace,
    answered,
    content_hash,
    filled_template,
    rank_candidates,
    ranked_outcome,
)
from forgetmeter.probes.from_file.rows import FileRow
from forgetmeter.probes.from_file.templates import TemplateFile
from forgetmeter.records.item import Among, Answer, ClozeAnswer, Item, Problem, TaskDescription
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.suggestion import did_you_mean


@dataclass(frozen=True)
class _Fact:
    name: str
    row: FileRow
    subject: str
    relation: str
    objects: tuple[str, ...]

    @property
    def missing(self) -> str | None:
        values = {"relation": self.relation, "subject": self.subject, "object": self.objects}
        return next((f"{column} is missing" for column, value in values.items() if not value), None)


class Facts:
    """Facts, each in each template of its relation.

    Args:
        rows: The rows of the file, each with its id.
        file: The templates, and the candidates where they are listed.
        description: The task's description.
        among: What the right answer competes with.
        limit: Only the first N facts per relation and template; ``None`` for all.

    Attributes:
        items: The items, ordered by relation, template and fact.
        relations: Counts per relation.

    Raises:
        UserError: A value has the wrong type, a fact is a duplicate, or a relation has no templates or a single answer.
    """

    def __init__(
        self,
        rows: Sequence[tuple[str, FileRow]],
        file: TemplateFile,
        description: TaskDescription,
        *,
        among: Among,
        limit: int | None,
    ) -> None:
        self._file, self._among = file, among
        facts: dict[str, list[_Fact]] = {}
        for name, row in rows:
            fact = self._fact(name, row)
            facts.setdefault(fact.relation, []).append(fact)
        _refuse_duplicates(facts)
        items: list[Item] = [_unasked(fact) for fact in facts.pop("", ())]
        counts = []
        for relation, members in facts.items():
            asked = list(self._items(relation, members))
            problems = Counter(item.problem for item in asked if item.problem is not None)
            templates = file.templates[relation]
            counts.append(RelationCounts(relation, "", " / ".join(templates.values()), len(asked), problems))
            kept = {fact.name for fact in members[:limit]}
            items += [item for item in asked if item.id.rpartition("/")[0] in kept]
        self.items = tuple(items)
        self.relations = tuple(counts)
        self.description = description

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items; an item is correct if a right answer is the likeliest (the first one in a tie).

        ``p_at_1``, ``p_at_5`` and ``mrr`` are means over items and, with the suffix ``_macro``, over relations;
        ``p_at_1_template_0`` and so on are means over items per template.
        """
        outcomes = [(item, _outcome(item, answer)) for item, answer in answered(self.items, answers)]
        return template_judgement(outcomes, P_AT_1)

    def _fact(self, name: str, row: FileRow) -> _Fact:
        relation = row.label("relation")
        if relation and relation not in self._file.templates:
            meant = did_you_mean(relation, self._file.templates)
            raise row.wrong(f"relation '{relation}' has no templates in '{self._file.path}'{meant}")
        objects = tuple(str(each).strip() for each in row.one_or_more("object"))
        return _Fact(name, row, row.label("subject"), relation, objects)

    def _items(self, relation: str, facts: Sequence[_Fact]) -> Iterator[Item]:
        answers = self._answers(relation, facts)
        space, places = AnswerSpace(answers), {answer: place for place, answer in enumerate(answers)}
        for number, template in self._file.templates[relation].items():
            for fact in facts:
                gold = tuple(sorted({places[each] for each in fact.objects if each in places}))
                yield self._item(fact, number, template, gold, space)

    def _item(self, fact: _Fact, number: int, template: str, gold: tuple[int, ...], space: AnswerSpace) -> Item:
        cloze = filled_template(template, fact.subject, self._among)
        choices, choices_hash = space.at(cloze)
        reason = fact.missing or choice_problem(gold, choices)
        given = [fact.row.label("id"), cloze.before, cloze.after, self._among, choices_hash, json.dumps(gold)]
        fields = {
            "relation": fact.relation,
            "subject": fact.subject,
            "object": " / ".join(fact.objects),
            "template": str(number),
        }
        return Item(
            id=f"{fact.name}/{number}",
            content_hash=content_hash(given),
            asks=Problem(reason) if reason else cloze,
            choices=choices,
            gold=gold,
            fields=fields | fact.row.popularity(),
        )

    def _answers(self, relation: str, facts: Sequence[_Fact]) -> tuple[str, ...]:
        if listed := self._file.candidates.get(relation):
            return listed
        answers = tuple(sorted({each for fact in facts for each in fact.objects if each}))
        if len(answers) < 2:
            only = f"the only object is '{answers[0]}'" if answers else "there is no object"
            raise facts[0].row.wrong(
                f"relation '{relation}': {only}, so there is nothing to choose from; list candidates in "
                f"'{self._file.path}', "
                f'such as candidates: {{{relation}: ["…", "…"]}}'
            )
        return answers


def _unasked(fact: _Fact) -> Item:
    content = content_hash([fact.row.label("id"), fact.subject, *fact.objects])
    return Item(fact.name, content, Problem(fact.missing or ""))


def _refuse_duplicates(facts: Mapping[str, Sequence[_Fact]]) -> None:
    """Refuse two facts about one subject and relation.

    Raises:
        UserError: There are such facts.
    """
    for relation, members in facts.items():
        first: dict[str, _Fact] = {}
        for fact in members:
            other = first.setdefault(fact.subject, fact)
            if other is not fact and relation and fact.subject:
                raise UserError(
                    f"{fact.row.place}: subject '{fact.subject}' of relation '{relation}' is a duplicate (first in "
                    f"{other.row.place}); if both objects are right, write them as a list in one row"
                )


def _outcome(item: Item, answer: ClozeAnswer) -> Outcome:
    ranked = rank_candidates(answer.candidates, item.gold, item.choices)
    return ranked_outcome(item, ranked, answer.candidates, {**ranked.precision(), MRR: ranked.reciprocal})
