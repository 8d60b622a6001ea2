"""The tokens of the answers that compete for a blank, as a tree: what they begin with in common stands once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from forgetmeter.records.item import Cloze, Item
from forgetmeter.scoring.tokens.tokenization import as_it_stands

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Branching:
    """A beginning from which answers go on.

    Attributes:
        tokens: What they begin with; nothing, for most.
        room: The room that they share (see ``answer_tree``).
        ends: The tokens one of which comes next, each once.
    """

    tokens: Tokens
    room: int
    ends: Tokens


@dataclass(frozen=True, eq=False)
class AnswerTree:
    """Answers as steps from branching to branching. A step is one token of one answer.

    Attributes:
        answers: Number of answers.
        branchings: Where the model's distribution is looked at. One is enough where all answers are single tokens.
        at: Index of the branching at which each step is taken, int64, of shape ``(steps,)``.
        ends: Index of the step's token among the branching's ends, of the same shape.
        owners: Index of the answer that each step belongs to, of the same shape.
    """

    answers: int
    branchings: tuple[Branching, ...]
    at: NDArray[np.int64]
    ends: NDArray[np.int64]
    owners: NDArray[np.int64]

    @cached_property
    def longest(self) -> int:
        """Number of tokens of the longest answer."""
        return max((len(branching.tokens) + 1 for branching in self.branchings), default=0)

    @cached_property
    def is_whole(self) -> bool:
        """Whether every answer has a token."""
        return len(np.unique(self.owners)) == self.answers

    def slots(self, firsts: Sequence[int]) -> NDArray[np.int64]:
        """Return the slot of each step, given the slot of each branching's first end."""
        slots: NDArray[np.int64] = np.asarray(firsts, dtype=np.int64)[self.at] + self.ends
        return slots


def answer_tree(answers: Sequence[Tokens], *, rooms: Sequence[int] | None = None) -> AnswerTree:
    """Return the tree of answers.

    Args:
        answers: The tokens of each. The same ones may come twice.
        rooms: A number for each answer; those whose numbers differ share nothing, whatever they begin with. A masked
            language model sees how many masks there are, so that their number tells rooms apart. ``None`` where all
            share what they can.
    """
    ends: dict[tuple[int, Tokens], dict[int, int]] = {}
    steps: list[tuple[tuple[int, Tokens], int, int]] = []
    for owner, answer in enumerate(answers):
        for place, token in enumerate(answer):
            beginning = (0 if rooms is None else rooms[owner], answer[:place])
            known = ends.setdefault(beginning, {})
            steps.append((beginning, known.setdefault(token, len(known)), owner))
    number = {beginning: place for place, beginning in enumerate(ends)}
    columns = np.array([(number[beginning], end, owner) for beginning, end, owner in steps], dtype=np.int64)
    at, chosen, owners = columns.reshape(-1, 3).T.copy()
    branchings = tuple(Branching(tokens, room, tuple(known)) for (room, tokens), known in ends.items())
    return AnswerTree(len(answers), branchings, at, chosen, owners)


def one_begins_another(answers: Sequence[Tokens]) -> bool:
    """Whether the tokens of one answer are the beginning of another's, without being the same."""
    # In this order, whatever begins with an answer follows it at once.
    ordered = sorted(set(answers))
    return any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(ordered))


