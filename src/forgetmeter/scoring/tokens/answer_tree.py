"""Answers that compete for one blank, with what they begin with in common standing once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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
