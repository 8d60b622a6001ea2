"""How much a model reads at a time, and what texts may share without changing each other's answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

UNKNOWN_LENGTH = 1 << 20
_DEFAULT_LENGTH = 2048

_WINDOWS = (
    "sliding_window",
    "sliding_windows",
    "sliding_window_size",
    "attention_chunk_size",
    "attention_window",
    "attention_window_size",
    "local_attention",
    "window_size",
)
"""What configurations call the number of tokens over which attention is plain."""
_OTHER_WINDOWS = re.compile(r"window(?!.*(layers|pattern))|chunk|block_size|block_length|index_topk|radius")
# Pieces in which feed-forward and state space layers compute, whatever the length.
_NO_WINDOWS = ("chunk_size", "mamba_chunk_size", "chunk_size_feed_forward")


def max_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the most tokens that a model reads: of its configuration, else of its tokenizer."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        length = int(getattr(config, name, None) or 0)
        # Where positions have no limit, some configurations have -1.
        if length > 0:
            # RoBERTa and its kin count positions from the padding token's number on.
            is_offset = name == "max_position_embeddings" and _counts_from_padding(model)
            return length - int(config.pad_token_id) - 1 if is_offset else length
    # Where nothing is said, lm-evaluation-harness reads as many; a text read whole would take all memory.
    return int(tokenizer.model_max_length) if tokenizer.model_max_length < UNKNOWN_LENGTH else _DEFAULT_LENGTH


def window(model: PreTrainedModel) -> int:
    """Return the most tokens over which attention is plain: branched rows must not be longer."""
    config = model.config.get_text_config()
    return min((size for name in _WINDOWS for size in _sizes(getattr(config, name, None))), default=UNKNOWN_LENGTH)


def other_window(model: PreTrainedModel) -> int:
    """Return the most tokens up to which attention is the same by whatever else a configuration says.

    Beyond numbers that are not known here (blocks, chunks, windows and indices that pick tokens by their place), a
    row is read alone.
    """
    settings = model.config.get_text_config().to_dict()
    names = (name for name in settings if _OTHER_WINDOWS.search(name) and name not in (*_WINDOWS, *_NO_WINDOWS))
    return min((size for name in names for size in _sizes(settings[name])), default=UNKNOWN_LENGTH)


def one_rule(model: PreTrainedModel) -> int:
    """Return the longest row up to which a model computes positions by one rule, whatever else is in the batch.

    Beyond it, LongRoPE and dynamic NTK scaling compute the positions of a whole batch by its longest row.
    """
    config = model.config.get_text_config()
    given = getattr(config, "rope_parameters", None) or {}
    lengths = [
        rope.get("original_max_position_embeddings") or config.max_position_embeddings
        for rope in (given, *given.values())
        if isinstance(rope, dict) and rope.get("rope_type") in ("longrope", "dynamic")
    ]
    return min(map(int, lengths), default=UNKNOWN_LENGTH)


def _sizes(value: Any) -> Iterator[int]:  # noqa: ANN401 - one number, or one for each layer
    for size in value if isinstance(value, list | tuple) else (value,):
        if type(size) is int and size > 1:
            yield size


def _counts_from_padding(model: PreTrainedModel) -> bool:
    embeddings = getattr(getattr(model, "base_model", None), "embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    return getattr(positions, "padding_idx", None) is not None


Level = Literal["packed", "padded", "equal lengths", "alone"]


@dataclass(frozen=True)
class Sharing:
    """The longest rows, in tokens, in which each way of sharing is harmless; 0 where it never is.

    Attributes:
        branches: Sequences that begin alike lie in one row, as branches of a tree.
        lengths: Rows of other lengths are in the same batch, and a row is read for the beginnings it contains.
        batch: Rows of the same length are in the same batch.
    """

    branches: int = 0
    lengths: int = UNKNOWN_LENGTH
    batch: int = UNKNOWN_LENGTH

    @property
    def level(self) -> Level:
        """The most that short rows may share."""
        if self.branches:
            return "packed"
        if self.lengths:
            return "padded"
        return "equal lengths" if self.batch else "alone"

    def allows(self, longest: int, length: int) -> bool:
        """Whether a row may join a batch whose longest row has ``longest`` tokens, no fewer than its own ``length``."""
        return longest <= (self.batch if length == longest else min(self.lengths, self.batch))
