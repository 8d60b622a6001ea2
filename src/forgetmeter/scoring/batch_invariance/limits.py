"""Length limits of models, and what texts may share without changing each other's answers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.errors import UserError

UNKNOWN_LENGTH = 1 << 20
_DEFAULT_LENGTH = 2048

_POSITION_TABLE = re.compile(r"wpe|(embed_)?pos(ition)?s?(_embed(ding)?s?)?")

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
"""Configuration keys for the number of tokens within which attention is full."""
_OTHER_WINDOWS = re.compile(r"window(?!.*(layers|pattern))|chunk|block_size|block_length|index_topk|radius")
_BY_PLACE = re.compile(r"compress_rat|floor_scale|scaling_n_floor")
"""Keys for numbers of tokens that transformers counts from the beginning of a row (Llama 4, DeepSeek-V4)."""
# Chunk sizes of feed-forward and state space layers; they do not affect results.
_NO_WINDOWS = ("chunk_size", "mamba_chunk_size", "chunk_size_feed_forward")


def max_length(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str, *, part: nn.Module | None = None
) -> int:
    """Return the maximum number of tokens a model reads.

    It is that of its configuration, else of its position tables, else of its tokenizer.

    Args:
        part: The encoder or decoder of an encoder-decoder, whose limits may differ; by default the whole model.

    Raises:
        UserError: It is not a number of tokens; ``name`` is the model's name in the error.
    """
    config = model.config.get_text_config()
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
        length = getattr(config, key, None)
        # Some configurations write -1 for no limit.
        if length not in (None, 0, -1):
            # RoBERTa-like models count positions from the padding token's id.
            is_offset = key == "max_position_embeddings" and _counts_from_padding(model)
            limit = _tokens(length, f"model '{name}': {key} in config.json")
            return limit - int(config.pad_token_id) - 1 if is_offset else limit
    if tables := list(_position_tables(part or model)):
        return min(tables)
    limit = _tokens(tokenizer.model_max_length, f"model '{name}': model_max_length in tokenizer_config.json")
    # The default of lm-evaluation-harness; without a limit, a long text would exhaust memory.
    return limit if limit < UNKNOWN_LENGTH else _DEFAULT_LENGTH


def _position_tables(module: nn.Module) -> Iterator[int]:
    """Yield the sizes of a model's tables of absolute positions, for configurations with names of their own (LED)."""
    for name, table in module.named_modules():
        if isinstance(table, nn.Embedding) and _POSITION_TABLE.fullmatch(name.rpartition(".")[2]):
            # Padding tokens have a position of their own, after which the others are counted.
            start = getattr(table, "offset", 0) if table.padding_idx is None else table.padding_idx + 1
            yield table.num_embeddings - int(start)


def _tokens(length: Any, where: str) -> int:  # noqa: ANN401 - as in a file
    # transformers writes 1e30 for no limit, which may be a float.
    if type(length) not in (int, float) or not length > 0 or length != length // 1:
        raise UserError(f"{where} is {length!r}, which is not a number of tokens; correct or remove it")
    return int(length)


def window(model: PreTrainedModel) -> int:
    """Return the number of tokens within which attention is full; branched rows must not be longer."""
    config = model.config.get_text_config()
    by_layer = _by_layer(config)
    varying = set().union(*by_layer[1:])
    found = [getattr(config, name, None) for name in _WINDOWS if name not in varying]
    found += [each.get(name) for each in by_layer for name in _WINDOWS]
    return min((size for value in found for size in _sizes(value)), default=UNKNOWN_LENGTH)


def unverified_window(model: PreTrainedModel) -> int:
    """Return the number of tokens up to which other settings of a configuration leave attention unchanged.

    These are sizes of blocks, chunks and windows, and indices that select tokens by position, under keys not known
    here. Longer rows are read alone.
    """
    return min(_named_sizes(model, _OTHER_WINDOWS, without=(*_WINDOWS, *_NO_WINDOWS)), default=UNKNOWN_LENGTH)


