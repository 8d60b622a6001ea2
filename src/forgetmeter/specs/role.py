"""Roles of weight matrices."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from forgetmeter.specs.ranges import Ranges

Component = Literal[
    "attention", "feed_forward", "mixer", "head", "head_transform", "embedding", "token_embedding", "unknown"
]
Part = Literal["query", "key", "value", "output", "latent", "gate", "indexer", "up", "down"]
AttentionKind = Literal["self", "cross"]
Stack = Literal["encoder", "decoder"]
Form = Literal["linear", "conv1d", "tensor", "transposed", "array", "lookup"]
MATRICES: tuple[Form, ...] = ("linear", "conv1d", "tensor", "transposed")
"""Forms whose last two axes are output and input units, in either order."""

ATTENTION_PARTS: tuple[Part, ...] = ("query", "key", "value", "output")
OTHER_ATTENTION_PARTS: tuple[Part, ...] = ("latent", "gate", "indexer")
FEED_FORWARD_PARTS: tuple[Part, ...] = ("up", "gate", "down")

Block = tuple[str, int]
"""A block of a model: the name of its module list, and its index there."""

_RANGES_SHOWN = 3
_BLOCK = re.compile(r"^((?:.*?\.)?[^.\d][^.]*)\.(\d+)\.")


@dataclass(frozen=True)
class Role:
    """The role of one weight matrix.

    Attributes:
        component: Attention; feed-forward; a mixer, which takes the place of attention (state-space models, linear
            attention, short convolutions); the head (the projection onto the vocabulary); the dense layer before the
            head in masked language models; a projection between embedding and hidden size; the token embedding; or
            unknown.
        part: Projection of attention or feed-forward; ``None`` if unknown. The gate is the projection whose output is
            activated: in a feed-forward layer with two, or of attention whose output is multiplied with it. Latent is
            the projection of queries, or of keys and values, onto a smaller vector (DeepSeek-V2's latent attention);
            the indexer selects the tokens to attend to.
        attention: Self- or cross-attention; ``None`` outside attention.
    """

    component: Component
    part: Part | None = None
    attention: AttentionKind | None = None

    def __str__(self) -> str:
        return self.component if self.part is None else f"{self.component}.{self.part}"


@dataclass(frozen=True)
class Matrix:
    """A weight matrix of a model: a parameter, or one role's part of a fused parameter.

    Attributes:
        parameter: The parameter's name, as in ``model.state_dict()``.
        role: Role of the matrix.
        shape: Shape of the matrix (of the part, if the parameter is fused): ``(output units, input units)`` for
            ``nn.Linear``, ``(experts, output units, input units)`` for experts; the last two are swapped for ``Conv1D``
            and transposed tensors.
        stack: Encoder or decoder.
        layer: 0-based index of the block within its stack; ``None`` outside the blocks.
        tied_to: Name of the embedding parameter that shares this matrix's storage, if any.
        axis: Axis of the parameter along which the part is sliced; ``None`` for a whole parameter.
        ranges: The part's indices along that axis; several if the model interleaves roles by head.
        architecture: The ``model_type`` of the model's configuration.
        form: What holds the parameter: ``nn.Linear``, GPT-2's ``Conv1D``, or a bare tensor (some store input units
            before output units); ``array`` if its axes differ from these, such as XLNet's (hidden size, heads, head
            size); ``lookup`` for the token embedding, of which a text uses one row per token.
        heads: Number of attention heads, consecutive along the output units (input units for an output projection);
            fewer for key and value if query heads share them; 0 if all heads depend on each unit, as on those of a
            latent projection, or of queries that one norm scales. ``None`` outside attention or if unknown.
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
        # Distinguishes nearly all matrices; hashing every range would be slow.
        return hash((self.parameter, self.ranges[:1]))

    def __str__(self) -> str:
        if self.axis is None:
            return self.parameter
        shown = [f"{start}:{stop}" for start, stop in self.ranges[:_RANGES_SHOWN]]
        if len(self.ranges) > _RANGES_SHOWN:
            shown.append(f"… {len(self.ranges)} ranges")
        return f"{self.parameter}[{':, ' * self.axis}{'+'.join(shown)}]"

    @property
    def holds_experts(self) -> bool:
        """Whether the parameter holds one matrix for each expert of a block."""
        return len(self.shape) == 3 and self.role.component in ("attention", "feed_forward")

    @property
    def module(self) -> str:
        """Name of the module that holds the parameter."""
        return self.parameter.rpartition(".")[0]

    @property
    def block(self) -> Block | None:
        """The block of the matrix; ``None`` outside the blocks."""
        found = _BLOCK.match(self.parameter) if self.layer is not None else None
        return None if found is None else (found[1], int(found[2]))

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def input_axis(self) -> int:
        """The axis of the input units; in a layer's weight, the output units are on the other one."""
        return len(self.shape) - (2 if self.has_inputs_first else 1)

    @property
    def has_inputs_first(self) -> bool:
        """Whether the layer stores input units before output units."""
        return self.form in ("conv1d", "transposed")

    @property
    def is_lookup(self) -> bool:
        """Whether it is the token embedding: one row per token, ``(tokens, hidden size)``."""
        return self.form == "lookup"

    @property
    def inputs(self) -> int:
        """Number of input units."""
        return self.shape[self.input_axis]
