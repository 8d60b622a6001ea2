"""The built-in facts as a task: which of a relation's answers is the likeliest in the blank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from forgetmeter.probes.by_relation import RELATIONS, TEMPLATES, RelationCounts, template_judgement
from forgetmeter.probes.cloze import (
    MRR,
    P_AT_1,
    capitalized,
    cloze_answer,
    content_hash,
    rank_candidates,
    ranked_outcome,
    whole_hash,
)
from forgetmeter.probes.declaration import TaskDeclaration
from forgetmeter.probes.facts.file import ANSWER, FACT_FILE, SUBJECT, Fact, FactRelation, fact_relations, read_fact_file
from forgetmeter.records.item import Answer, Cloze, ClozeAnswer, Item, TaskDescription
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.task_name import TaskName

_SOURCE = "built-in facts of forgetmeter (docs/facts.md)"


class FactsTask:
    """The built-in facts: each fact asked by each phrasing of its relation.

    Args:
        name: The task with its options.
        limit: Only the first so many facts of each relation and phrasing; ``None`` for all. Every phrasing is then
            asked of the same facts, which are a fair sample, as the file's order is as good as shuffled.
        path: The file of the facts.

    Attributes:
        description: What the task is.
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
        outcomes = []
        for item, given in zip(self.items, answers, strict=True):
            answer = cloze_answer(item, given)
            if answer is not None:
                outcomes.append((item, _outcome(item, answer)))
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


TASK = TaskDeclaration(
    name="facts",
    load=FactsTask,
    check=lambda name: fact_relations(name, read_fact_file()),
    options={"relations": RELATIONS, "templates": TEMPLATES},
    thing="fact",
    phrasings="templates",
    groups=("relation", "phrasing"),
)
