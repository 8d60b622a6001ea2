"""What a model reads in one row, and what is read off it there."""

from __future__ import annotations

from dataclasses import dataclass, field

ROOT = -1
"""Parent of a row's first token."""


@dataclass(frozen=True)
class Reading:
    """One thing to be read.

    Attributes:
        place: Index of the row's token at which the model's distribution is looked at.
        target: The token whose log-probability is wanted there.
        slot: Where the result goes.
    """

    place: int
    target: int
    slot: int


@dataclass(frozen=True)
class Spread:
    """Several tokens to be read at one place; one object, however many they are.

    Attributes:
        place: Index of the row's token at which the model's distribution is looked at.
        targets: The tokens whose log-probabilities are wanted there.
        first_slot: Where the first result goes; the others follow it.
    """

    place: int
    targets: tuple[int, ...]
    first_slot: int


@dataclass(frozen=True)
class Row:
    """One row of a batch.

    Attributes:
        tokens: Token ids.
        parents: Index of the token that each token follows; ``ROOT`` for the first. A token sees its ancestors
            and itself. Empty where each token follows the one before it.
        readings: Log-probabilities of single tokens that are wanted.
        vocabulary: Places where the whole vocabulary is ranked.
        context: Index of the text that the encoder of an encoder-decoder reads for this row.
        spreads: Places where several tokens are wanted; their slots are those of ``readings``, numbered on.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...] = ()
    readings: tuple[Reading, ...] = field(default=())
    vocabulary: tuple[Reading, ...] = field(default=())
    context: int = 0
    spreads: tuple[Spread, ...] = field(default=())

    @property
    def branched(self) -> bool:
        """Whether plain causal attention would mix up branches."""
        return bool(self.parents)
