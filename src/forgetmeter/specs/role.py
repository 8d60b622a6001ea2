"""What a weight matrix does in its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Component = Literal["attention", "feed_forward", "head", "head_transform", "embedding", "unknown"]
Part = Literal["query", "key", "value", "output", "up", "gate", "down"]
AttentionKind = Literal["self", "cross"]
Stack = Literal["encoder", "decoder"]

ATTENTION_PARTS: tuple[Part, ...] = ("query", "key", "value", "output")
FEED_FORWARD_PARTS: tuple[Part, ...] = ("up", "gate", "down")


@dataclass(frozen=True)
class Role:
    """The role of one weight matrix.

    Attributes:
        component: Attention, feed-forward, or the head (the projection onto the vocabulary).
        part: Which projection of the component; ``None`` for the head.
        attention: Self- or cross-attention; ``None`` outside of attention.
    """

    component: Component
    part: Part | None = None
    attention: AttentionKind | None = None

    def __str__(self) -> str:
        return self.component if self.part is None else f"{self.component}.{self.part}"


@dataclass(frozen=True)
class Matrix:
    """One weight matrix of a model.

    Attributes:
        parameter: The parameter's name, as in ``model.state_dict()``.
        role: What the matrix does.
        shape: ``(output units, input units)`` for ``nn.Linear``.
        stack: Encoder or decoder.
        layer: Index of the block within its stack, from 0; ``None`` for the head.
        tied_to: Name of the embedding parameter that shares this matrix's storage, if any.
    """

    parameter: str
    role: Role
    shape: tuple[int, ...]
    stack: Stack
    layer: int | None = None
    tied_to: str | None = None

    @property
    def module(self) -> str:
        """Name of the module that holds the parameter."""
        return self.parameter.rpartition(".")[0]

    @property
    def size(self) -> int:
        """Number of weights."""
        count = 1
        for length in self.shape:
            count *= length
        return count
