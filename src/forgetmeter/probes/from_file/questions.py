"""Questions with choices from a file: each choice is scored as a continuation of the prompt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from forgetmeter.probes.by_relation import MACRO, RelationCounts, relation_means
from forgetmeter.probes.choice_problems import choice_problem
from forgetmeter.probes.cloze import content_hash, rank_candidates, ranked_outcome, whole_hash
from forgetmeter.probes.from_file.rows import FileRow, whole_number
from forgetmeter.records.item import Answer, Item, Problem, Request, Requests, RequestScores, TaskDescription
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.records.question_key import question_key

ACC, ACC_NORM = "acc", "acc_norm"
FEW_CHOICES = "fewer than two choices"
EMPTY_CHOICE = "a choice is empty"
_DELIMITER = " "
"""Between prompt and choice, as in lm-evaluation-harness."""


class Questions:
    """Questions with choices; an item is right if its likeliest choice is a right one.

    Args:
        rows: The rows of the file, each with its id.
        description: The task's description.
        limit: Only the first N questions, per group if there are groups; ``None`` for all.

    Attributes:
        items: The items, in file order.
        relations: Counts per group; missing if the questions have no groups.

    Raises:
        UserError: A value has the wrong type, only some questions have a group, indices start at 1, or a question is
            repeated.
    """

    def __init__(self, rows: Sequence[tuple[str, FileRow]], description: TaskDescription, *, limit: int | None) -> None:
        _refuse_counting_from_1([row for _, row in rows])
        items = [_item(name, row) for name, row in rows]
        groups = [item.fields.get("relation", "") for item in items]
        self._is_grouped = any(groups)
        if self._is_grouped and "" in groups:
            raise rows[groups.index("")][1].wrong("'group' is missing, but other questions have one")
        if self._is_grouped:
            self.relations = _counts(groups, items)
        _refuse_repeated(items, [row for _, row in rows])
        self.items = tuple(_first(items, groups, limit))
        self.description = description

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items by lm-evaluation-harness's rules for multiple choice.

        ``acc`` is the share of items whose right choice has the highest log-likelihood (the first one in a tie), and
        ``acc_norm`` is the same with log-likelihoods per character; with the suffix ``_macro``, means over groups.
        """
        outcomes = [
            (item, _outcome(item, answer))
            for item, answer in zip(self.items, answers, strict=True)
            if isinstance(answer, RequestScores)
        ]
        means = relation_means((item.fields.get("relation", ""), outcome.metrics) for item, outcome in outcomes)
        kept = {name: value for name, value in means.items() if self._is_grouped or not name.endswith(MACRO)}
        return Judgement(tuple(outcome for _, outcome in outcomes), kept)


def _refuse_repeated(items: Sequence[Item], rows: Sequence[FileRow]) -> None:
    """Refuse a question that another row asks as well: intervals and tests count each as evidence of its own."""
    first: dict[Hashable, FileRow] = {}
    for item, row in zip(items, rows, strict=True):
        if item.problem is None and (other := first.setdefault(question_key(item), row)) is not row:
            raise row.wrong(f"it repeats the question in {other.place}, which would count twice; remove one of them")


def _item(name: str, row: FileRow) -> Item:
    prompt, choices = row.text("prompt"), row.texts("choices")
    gold, reason = _right(row, choices)
    fields = {"relation": group} if (group := row.label("group")) else {}
    fields |= row.popularity()
    if prompt is None:
        reason = "prompt is missing"
    content = content_hash([row.label("id"), prompt or "", whole_hash(choices), json.dumps(gold)])
    requests = Requests(Request(prompt or "", f"{_DELIMITER}{choice}") for choice in choices)
    return Item(name, content, Problem(reason) if reason else requests, choices, gold, fields)


def _right(row: FileRow, choices: Sequence[str]) -> tuple[tuple[int, ...], str | None]:
    """Return the indices of the right choices, and why the question cannot be asked."""
    given = row.one_or_more("answer", verbatim=choices)
    places = {place for answer in given for place in _places(row, answer, choices)}
    gold = tuple(sorted(places))
    if not given:
        return gold, "answer is missing"
    if len(choices) < 2:
        return gold, FEW_CHOICES
    if not all(choice.strip() for choice in choices):
        return gold, EMPTY_CHOICE
    return gold, choice_problem(gold, choices)


def _refuse_counting_from_1(rows: Sequence[FileRow]) -> None:
    """Refuse answers that seem to be 1-based: otherwise, nearly all items would have a wrong answer marked as right.

    Raises:
        UserError: No answer is 0, and one equals the number of its choices.
    """
    beyond: FileRow | None = None
    for row in rows:
        choices = row.texts("choices")
        for answer in row.one_or_more("answer", verbatim=choices):
            number = answer if isinstance(answer, int) else _index(row, answer)
            if number == 0:
                return
            if number == len(choices) and answer not in choices:
                beyond = beyond or row
    if beyond is not None:
        raise beyond.wrong("answer equals the number of choices, and no answer is 0; indices start at 0, not 1")


def _index(row: FileRow, answer: str) -> int | None:
    # A CSV file does not distinguish the number 2 from the text "2".
    return whole_number(answer) if row.is_text and answer == row.value("answer") else None


def _places(row: FileRow, answer: str | int, choices: Sequence[str]) -> list[int]:
    if isinstance(answer, int):
        return [answer] if 0 <= answer < len(choices) else []
    index, places = _index(row, answer), _equal(answer, choices)
    if index is None:
        return places
    # The text 2 in a column of fractions is 2.0.
    places = places or _equal(answer.strip().removesuffix(".0"), choices)
    if places and index not in places and index < len(choices):
        either = f"choice {places[0]} or, as an index from 0, '{choices[index]}'"
        write = f'write ["{choices[places[0]]}"] for the text, [{index}] for the index'
        raise row.wrong(f"answer '{answer}' could be {either}; {write}")
    return places or ([index] if index < len(choices) else [])


def _equal(answer: str, choices: Sequence[str]) -> list[int]:
    return [place for place, choice in enumerate(choices) if choice == answer]


def _first(items: Sequence[Item], groups: Sequence[str], limit: int | None) -> Iterator[Item]:
    seen: Counter[str] = Counter()
    for item, group in zip(items, groups, strict=True):
        seen[group] += 1
        if limit is None or seen[group] <= limit:
            yield item


def _counts(groups: Sequence[str], items: Sequence[Item]) -> tuple[RelationCounts, ...]:
    dropped: dict[str, Counter[str]] = {group: Counter() for group in groups}
    for group, item in zip(groups, items, strict=True):
        if item.problem is not None:
            dropped[group][item.problem] += 1
    return tuple(RelationCounts(group, "", "", read, dropped[group]) for group, read in Counter(groups).items())


def _outcome(item: Item, answer: RequestScores) -> Outcome:
    values = [score.loglikelihood for score in answer]
    ranked = rank_candidates(values, item.gold, item.choices)
    by_length = np.asarray(values) / [len(choice) for choice in item.choices]
    is_right = answer.is_number and int(by_length.argmax()) in item.gold
    return ranked_outcome(item, ranked, values, {ACC: float(ranked.correct), ACC_NORM: float(is_right)})
