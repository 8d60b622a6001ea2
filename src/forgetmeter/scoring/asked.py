"""What is asked of a model for one item, before it is laid out in rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forgetmeter.scoring.prefix_tree import WantedSequence
from forgetmeter.scoring.question import Question

TOO_LONG = "longer than the model reads"
NOT_ONE_TOKEN = "answer is not one token of the vocabulary"


@dataclass(frozen=True)
class Asked:
    """What is asked of a model for one item.

    Attributes:
        sequences: What has to be read: one a request or candidate, and last the one that ranks the vocabulary.
        ranks_vocabulary: Whether there is such a last one.
        is_cloze: Whether the item is a cloze.
        reason: Why the item cannot be asked; ``None`` where it can.
    """

    sequences: tuple[WantedSequence, ...] = ()
    ranks_vocabulary: bool = False
    is_cloze: bool = False
    reason: str | None = None

    def question(self, paths: Sequence[tuple[int, ...]]) -> Question | None:
        """Return the question, given the slots of each sequence."""
        if self.reason is not None:
            return None
        if self.ranks_vocabulary:
            return Question(tuple(paths[:-1]), paths[-1][0], is_cloze=True)
        return Question(tuple(paths), is_cloze=self.is_cloze)


def questions_of(asked: Iterable[Asked], paths: Iterable[tuple[int, ...]]) -> tuple[Question | None, ...]:
    """Return the question of each item, given the slots of all sequences, one after another."""
    left = iter(paths)
    return tuple(each.question([next(left) for _ in each.sequences]) for each in asked)