class AnswersAlone:
    """Answers that a model puts into a blank: tokenized by themselves, with the space that stands before them.

    Tasks ask many items the same choices; these are tokenized once.

    Args:
        tokenizer: The model's tokenizer.
        make_tree: Makes the tree of the answers' tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, make_tree: Callable[[Sequence[Tokens]], AnswerTree]) -> None:
        @cache
        def tree(choices: tuple[str, ...], space: str) -> AnswerTree:
            texts = [as_it_stands(Cloze(space, "", "answers"), choice) for choice in choices]
            encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
            return make_tree([tuple(ids) for ids in encoded])

        self._tree = tree

    def of(self, cloze: Cloze, choices: tuple[str, ...]) -> AnswerTree:
        """Return the answers to a cloze."""
        return self._tree(choices, " " if cloze.before.endswith(" ") else "")


@dataclass(frozen=True)
class Written:
    """What a model writes that reads from left to right.

    Attributes:
        before: The tokens before the answers, the same for all.
        tree: The answers; with what follows them where one would begin another.
    """

    before: Tokens
    tree: AnswerTree


@dataclass(frozen=True, eq=False)
class _Endings:
    """How statements end whose blanks follow the same word and whose choices are the same.

    Attributes:
        taken_back: How many of the last tokens before the blank are others once an answer follows.
        of_choices: What stands in their place and after them, for each choice.
        follows: The text after the blank, where it is part of that; else nothing.
        tree: The same as a tree, with the token that ends a text where that is part of it.
    """

    taken_back: int
    of_choices: tuple[Tokens, ...]
    follows: str
    tree: AnswerTree

    def kept(self, before: Tokens) -> Tokens:
        """Return those tokens before the blank that stay as they are."""
        return before[: len(before) - self.taken_back]


class AnswersWritten:
    """Answers that a model writes after the text before the blank: tokenized together with it.

    An answer's tokens are those after what the statements of all choices, up to their answers, and the text before the
    blank have in common at their beginnings. Where the tokens of one are the beginning of another's, what follows the
    blank is part of all of them; where nothing follows it, the end of the text.

    Tokenizing every statement of every item would take longer than a small model takes to read them. How statements
    end is therefore learned once for each last word before the blank, and checked on one statement of every item, each
    time with another choice; an item whose check fails has all its statements tokenized.

    Args:
        tokenize: Gives the tokens of texts, with those that begin a text and without those that end it.
        end: The token that ends a text; nothing where there is none.
    """

    def __init__(self, tokenize: Callable[[Sequence[str]], Sequence[Tokens]], end: Tokens) -> None:
        self._tokenize = tokenize
        self._end = end
        self._known: dict[tuple[str, str, tuple[str, ...]], _Endings] = {}

    def of(self, items: Sequence[Item]) -> list[Written]:
        """Return what is written for each item; all are clozes."""
        if not items:
            return []
        clozes = [item.cloze for item in items]
        befores = self._tokenize([cloze.before.rstrip() for cloze in clozes])
        asked = [(cloze, item.choices, before) for cloze, item, before in zip(clozes, items, befores, strict=True)]
        endings = [self._likely_endings(*each) for each in asked]
        checked = [number % len(item.choices) for number, item in enumerate(items)]
        statements = [
            f"{cloze.before}{item.choices[choice]}{likely.follows}"
            for cloze, item, likely, choice in zip(clozes, items, endings, checked, strict=True)
        ]
        written = []
        for number, tokens in enumerate(self._tokenize(statements)):
            likely, before = endings[number], befores[number]
            if tokens != likely.kept(before) + likely.of_choices[checked[number]]:
                likely = self._endings(*asked[number])
            written.append(Written(likely.kept(before), likely.tree))
        return written

    def _likely_endings(self, cloze: Cloze, choices: tuple[str, ...], before: Tokens) -> _Endings:
        """Return the endings that were found after the same word, if any were."""
        stripped = cloze.before.rstrip()
        key = (cloze.before[stripped.rfind(" ") + 1 :], cloze.after, choices)
        if key not in self._known:
            self._known[key] = self._endings(cloze, choices, before)
        return self._known[key]

    def _endings(self, cloze: Cloze, choices: tuple[str, ...], before: Tokens) -> _Endings:
        shared, of_choices = self._split(cloze, choices, before, "")
        if not one_begins_another(of_choices):
            return _Endings(len(before) - shared, of_choices, "", answer_tree(of_choices))
        shared, of_choices = self._split(cloze, choices, before, cloze.after)
        end = () if cloze.after.strip() else self._end
        tree = answer_tree([(*tokens, *end) for tokens in of_choices])
        return _Endings(len(before) - shared, of_choices, cloze.after, tree)

    def _split(
        self, cloze: Cloze, choices: tuple[str, ...], before: Tokens, follows: str
    ) -> tuple[int, tuple[Tokens, ...]]:
        """Return how many tokens all statements begin with, and what stands after them in each."""
        statements = self._tokenize([f"{cloze.before}{choice}{follows}" for choice in choices])
        shared = min(_shared(before, statement) for statement in statements)
        return shared, tuple(statement[shared:] for statement in statements)


def _shared(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two sequences have in common at their beginnings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, others) in pairs if mine != others), min(len(one), len(other)))