def length_before_blocks(model: PreTrainedModel) -> int:
    """Return the number of tokens up to which it does not matter where in its row a text begins.

    Beyond it, the scale of a token's attention, or the block of tokens that it is compressed with, follows from its
    place in the row, so that branches and padding at the left would change it.
    """
    return min((size - 1 for size in _named_sizes(model, _BY_PLACE)), default=UNKNOWN_LENGTH)


def batch_independent_length(model: PreTrainedModel) -> int:
    """Return the row length up to which positions do not depend on the rest of the batch.

    Beyond it, LongRoPE and dynamic NTK scaling compute the positions of a whole batch from its longest row.
    """
    config = model.config.get_text_config()
    given = getattr(config, "rope_parameters", None) or {}
    lengths = [
        rope.get("original_max_position_embeddings") or config.max_position_embeddings
        for rope in (given, *given.values())
        if isinstance(rope, dict) and rope.get("rope_type") in ("longrope", "dynamic")
    ]
    return min(map(int, lengths), default=UNKNOWN_LENGTH)


def shares_expert_capacity(model: PreTrainedModel) -> bool:
    """Whether experts take a fixed number of tokens of a whole batch, and drop the others (NLLB-MoE)."""
    share = getattr(model.config.get_text_config(), "moe_eval_capacity_token_fraction", None)
    return share is not None and not share > 0


def unset_hashing(model: PreTrainedModel) -> list[str]:
    """Return settings without which answers to long texts are random, or depend on the first of them (Reformer)."""
    config = model.config.get_text_config()
    hashes = "lsh" in (getattr(config, "attn_layers", None) or ())
    return [key for key in ("hash_seed", "num_buckets") if hashes and getattr(config, key, None) is None]


def _by_layer(config: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - of transformers
    """Return a configuration's settings, with those of single layers (NeoMME), where reading an attribute fails."""
    settings = config.to_dict()
    layers = settings.get("per_layer_config")
    return [settings, *layers.values()] if isinstance(layers, dict) else []


def _named_sizes(model: PreTrainedModel, names: re.Pattern[str], *, without: Collection[str] = ()) -> Iterator[int]:
    """Yield the sizes in a configuration whose names match."""
    for name, value in model.config.get_text_config().to_dict().items():
        if names.search(name) and name not in without:
            yield from _sizes(value)


def _sizes(value: Any) -> Iterator[int]:  # noqa: ANN401 - one number, or several
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
    for size in values:
        if type(size) in (int, float) and 1 < size < UNKNOWN_LENGTH:
            yield int(size)


def _counts_from_padding(model: PreTrainedModel) -> bool:
    embeddings = getattr(getattr(model, "base_model", None), "embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    return getattr(positions, "padding_idx", None) is not None


SharingLevel = Literal["packed", "padded", "equal lengths", "alone"]


@dataclass(frozen=True)
class Sharing:
    """Maximum row length, in tokens, for each way of sharing; 0 if it is never safe.

    Attributes:
        branches: Packing sequences with a common prefix into one row, as branches of a tree.
        lengths: Batching rows of different lengths, and reading prefixes from a longer row.
        batch: Batching rows of the same length.
    """

    branches: int = 0
    lengths: int = UNKNOWN_LENGTH
    batch: int = UNKNOWN_LENGTH

    @property
    def level(self) -> SharingLevel:
        """The highest level of sharing allowed for short rows."""
        if self.branches:
            return "packed"
        if self.lengths:
            return "padded"
        return "equal lengths" if self.batch else "alone"

    def within(self, other: Sharing) -> Sharing:
        """Return what the rows of two models may share that read the same batches."""
        return Sharing(
            min(self.branches, other.branches), min(self.lengths, other.lengths), min(self.batch, other.batch)
        )

    def allows(self, longest: int, length: int) -> bool:
        """Whether a row of ``length`` tokens may join a batch whose longest row has ``longest`` tokens."""
        return longest <= (self.batch if length == longest else min(self.lengths, self.batch))
