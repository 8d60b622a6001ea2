"""A task that is ready to be asked of one model, whatever is done to its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from forgetmeter.records.item import Item
from forgetmeter.scoring.question import Question, Sums, sums_of
from forgetmeter.scoring.rows.batch import Batch

_MOST_NAMED = 3


@dataclass(frozen=True)
class Prepared:
    """The items of one task, tokenized and batched once for all variants of a model.

    Attributes:
        questions: One an item, in order; ``None`` where the model cannot be asked.
        reasons: Why not, one for each item; ``None`` where it can.
        batches: What the model is given.
        items: The items themselves.
        cut: How many items have a context that lost its beginning, as the model does not read as many tokens.
    """

    questions: tuple[Question | None, ...]
    reasons: tuple[str | None, ...]
    batches: tuple[Batch, ...]
    items: tuple[Item, ...] = ()
    cut: int = 0

    @cached_property
    def sums(self) -> Sums:
        """How what is read adds up to log-likelihoods."""
        return sums_of(self.questions)

    @cached_property
    def tokens(self) -> int:
        """Number of tokens that the model reads, without padding."""
        return sum(batch.real_tokens for batch in self.batches)

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many items cannot be asked, by reason."""
        return Counter(reason for reason in self.reasons if reason is not None)

    def first_dropped(self) -> dict[str, str]:
        """Return the ids of the first items of each reason for which they cannot be asked, as text."""
        named: dict[str, list[str]] = {}
        for item, reason in zip(self.items, self.reasons, strict=True):
            if reason is not None:
                named.setdefault(reason, []).append(item.id)
        return {
            reason: ", ".join(ids[:_MOST_NAMED]) + (" ..." if len(ids) > _MOST_NAMED else "")
            for reason, ids in named.items()
        }
