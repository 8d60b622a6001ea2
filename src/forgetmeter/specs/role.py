"""What a weight matrix does in its model."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from forgetmeter.specs.ranges import Ranges

Component = Literal["attention", "feed_forward", "head", "head_transform", "embedding", "unknown"]
Part = Literal["query", "key", "value", "output", "up", "gate", "down"]
AttentionKind = Literal["self", "cross"]
Stack = Literal["encoder", "decoder"]
Form = Literal["linear", "conv1d", "tensor"]

ATTENTION_PARTS: tuple[Part, ...] = ("query", "key", "value", "output")
FEED_FORWARD_PARTS: tuple[Part, ...] = ("up", "gate", "down")

Block = tuple[str, int]
"""One block of a model: the name of the list that it is in, and its index there."""

_RANGES_SHOWN = 3
_BLOCK = re.compile(r"^((?:.*?\.)?[^.\d][^.]*)\.(\d+)\.")


@dataclass(frozen=True)
class Role:
    """The role of one weight matrix.

    Attributes:
        component: Attention; feed-forward; the head (the projection onto the vocabulary); the dense layer before
            it that masked language models have; a projection between embedding and hidden size; or unknown.
        part: Which projection of attention or feed-forward. The gate is the one that the activation is applied
            to, where there are two.
        attention: Self- or cross-attention; ``None`` outside of attention.
    """

    component: Component
    part: Part | None = None
    attention: AttentionKind | None = None

    def __str__(self) -> str:
        return self.component if self.part is None else f"{self.component}.{self.part}"


@dataclass(frozen=True)
class Matrix:
    """One weight matrix of a model: a parameter, or the part of a fused one that has a role of its own.

    Attributes:
        parameter: The parameter's name, as in ``model.state_dict()``.
        role: What the matrix does.
        shape: Of the matrix: of the part, where the parameter is fused. ``(output units, input units)`` for
            ``nn.Linear``, the other way round for ``Conv1D``, ``(experts, output units, input units)`` for experts.
        stack: Encoder or decoder.
        layer: Index of the block within its stack, from 0; ``None`` outside of the blocks.
        tied_to: Name of the embedding parameter that shares this matrix's storage, if any.
        axis: The parameter's axis along which the part is cut out of it; ``None`` for a whole parameter.
        ranges: The part's indices along that axis; several where the model interleaves roles by head.
        architecture: The ``model_type`` of the model's configuration.
        form: What holds the parameter: ``nn.Linear``, GPT-2's ``Conv1D``, or something else that uses the tensor.
        heads: Into how many attention heads its output units fall (of an output projection: its input units), one
            head after the other; fewer for key and value where several query heads share one. ``None`` where it is
            not attention's, or not known.
    """

    parameter: str
    role: Role
    shape: tuple[int, ...]
    stack: Stack
    layer: int | None = None
    tied_to: str | None = None
    axis: int | None = None
    ranges: Ranges = ()
    architecture: str = ""
    form: Form = "linear"
    heads: int | None = None

    def __hash__(self) -> int:
        # Enough to tell nearly all apart; hashing all ranges of all matrices would cost more than it is worth.
        return hash((self.parameter, self.ranges[:1]))

    def __str__(self) -> str:
        if self.axis is None:
            return self.parameter
        shown = [f"{start}:{stop}" for start, stop in self.ranges[:_RANGES_SHOWN]]
        if len(self.ranges) > _RANGES_SHOWN:
            shown.append(f"… {len(self.ranges)} ranges")
        return f"{self.parameter}[{':, ' * self.axis}{'+'.join(shown)}]"

    @property
    def module(self) -> str:
        """Name of the module that holds the parameter."""
        return self.parameter.rpartition(".")[0]

    @property
    def block(self) -> Block | None:
        """The block that the matrix is in; ``None`` outside of the blocks."""
        found = _BLOCK.match(self.parameter) if self.layer is not None else None
        return None if found is None else (found[1], int(found[2]))

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def input_axis(self) -> int:
        """The axis of the input units; that of the output units is the other one of a layer's weight."""
        return 0 if self.form == "conv1d" else len(self.shape) - 1

    @property
    def inputs(self) -> int:
        """Number of input units."""
        return self.shape[self.input_axis]
