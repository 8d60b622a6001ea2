"""Tokens of competing answers as a prefix tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from forgetmeter.records.item import Cloze, Item
from forgetmeter.scoring.tokens.tokenization import with_leading_space

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Branching:
    """A common prefix of answers.

    Attributes:
        tokens: The prefix; empty for most.
        room: The room of these answers (see ``answer_tree``).
        ends: The distinct next tokens.
    """

    tokens: Tokens
    room: int
    ends: Tokens


@dataclass(frozen=True, eq=False)
class AnswerTree:
    """A prefix tree of answers; each step is one token of one answer.

    Attributes:
        answers: Number of answers.
        branchings: Prefixes after which to read the model; only the empty one if all answers are single tokens.
        at: Index of each step's branching, int64, shape ``(steps,)``.
        ends: Index of each step's token among the branching's ends, same shape.
        owners: Index of each step's answer, same shape.
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
        """Whether every answer has at least one token."""
        return len(np.unique(self.owners)) == self.answers

    def slots(self, firsts: Sequence[int]) -> NDArray[np.int64]:
        """Return the slot of each step, given the first slot of each branching."""
        slots: NDArray[np.int64] = np.asarray(firsts, dtype=np.int64)[self.at] + self.ends
        return slots


def answer_tree(answers: Sequence[Tokens], *, rooms: Sequence[int] | None = None) -> AnswerTree:
    """Return the tree of answers.

    Args:
        answers: The tokens of each answer; duplicates are allowed.
        rooms: A number per answer; answers with different numbers share no prefix. A masked language model sees the
            number of masks, so it is used as the room. ``None`` to share all prefixes.
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


def has_prefix_pair(answers: Sequence[Tokens]) -> bool:
    """Whether one answer is a proper prefix of another."""
    # In sorted order, an extension directly follows its prefix.
    ordered = sorted(set(answers))
    return any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(ordered))


class AnswersAlone:
    """Answers tokenized alone, with the space before the blank. Choices shared by many items are tokenized once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, make_tree: Callable[[Sequence[Tokens]], AnswerTree]) -> None:
        @cache
        def tree(choices: tuple[str, ...], space: str) -> AnswerTree:
            texts = [with_leading_space(Cloze(space, "", "answers"), choice) for choice in choices]
            encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
            return make_tree([tuple(ids) for ids in encoded])

        self._tree = tree

    def of(self, cloze: Cloze, choices: tuple[str, ...]) -> AnswerTree:
        """Return the tree of a cloze's answers."""
        return self._tree(choices, " " if cloze.before.endswith(" ") else "")


@dataclass(frozen=True)
class ClozeTokens:
    """Tokens of a cloze for a model that reads from left to right.

    Attributes:
        before: The tokens before the answers, the same for all.
        tree: The answers, followed by the text after the blank if one would be a prefix of another.
    """

    before: Tokens
    tree: AnswerTree


@dataclass(frozen=True, eq=False)
class _Endings:
    """Endings of statements with the same choices and the same word before the blank.

    Attributes:
        taken_back: Number of tokens at the end of the text before the blank that change once an answer follows.
        of_choices: For each choice, the tokens that replace and follow them.
        follows: The text after the blank, if ``of_choices`` includes it; else empty.
        tree: ``of_choices`` as a tree, with the end-of-sequence token if needed.
    """

    taken_back: int
    of_choices: tuple[Tokens, ...]
    follows: str
    tree: AnswerTree

    def kept(self, before: Tokens) -> Tokens:
        """Return the tokens before the blank that do not change."""
        return before[: len(before) - self.taken_back]


class AnswersWritten:
    """Answers tokenized together with the text before the blank.

    An answer's tokens are what remains of its statement after the common prefix of all statements and the text before
    the blank. If one answer is a prefix of another, all of them also include the text after the blank, or the
    end-of-sequence token if there is no such text.

    Tokenizing all statements would take longer than a small model needs to read them. If the tokenizer works word by
    word, endings are therefore computed once per word before the blank and checked on one statement of every item, with
    a different choice each time; if the check fails, all statements of the item are tokenized.

    Args:
        tokenize: Tokenizes texts, with beginning-of-sequence and without end-of-sequence tokens.
        end: The end-of-sequence token; empty if there is none.
        is_by_word: Whether no token holds parts of two words.
    """

    def __init__(self, tokenize: Callable[[Sequence[str]], Sequence[Tokens]], end: Tokens, *, is_by_word: bool) -> None:
        self._tokenize = tokenize
        self._end = end
        self._is_by_word = is_by_word
        self._known: dict[tuple[str, str, tuple[str, ...]], _Endings] = {}

    def of(self, items: Sequence[Item]) -> list[ClozeTokens]:
        """Return the tokens of each item; all must be clozes."""
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
            written.append(ClozeTokens(likely.kept(before), likely.tree))
        return written

    def _likely_endings(self, cloze: Cloze, choices: tuple[str, ...], before: Tokens) -> _Endings:
        """Return the endings cached for the same word before the blank, or compute them."""
        stripped = cloze.before.rstrip()
        key = (cloze.before[stripped.rfind(" ") + 1 :], cloze.after, choices)
        if not self._is_by_word:
            return self._endings(cloze, choices, before)
        if key not in self._known:
            self._known[key] = self._endings(cloze, choices, before)
        return self._known[key]

    def _endings(self, cloze: Cloze, choices: tuple[str, ...], before: Tokens) -> _Endings:
        shared, of_choices = self._split(cloze, choices, before, "")
        if not has_prefix_pair(of_choices):
            return _Endings(len(before) - shared, of_choices, "", answer_tree(of_choices))
        shared, of_choices = self._split(cloze, choices, before, cloze.after)
        end = () if cloze.after.strip() else self._end
        tree = answer_tree([(*tokens, *end) for tokens in of_choices])
        return _Endings(len(before) - shared, of_choices, cloze.after, tree)

    def _split(
        self, cloze: Cloze, choices: tuple[str, ...], before: Tokens, follows: str
    ) -> tuple[int, tuple[Tokens, ...]]:
        """Return the length of the common prefix of all statements, and the rest of each."""
        statements = self._tokenize([f"{cloze.before}{choice}{follows}" for choice in choices])
        shared = min(_common_prefix(before, statement) for statement in statements)
        return shared, tuple(statement[shared:] for statement in statements)


def _common_prefix(one: Tokens, other: Tokens) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, others) in pairs if mine != others), min(len(one), len(other)))
