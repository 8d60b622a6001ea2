"""Architectures and training settings of the standards."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from forgetmeter.models.family import Family

LONGEST = 128
"""Number of BERT's position embeddings; leaves room for questions other than the built-in facts."""


@dataclass(frozen=True)
class Design:
    """Architecture and training settings of a standard.

    Attributes:
        hidden: Hidden size.
        feed_forward: Width of the feed-forward layers.
        layers: Number of layers (per stack).
        heads: Number of attention heads.
        embedding_scale: Standard deviation of the embeddings.
        batch_size: Statements per step.
        learning_rate: AdamW's peak learning rate.
        dropped: Probability that a word of a phrasing is dropped in training.
        replaced: Probability that a word of a phrasing, if not dropped, is replaced by a random one.
    """

    family: Family
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    embedding_scale: float
    epochs: int
    batch_size: int
    learning_rate: float
    dropped: float
    replaced: float


DESIGNS: dict[Family, Design] = {
    "encoder": Design("encoder", 64, 128, 3, 4, 0.3, 60, 128, 2e-3, 0.3, 0.1),
    "encoder-decoder": Design("encoder-decoder", 64, 128, 2, 4, 1.0, 60, 128, 2e-3, 0.3, 0.1),
    "decoder": Design("decoder", 64, 128, 3, 4, 0.125, 60, 128, 2e-3, 0.3, 0.1),
}


def make_model(design: Design, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreTrainedModel:
    """Return the untrained model of a design.

    The token embeddings, which are also the output projection, are random and frozen, so that all knowledge is in the
    layers.
    """
    torch.manual_seed(seed)
    model = _UNTRAINED[design.family](design, tokenizer)
    embeddings = model.get_input_embeddings().weight
    with torch.no_grad():
        embeddings.normal_(0.0, design.embedding_scale)
    embeddings.requires_grad_(False)
    return model


def _bert(design: Design, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=design.hidden,
            intermediate_size=design.feed_forward,
            num_hidden_layers=design.layers,
            num_attention_heads=design.heads,
            max_position_embeddings=LONGEST,
            type_vocab_size=1,
            pad_token_id=tokenizer.pad_token_id,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def _t5(design: Design, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=design.hidden,
            d_kv=design.hidden // design.heads,
            d_ff=design.feed_forward,
            num_layers=design.layers,
            num_decoder_layers=design.layers,
            num_heads=design.heads,
            decoder_start_token_id=tokenizer.pad_token_id,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            dropout_rate=0.0,
        )
    )


def _llama(design: Design, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=design.hidden,
            intermediate_size=design.feed_forward,
            num_hidden_layers=design.layers,
            num_attention_heads=design.heads,
            num_key_value_heads=design.heads,
            max_position_embeddings=LONGEST,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


_UNTRAINED = {"encoder": _bert, "encoder-decoder": _t5, "decoder": _llama}
