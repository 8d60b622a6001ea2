"""The paper's models at their published sizes without weights, or small with random ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny_models import make_bart_tokenizer, make_wordpiece_tokenizer
from transformers import AlbertTokenizer, LlamaTokenizer, PreTrainedModel, PreTrainedTokenizerBase, T5Tokenizer

LAYERS = 1
_WORDS = ["the", "inn", "tin", "thin", "thing", "tea", "capital", "of", "is", "in", "born", "was", "died", "."]


def _unigram(special: list[str]) -> list[tuple[str, float]]:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*(f"▁{word}" for word in _WORDS), "▁", *letters, *"0123456789.()[]:'?,"]
    return [*((token, 0.0) for token in special), *((word, -1.0 - place / 10) for place, word in enumerate(words))]


def make_albert_tokenizer() -> AlbertTokenizer:
    return AlbertTokenizer(vocab=_unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]))


def make_flan_t5_tokenizer() -> T5Tokenizer:
    sentinels = [("<extra_id_1>", 0.0), ("<extra_id_0>", 0.0)]
    return T5Tokenizer(vocab=[*_unigram(["<pad>", "</s>", "<unk>"]), *sentinels], extra_ids=2)


def make_llama_tokenizer() -> LlamaTokenizer:
    letters = ["▁", *(chr(code) for code in range(ord("a"), ord("z") + 1))]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    merges = [("i", "n"), ("t", "h"), ("th", "in"), ("▁", "t")]
    tokens += [left + right for left, right in merges]
    return LlamaTokenizer(vocab={token: place for place, token in enumerate(tokens)}, merges=merges)


@dataclass(frozen=True)
class Published:
    """A model according to its published config.json.

    Attributes:
        family: Prefixes of the class names of the model and its configuration.
        sizes: The sizes, by the configuration's names.
        layers: Those of these names that give the number of layers.
        widths: Those that shrink together: widths and the number of heads, so that heads keep their size.
        shrink: The factor by which they shrink in the small model.
        parameters: The published checkpoint's number of parameters, each counted once.
        tokenizer: Makes a small tokenizer of the same kind.
    """

    family: tuple[str, str]
    sizes: Mapping[str, Any]
    layers: tuple[str, ...]
    widths: tuple[str, ...]
    shrink: int
    parameters: int
    tokenizer: Callable[[], PreTrainedTokenizerBase]


_BERT_LAYERS = ("num_hidden_layers",)
_BERT_WIDTHS = ("hidden_size", "num_attention_heads", "intermediate_size")


def _bert(layers: int, hidden: int, shrink: int, parameters: int) -> Published:
    sizes = {
        "vocab_size": 30522,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
    }
    names = ("BertForMaskedLM", "BertConfig")
    return Published(names, sizes, _BERT_LAYERS, _BERT_WIDTHS, shrink, parameters, make_wordpiece_tokenizer)


def _roberta(layers: int, hidden: int, shrink: int, parameters: int) -> Published:
    bert = _bert(layers, hidden, shrink, parameters)
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    sizes = {**bert.sizes, "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, **special}
    names = ("RobertaForMaskedLM", "RobertaConfig")
    return Published(names, sizes, _BERT_LAYERS, _BERT_WIDTHS, shrink, parameters, make_bart_tokenizer)


def _flan_t5(layers: int, hidden: int, inner: int, heads: int, shrink: int, parameters: int) -> Published:
    sizes = {
        "vocab_size": 32128,
        "num_layers": layers,
        "num_decoder_layers": layers,
        "d_model": hidden,
        "d_ff": inner,
        "num_heads": heads,
        "d_kv": 64,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    names = ("T5ForConditionalGeneration", "T5Config")
    layer_names = ("num_layers", "num_decoder_layers")
    widths = ("d_model", "d_ff", "num_heads")
    return Published(names, sizes, layer_names, widths, shrink, parameters, make_flan_t5_tokenizer)


def _llama_7b(vocabulary: int, parameters: int) -> Published:
    sizes = {
        "vocab_size": vocabulary,
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "intermediate_size": 11008,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    names = ("LlamaForCausalLM", "LlamaConfig")
    widths = (*_BERT_WIDTHS, "num_key_value_heads")
    return Published(names, sizes, _BERT_LAYERS, widths, 32, parameters, make_llama_tokenizer)


_DISTILBERT = Published(
    ("DistilBertForMaskedLM", "DistilBertConfig"),
    {"vocab_size": 30522, "n_layers": 6, "dim": 768, "n_heads": 12, "hidden_dim": 3072, "max_position_embeddings": 512},
    ("n_layers",),
    ("dim", "n_heads", "hidden_dim"),
    6,
    66_985_530,
    make_wordpiece_tokenizer,
)
_ALBERT = Published(
    ("AlbertForMaskedLM", "AlbertConfig"),
    {
        "vocab_size": 30000,
        "embedding_size": 128,
        "num_hidden_layers": 12,
        "num_hidden_groups": 1,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 512,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "pad_token_id": 0,
    },
    _BERT_LAYERS,
    (*_BERT_WIDTHS, "embedding_size"),
    4,
    11_221_680,
    make_albert_tokenizer,
)

PAPER_MODELS: dict[str, Published] = {
    "bert-base": _bert(12, 768, 6, 109_514_298),
    "bert-large": _bert(24, 1024, 8, 335_174_458),
    "roberta-base": _roberta(12, 768, 6, 124_697_433),
    "roberta-large": _roberta(24, 1024, 8, 355_412_057),
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
    "flan-t5-base": _flan_t5(12, 768, 2048, 12, 4, 247_577_856),
    "flan-t5-large": _flan_t5(24, 1024, 2816, 16, 8, 783_150_080),
    "lamini-flan-t5-248m": _flan_t5(12, 768, 2048, 12, 4, 247_577_856),
    "lamini-flan-t5-783m": _flan_t5(24, 1024, 2816, 16, 8, 783_150_080),
    "vicuna-7b": _llama_7b(32000, 6_738_415_616),
    "wizardlm-7b": _llama_7b(32001, 6_738_423_808),
}
"""Models by the name of their study."""


def whole_without_weights(published: Published) -> PreTrainedModel:
    """Build the model at its published size on the ``meta`` device, without memory."""
    with torch.device("meta"):
        return _model(published, published.sizes)


def save_small(published: Published, folder: Path) -> dict[str, Any]:
    """Save a random model of one layer per stack with its tokenizer, and return its sizes.

    Widths and heads are divided by the same number, which keeps their ratios and the size of a head. The
    vocabulary is that of a small tokenizer of the same kind.
    """
    tokenizer = published.tokenizer()
    sizes = dict(published.sizes) | dict.fromkeys(published.layers, LAYERS) | {"vocab_size": len(tokenizer)}
    for name in published.widths:
        assert sizes[name] % published.shrink == 0, f"{name} does not shrink by {published.shrink}"
        sizes[name] //= published.shrink
    torch.manual_seed(0)
    model = _model(published, sizes)
    with torch.no_grad():
        # Initial weights are too small to move the logits, and padding rows are zero.
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # As published: transformers always writes that a T5's head is tied.
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | sizes))
    return sizes


def _model(published: Published, sizes: Mapping[str, Any]) -> PreTrainedModel:
    model_class, config_class = published.family
    model: PreTrainedModel = getattr(transformers, model_class)(getattr(transformers, config_class)(**sizes))
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    if sizes.get("tie_word_embeddings") is False and head.weight is embedding:
        # transformers builds every T5 tied, and unties it on loading a checkpoint with both tensors, as Flan-T5's.
        head.weight = torch.nn.Parameter(torch.empty_like(embedding))
    return model.eval()
