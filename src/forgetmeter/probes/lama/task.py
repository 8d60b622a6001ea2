"""LAMA's data sets as tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from forgetmeter.probes.by_relation import RELATIONS, dropped_in_all, relation_means
from forgetmeter.probes.cloze import (
    MRR,
    P_AT_1,
    answered,
    content_hash,
    rank_candidates,
    rank_in_vocabulary,
    ranked_outcome,
)
from forgetmeter.probes.declaration import TaskDeclaration
from forgetmeter.probes.lama.questions import LamaQuestion, RelationQuestions, check_evidence, read_questions
from forgetmeter.probes.lama.relations import BLANK, LAMA, lama_relations
from forgetmeter.records.item import Answer, Cloze, ClozeAnswer, Item, TaskDescription
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.task_name import TaskName, TaskOption

_VERSION = "1"
_SOURCE = "LAMA (Petroni et al. 2019), github.com/facebookresearch/LAMA"
_PAPER = "paper_p_at_1"
_NEXT_TOKEN = "next_token_"
_DUPLICATE = "duplicate"


class LamaTask:
    """One of LAMA's data sets.

    Args:
        limit: Only the first N items per relation; ``None`` for all.
        data: The data folder; by default, the one ``data_folder`` returns.

    Attributes:
        items: The items by relation in LAMA's order, and within a relation in file order.

    Raises:
        UserError: The data is missing or damaged, or does not contain what the options ask for.
    """

    def __init__(self, name: TaskName, *, limit: int | None = None, data: Path | None = None) -> None:
        relations = lama_relations(name, LAMA.found(data))
        read = [read_questions(relation) for relation in relations]
        if "relations" in dict(name.options):
            for each in read:
                check_evidence(each)
        self.relations = tuple(each.counts for each in read)
        self.items = tuple(_items(name, read, limit))
        self.description = TaskDescription(
            name=str(name),
            version=_VERSION,
            source=_SOURCE,
            primary_metric=P_AT_1,
            official_size=sum(each.read for each in self.relations),
            filters=dropped_in_all(self.relations),
        )

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items.

        An item is correct if the right answer is the likeliest candidate or, without candidates, the likeliest token of
        the vocabulary. Metrics are means over items and, with the suffix ``_macro``, over relations: ``p_at_1``,
        ``p_at_5`` and ``mrr``; with candidates, also ``next_token_p_at_1`` and ``next_token_p_at_5`` from the
        vocabulary; without, also ``paper_p_at_1``, which follows the scripts of arXiv 2312.00960: whether the likeliest
        token equals the label in lower case, over items without those that repeat an earlier sentence.
        """
        judged = [(item, _outcome(item, answer)) for item, answer in answered(self.items, answers)]
        means = relation_means((item.fields["relation"], outcome.metrics) for item, outcome in judged)
        return Judgement(tuple(outcome for _, outcome in judged), means)


def _items(name: TaskName, read: Sequence[RelationQuestions], limit: int | None) -> Iterator[Item]:
    """Yield the first items of each relation, marking those that repeat an earlier sentence."""
    asked: set[str] = set()
    for relation in read:
        # Questions beyond the limit count too, so that items do not depend on the limit.
        for place, question in enumerate(relation.questions):
            is_duplicate = question.sentence in asked
            asked.add(question.sentence)
            if limit is None or place < limit:
                yield _item(name, relation, question, is_duplicate)


def _item(name: TaskName, read: RelationQuestions, question: LamaQuestion, is_duplicate: bool) -> Item:
    before, after = question.sentence.split(BLANK)
    relation = read.relation
    # Tasks with a single relation omit its name.
    place = f"{relation.name}/{question.place}" if "relations" in name.declared else question.place
    cloze = Cloze(before, after, "candidates" if name.value("multi_token") == "true" else "vocabulary")
    fields = {
        "relation": relation.name,
        "relation_label": relation.label,
        "subject": question.subject,
        "object": question.object,
    }
    if question.uuid:
        fields["uuid"] = question.uuid
    if is_duplicate:
        fields[_DUPLICATE] = "true"
    return Item(
        id=f"{name.base}/{place}",
        content_hash=content_hash([before, after, cloze.among, read.objects_hash, question.object]),
        asks=cloze,
        choices=read.objects,
        gold=(read.object_places[question.object],),
        fields=fields,
    )


def _outcome(item: Item, answer: ClozeAnswer) -> Outcome:
    if answer.candidates:
        ranked = rank_candidates(answer.candidates, item.gold, item.choices)
        loglikelihoods = answer.candidates
    else:
        assert answer.vocabulary is not None
        ranked = rank_in_vocabulary(answer.vocabulary)
        loglikelihoods = (answer.vocabulary.loglikelihood,)
    metrics = {**ranked.precision(), MRR: ranked.reciprocal, **_from_vocabulary(item, answer)}
    return ranked_outcome(item, ranked, loglikelihoods, metrics)


def _from_vocabulary(item: Item, answer: ClozeAnswer) -> Mapping[str, float]:
    if answer.vocabulary is None:
        return {}
    metrics = rank_in_vocabulary(answer.vocabulary).precision(_NEXT_TOKEN) if answer.candidates else {}
    if not answer.candidates and _DUPLICATE not in item.fields:
        agrees = answer.is_number and answer.vocabulary.top[0].lower().strip() == item.choices[item.gold[0]].lower()
        metrics[_PAPER] = float(agrees)
    return metrics


def _check(name: TaskName, *, data: Path | None) -> None:
    lama_relations(name, LAMA.found(data))


def _declared(name: str, options: Mapping[str, TaskOption]) -> TaskDeclaration:
    return TaskDeclaration(
        name=name, load=LamaTask, check=_check, options=options, thing="fact", groups=("relation",), data=LAMA
    )


_MULTI_TOKEN = TaskOption(
    "false",
    "Rank the relation's objects as whole statements, so that answers can have several tokens.",
    ("false", "true"),
)
_SOURCES = TaskOption(
    "template",
    "Text of the questions: the relation's template, or the sentences of its evidence.",
    ("template", "evidence"),
)
_OF_ONE_RELATION = {"multi_token": _MULTI_TOKEN}
_OF_SEVERAL = {"source": _SOURCES, "multi_token": _MULTI_TOKEN, "relations": RELATIONS}

SQUAD = _declared("lama/squad", _OF_ONE_RELATION)
GOOGLE_RE = _declared("lama/google_re", _OF_SEVERAL)
TREX = _declared("lama/trex", _OF_SEVERAL)
CONCEPTNET = _declared("lama/conceptnet", _OF_ONE_RELATION)
