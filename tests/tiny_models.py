"""Tiny random models of the three families and their tokenizers, deterministic."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Make a byte-level tokenizer without training: a token per byte, plus a beginning of sequence."""
    return PreTrainedTokenizerFast(tokenizer_object=_byte_level({}), bos_token="<s>", eos_token="</s>")


def make_t5_tokenizer() -> PreTrainedTokenizerFast:
    """Make a byte-level tokenizer like T5's: an end of sequence after each text, and sentinels."""
    tokenizer = _byte_level({"<pad>": 0, "</s>": 1, "<unk>": 2, "<extra_id_0>": 3, "<extra_id_1>": 4})
    tokenizer.add_special_tokens(["<extra_id_0>", "<extra_id_1>"])
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def make_bart_tokenizer() -> PreTrainedTokenizerFast:
    """Make a byte-level tokenizer like BART's and RoBERTa's: a beginning and end of each text, and a mask."""
    tokenizer = _byte_level({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4})
    special = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=special)
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    mask = AddedToken("<mask>", lstrip=True, special=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token=mask, **names)


def _byte_level(special: dict[str, int]) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = special or {"<s>": 0, "</s>": 1}
    vocabulary = special | {letter: index for index, letter in enumerate(alphabet, start=len(special))}
    merges = [("Ġ", "t"), ("h", "e"), ("i", "n"), ("Ġt", "he")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def make_t5(*, tied: bool = True) -> T5ForConditionalGeneration:
    """Make a random T5 of 2 layers per stack."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(make_t5_tokenizer()),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        tie_word_embeddings=tied,
        initializer_factor=2.0,
    )
    return T5ForConditionalGeneration(config).eval()


def make_bart() -> BartForConditionalGeneration:
    """Make a random BART of 2 layers per stack."""
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=len(make_bart_tokenizer()),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=512,
        decoder_start_token_id=2,
        init_std=0.2,
    )
    return BartForConditionalGeneration(config).eval()


_ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.2,
}


def make_bert(vocabulary: int, *, seed: int = 0) -> BertForMaskedLM:
    """Make a random BERT of 2 layers."""
    torch.manual_seed(seed)
    return BertForMaskedLM(BertConfig(vocab_size=vocabulary, max_position_embeddings=128, **_ENCODER)).eval()


def make_roberta(vocabulary: int) -> RobertaForMaskedLM:
    """Make a random RoBERTa of 2 layers."""
    torch.manual_seed(0)
    config = RobertaConfig(vocab_size=vocabulary, max_position_embeddings=130, pad_token_id=1, **_ENCODER)
    return RobertaForMaskedLM(config).eval()


def make_wordpiece_tokenizer() -> BertTokenizerFast:
    """Make a lower-casing WordPiece tokenizer with some whole words and single letters."""
    words = ["the", "inn", "tea", "paris", "rome", "capital", "of", "france", "is", "in", "born", "was", "."]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizerFast(vocab={token: index for index, token in enumerate(tokens)})


def make_llama(*, tied: bool = True, seed: int = 0) -> LlamaForCausalLM:
    """Make a random Llama of 2 layers with grouped-query attention, deterministically."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(make_tokenizer()),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()
