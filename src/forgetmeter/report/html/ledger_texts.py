"""The items and answers of one task in the page, with every text stored once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetmeter.report.html.ledger_changes import Change
from forgetmeter.report.html.long_answers import Given, LongAnswers
from forgetmeter.report.html.other_phrasings import OtherPhrasings
from forgetmeter.report.words.recipe_words import recipe_in_words
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.content.given_answers import GivenAnswers
from forgetmeter.runs.run import Run
from forgetmeter.specs.recipe import BASELINE

_LONGEST_STATEMENT = 220
_LONGEST_ANSWER = 80


class LedgerTexts:
    """Collects the items and answers of one task."""

    def __init__(self, run: Run, task: str) -> None:
        self.task = task
        self.changes: list[dict[str, Any]] = []
        self._run = run
        self._about = run.item_texts.get(task)
        self._places = {} if self._about is None else {item: place for place, item in enumerate(self._about.ids)}
        labels = {} if self._about is None else self._about.relation_labels
        self._names = {words: name for name, words in labels.items()}
        self._strings: dict[str, int] = {}
        self._relations: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._columns: dict[str, list[int]] = {"statement": [], "gold": [], "relation": []}

    @property
    def bytes(self) -> int:
        """Size of the texts in bytes."""
        return sum(len(text.encode("utf-8", "replace")) for text in self._strings)

    def add(self, answers: Answers, changes: Sequence[Change]) -> None:
        """Add the changes of one model's recipes."""
        given, phrasings = GivenAnswers(self._run, answers), OtherPhrasings(answers, self._about)
        seen = np.unique(np.concatenate([change.items for change in changes]))
        golds, befores = (given.read(BASELINE, seen, column) for column in ("gold", "prediction"))
        afters = [given.read(change.recipe, change.items, "prediction") for change in changes]
        alike = LongAnswers(_LONGEST_ANSWER)
        for items, texts in (
            (seen, golds),
            (seen, befores),
            *zip((each.items for each in changes), afters, strict=True),
        ):
            alike.see(items, texts)
        places = np.zeros(len(answers.items), dtype=np.int64)
        before = np.zeros(len(answers.items), dtype=np.int64)
        before[seen] = self._answers(seen, befores, alike)
        gold = self._answers(seen, golds, alike).tolist()
        places[seen] = [self._item(answers.items[item], each) for item, each in zip(seen, gold, strict=True)]
        for change, texts in zip(changes, afters, strict=True):
            after = self._answers(change.items, texts, alike)
            ranked = change.row if change.kind == "forgotten" else answers.baseline
            ranks = np.nan_to_num(answers.rank[ranked, change.items]).astype(int)
            order = np.argsort(places[change.items], kind="stable")
            elsewhere = phrasings.right(change)
            self.changes.append(
                {
                    "model": answers.model,
                    "recipe": change.recipe,
                    "words": recipe_in_words(change.recipe, self._run.study.methods),
                    "kind": change.kind,
                    "total": change.total,
                    "item": np.diff(places[change.items][order], prepend=0).tolist(),
                    "before": before[change.items][order].tolist(),
                    "after": after[order].tolist(),
                    "rank": ranks[order].tolist(),
                    **({} if elsewhere is None else {"elsewhere": np.flatnonzero(elsewhere[order]).tolist()}),
                }
            )

    def document(self) -> dict[str, Any]:
        """Return the task in the form that the page's script reads."""
        return {
            "name": self.task,
            "relations": list(self._relations),
            "names": [self._names.get(words, words) for words in self._relations],
            "strings": list(self._strings),
            **self._columns,
        }

    def _item(self, item: str, gold: int) -> int:
        known = self._items.get(item)
        if known is not None:
            return known
        place = self._places.get(item)
        statement, relation = item, None
        if self._about is not None and place is not None:
            statement = self._about.statements[place] or item
            relation = self._about.relations[place]
        self._columns["statement"].append(self._string(statement, _LONGEST_STATEMENT))
        self._columns["gold"].append(gold)
        number = -1 if relation is None else self._relations.setdefault(relation, len(self._relations))
        self._columns["relation"].append(number)
        return self._items.setdefault(item, len(self._items))

    def _answers(self, items: NDArray[np.int64], given: Given, alike: LongAnswers) -> NDArray[np.int64]:
        # Few distinct answers are given many times, so each is looked up once.
        texts, which = given
        strings = np.asarray([self._string(text, _LONGEST_ANSWER) for text in texts], dtype=np.int64)[which]
        for place, text in alike.among(items, given):
            strings[place] = self._string(text, _LONGEST_ANSWER)
        return strings

    def _string(self, text: str, longest: int) -> int:
        return self._strings.setdefault(shortened(text, longest), len(self._strings))


def shortened(text: str, longest: int) -> str:
    """Return a text in one line, shortened to its beginning and its end, where the question is."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    head, tail = text[: longest // 3], text[-(longest - longest // 3 - 3) :]
    # Cut between words, unless that would remove most of a part.
    words = head.rpartition(" ")[0], tail.partition(" ")[2]
    head, tail = (most if len(most) * 2 > len(part) else part for most, part in zip(words, (head, tail), strict=True))
    return f"{head.rstrip()} … {tail.lstrip()}"
