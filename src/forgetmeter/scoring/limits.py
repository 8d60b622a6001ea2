"""How much a model reads at a time."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

UNKNOWN_LENGTH = 1 << 20


def max_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the most tokens that a model reads: of its configuration, else of its tokenizer."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        if getattr(config, name, None):
            length = int(getattr(config, name))
            # RoBERTa and its kin count positions from the padding token's number on.
            is_offset = name == "max_position_embeddings" and _counts_from_padding(model)
            return length - int(config.pad_token_id) - 1 if is_offset else length
    return int(min(tokenizer.model_max_length, UNKNOWN_LENGTH))


def window(model: PreTrainedModel) -> int:
    """Return the most tokens over which attention is plain: branched rows must not be longer."""
    found = getattr(model.config.get_text_config(), "sliding_window", None)
    return int(found) if found else UNKNOWN_LENGTH


def _counts_from_padding(model: PreTrainedModel) -> bool:
    embeddings = getattr(getattr(model, "base_model", None), "embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    return getattr(positions, "padding_idx", None) is not None
