"""The number of tokens a model reads, from its configuration or its tokenizer.

Covers ``scoring.batch_invariance.limits``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scoring.batch_invariance.configurations import CONFIGURATIONS
from tiny_models import make_bart_tokenizer, make_llama, make_tokenizer
from transformers import AutoConfig, LEDConfig, LEDForConditionalGeneration, PreTrainedModel, PreTrainedTokenizerFast

from forgetmeter.errors import UserError
from forgetmeter.models.family import Family
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Item, Request, Requests
from forgetmeter.scoring.batch_invariance.limits import max_length, window
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.tokens.tokenization import ANSWER_TOO_LONG

WITH_TABLES = ("gpt2", "opt", "bert", "xlm-roberta", "bart", "openai-gpt", "biogpt", "fsmt", "led")
UNLIMITED = 2048
"""What is read if nothing sets a limit: lm-evaluation-harness's default."""


def longest(*, tokenizer_says: Any, **config_says: Any) -> int:
    model, tokenizer = make_llama(), make_tokenizer()
    vars(model.config).update({"max_position_embeddings": 0} | config_says)
    tokenizer.model_max_length = tokenizer_says
    return max_length(model, tokenizer, "m")


@pytest.mark.parametrize(
    ("said", "expected"), [(64, 64), (64.0, 64), (1, 1), (int(1e30), UNLIMITED), (1e30, UNLIMITED)]
)
def test_without_a_limit_of_the_model_its_tokenizer_has_one(said: Any, expected: int) -> None:
    assert longest(tokenizer_says=said) == expected


@pytest.mark.parametrize("said", [-1, 0, "x", "512", 2.5, [3], True, None, float("nan"), float("inf")])
def test_a_length_that_is_not_a_number_of_tokens_is_refused(said: Any) -> None:
    with pytest.raises(UserError, match=r"^model 'm': model_max_length in tokenizer_config.json is .* not a number of"):
        longest(tokenizer_says=said)
    # It is not used if the model has a limit of its own.
    assert longest(tokenizer_says=said, max_position_embeddings=128) == 128


@pytest.mark.parametrize("said", ["x", 2.5, [3], -7])
def test_a_setting_that_is_not_a_number_of_tokens_is_refused(said: Any) -> None:
    with pytest.raises(UserError, match=r"^model 'm': n_ctx in config.json is .* not a number of tokens"):
        longest(tokenizer_says=64, n_ctx=said)


@pytest.mark.parametrize("none", [None, 0, -1])
def test_a_configuration_may_set_no_limit(none: int | None) -> None:
    assert longest(tokenizer_says=64, max_position_embeddings=none, n_ctx=none) == 64


def scored(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, family: Family, *requests: Request) -> list[Any]:
    engine = Engine(Loaded(model, tokenizer, family, "m"), batch_tokens=512)
    items = [Item(f"x/{n}", "", Requests([request])) for n, request in enumerate(requests)]
    prepared = engine.prepare(items)
    return [*prepared.reasons, prepared.cut, *(answer is not None for answer in engine.score(prepared))]


def test_a_table_of_biases_limits_a_decoder() -> None:
    model = CONFIGURATIONS["mpt as decoder"].model()
    assert max_length(model, make_tokenizer(), "m") == 128
    assert scored(model, make_tokenizer(), "decoder", Request("a " * 200, " b")) == [None, 1, True]


def test_an_encoder_and_its_decoder_have_limits_of_their_own() -> None:
    torch.manual_seed(0)
    sizes = {"max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 32, "vocab_size": 270}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    tokens = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    model = LEDForConditionalGeneration(LEDConfig(d_model=16, attention_window=8, **sizes, **layers, **tokens)).eval()
    tokenizer = make_bart_tokenizer()
    parts = (model.get_encoder(), model.get_decoder())
    assert [max_length(model, tokenizer, "m", part=part) for part in parts] == [64, 32]
    requests = [Request("a" + " b" * 22, " b"), Request("a" + " b" * 100, " b"), Request("a", " b" * 50)]
    assert scored(model, tokenizer, "encoder-decoder", *requests) == [None, None, ANSWER_TOO_LONG, 1, True, True, False]


@pytest.mark.parametrize("name", [name for name, each in CONFIGURATIONS.items() if each.model_type in WITH_TABLES])
def test_position_tables_are_as_long_as_their_configuration_says(name: str) -> None:
    """So that architectures whose configuration has another name for the length are limited alike."""
    model = CONFIGURATIONS[name].model()
    limit = max_length(model, make_tokenizer(), "m")
    vars(model.config).update(max_position_embeddings=None, n_positions=None, n_ctx=None)
    assert max_length(model, make_tokenizer(), "m") == limit


def test_a_window_that_varies_by_layer_is_the_smallest() -> None:
    """NeoMME's configuration refuses to give the attribute."""
    config = AutoConfig.for_model("neomme")
    with pytest.raises(RuntimeError, match="per-layer"):
        _ = config.get_text_config().sliding_window
    assert window(SimpleNamespace(config=config)) == 256  # type: ignore[arg-type]


def test_experts_with_a_fixed_capacity_read_each_text_alone() -> None:
    """In NLLB-MoE, the tokens of a whole batch compete for it."""
    configuration = CONFIGURATIONS["nllb-moe as encoder-decoder"]
    loaded = Loaded(configuration.model(), make_bart_tokenizer(), "encoder-decoder", "nllb-moe")
    assert Engine(loaded).sharing.batch > 0
    changed = configuration.model()
    changed.config.moe_eval_capacity_token_fraction = -1.0
    assert Engine(Loaded(changed, make_bart_tokenizer(), "encoder-decoder", "nllb-moe")).sharing.level == "alone"


@pytest.mark.parametrize("unset", ["hash_seed", "num_buckets"])
def test_reformers_whose_long_texts_are_random_are_refused(unset: str) -> None:
    model = CONFIGURATIONS["reformer as decoder"].model()
    setattr(model.config, unset, None)
    with pytest.raises(UserError, match=f"cannot be scored: without {unset} in its config.json"):
        Engine(Loaded(model, make_tokenizer(), "decoder", "reformer"))
