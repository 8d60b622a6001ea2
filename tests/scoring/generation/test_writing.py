"""Texts that models write, against lm-eval's own ``hf`` model one item at a time, and against a plain loop.

Covers ``scoring.generation.greedy``.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from scoring.batch_invariance.configurations import CONFIGURATIONS
from tiny_models import (
    make_bart,
    make_bart_tokenizer,
    make_bert,
    make_llama,
    make_t5,
    make_t5_tokenizer,
    make_tokenizer,
    make_wordpiece_tokenizer,
)
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load, wrap
from forgetmeter.records.generation import GeneratedText, Generation
from forgetmeter.records.item import Item
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.generation.greedy import write

WORDS = ["the", "inn", "in", "a", "thin", "hint", "of", "tea", "and", "it", "hits", "nine", "tin", "things"]
SETTINGS: list[dict[str, Any]] = [
    {"until": [], "max_gen_toks": 12, "do_sample": False},
    {"until": ["i", "ne"], "max_gen_toks": 12, "do_sample": False, "temperature": 0.0},
    {"until": "</s>", "max_new_tokens": 5},
    {"until": [" ", "\n"], "max_gen_toks": 30, "temperature": 1.0, "do_sample": False},
]


def asked(arguments: dict[str, Any], *, number: int = 8, longest: int = 12) -> list[Item]:
    dice = random.Random(0)
    contexts = [" ".join(dice.choices(WORDS, k=dice.randint(1, longest))) for _ in range(number)]
    return [Item(f"x/{place}", "", Generation(each, arguments)) for place, each in enumerate(contexts)]


def ours(loaded: Loaded, items: Sequence[Item], *, batch_tokens: int | None = None) -> list[str]:
    engine = Engine(loaded, batch_tokens=batch_tokens)
    answers = engine.score(engine.prepare(items))
    assert all(isinstance(answer, GeneratedText) for answer in answers)
    return [answer.text for answer in answers if isinstance(answer, GeneratedText)]


def lm_evals(loaded: Loaded, items: Sequence[Item]) -> list[str]:
    # It pads with a token that it adds to the tokenizer, and changes the settings that it is given.
    with quiet():
        peer = HFLM(pretrained=loaded.model, tokenizer=copy.deepcopy(loaded.tokenizer), batch_size=1)
        asks = [item.asks for item in items if isinstance(item.asks, Generation)]
        instances = [Instance("generate_until", {}, (each.context, dict(each.arguments)), 0) for each in asks]
        return list(peer.generate_until(instances, disable_tqdm=True))


def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(1)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
    config = GPT2Config(
        vocab_size=len(make_tokenizer()), initializer_range=0.3, bos_token_id=0, eos_token_id=1, **sizes
    )
    return GPT2LMHeadModel(config).eval()


def mamba() -> MambaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
    return MambaForCausalLM(MambaConfig(vocab_size=len(make_tokenizer()), eos_token_id=1, **sizes)).eval()


@pytest.mark.parametrize("arguments", SETTINGS)
@pytest.mark.parametrize("make", [make_llama, gpt2, mamba])
def test_texts_are_those_of_lm_eval(make: Any, arguments: dict[str, Any]) -> None:
    loaded, items = wrap(make(), make_tokenizer()), asked(arguments)
    found = ours(loaded, items)
    assert found == lm_evals(loaded, items)
    assert len(set(found)) > 2


@pytest.mark.parametrize("arguments", SETTINGS)
def test_the_standard_decoder_writes_as_in_lm_eval(arguments: dict[str, Any]) -> None:
    loaded = load("standard:decoder")
    items = [
        Item(f"x/{place}", "", Generation(context, arguments))
        for place, context in enumerate(
            ["The capital of Italy is", "Oslo is", "The symbol of gold is", "A", "Kenya is in"]
        )
    ]
    found = ours(loaded, items)
    assert found == lm_evals(loaded, items)
    assert len(set(found)) > 2


@pytest.mark.parametrize(("make", "tokenizer"), [(make_t5, make_t5_tokenizer), (make_bart, make_bart_tokenizer)])
def test_encoder_decoders_write_at_most_max_gen_toks(make: Any, tokenizer: Any) -> None:
    """For them, lm-eval's limit also counts the tokens of the longest question of a batch."""
    loaded, items = wrap(make(), tokenizer()), asked({"until": ["q"], "max_gen_toks": 6})
    found = ours(loaded, items)
    assert all(theirs.startswith(text) for text, theirs in zip(found, lm_evals(loaded, items), strict=True))
    assert any(found)


@pytest.mark.parametrize("layers", [1, 3])
def test_an_encoder_of_another_number_of_layers_than_the_decoder_writes(layers: int) -> None:
    """transformers makes a cache of as many layers as T5's encoder has."""
    model, tokenizer = make_t5(), make_t5_tokenizer()
    torch.manual_seed(0)
    settings = {**model.config.to_dict(), "num_layers": layers, "num_decoder_layers": 2}
    uneven = type(model)(type(model.config)(**settings)).eval()
    contexts = [tuple(tokenizer(text).input_ids) for text in ("the inn", "the thin tea is in the")]
    for context, written in zip(contexts, write(uneven, tokenizer, contexts, until=[], most=5), strict=True):
        tokens = [uneven.config.decoder_start_token_id]
        while len(tokens) < 6 and tokens[-1] != tokenizer.eos_token_id:
            given = {"input_ids": torch.tensor([context]), "decoder_input_ids": torch.tensor([tokens])}
            tokens.append(int(uneven(**given, use_cache=False).logits[0, -1].argmax()))
        assert list(written.tokens) == tokens[1:]


def test_a_special_token_ends_an_answer_though_it_is_not_in_its_text() -> None:
    """In a batch of lm-eval, such a row is continued until all have ended."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["n"]})
    loaded, items = wrap(make_llama(), tokenizer), asked({"until": ["n"], "max_gen_toks": 30})
    found = ours(loaded, items)
    assert found == lm_evals(loaded, items)
    assert len({len(text) for text in found}) > 1


def test_an_encoder_decoder_writes_no_more_than_its_decoder_has_positions() -> None:
    loaded = wrap(make_bart(), make_bart_tokenizer())
    positions = loaded.model.config.max_position_embeddings
    (batch,) = Engine(loaded).prepare(asked({"until": []}, number=1)).contexts
    assert batch.most == min(256, positions)
    assert len(ours(loaded, asked({"until": []}, number=1))) == 1


@pytest.mark.parametrize("batch_tokens", [1, 40, 90, 1000])
@pytest.mark.parametrize("make", [make_llama, gpt2, mamba])
def test_an_answer_does_not_depend_on_its_batch(make: Any, batch_tokens: int) -> None:
    loaded, items = wrap(make(), make_tokenizer()), asked({"until": ["i"], "max_gen_toks": 10})
    assert ours(loaded, items, batch_tokens=batch_tokens) == ours(loaded, items)


def test_contexts_of_equal_length_are_continued_alone_if_rows_mix() -> None:
    """transformers' RWKV adds up the states of rows when it continues several at once."""
    model = CONFIGURATIONS["rwkv as decoder"].model()
    loaded, items = wrap(model, make_tokenizer()), asked({"until": [], "max_gen_toks": 6})
    longest = max(len(item.asks.context) for item in items)
    items = [item for item in items if len(item.asks.context) == longest] * 3
    prepared = Engine(loaded).prepare(items)
    assert {len(batch.contexts) for batch in prepared.contexts} == {1}


@pytest.mark.parametrize("make", [make_llama, gpt2, mamba])
def test_contexts_share_a_batch_if_padding_changes_nothing(make: Any) -> None:
    prepared = Engine(wrap(make(), make_tokenizer())).prepare(asked({"until": [], "max_gen_toks": 4}))
    assert [len(batch.contexts) for batch in prepared.contexts] == [8]


@pytest.mark.parametrize(("window", "sizes"), [(None, [3]), (8, [2, 1])])
def test_contexts_beyond_a_window_share_a_batch_only_without_padding(window: int | None, sizes: list[int]) -> None:
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MistralConfig(vocab_size=len(make_tokenizer()), num_key_value_heads=2, sliding_window=window, **small)
    asks = [Generation(text, {"until": [], "max_gen_toks": 4}) for text in ("abcdefgh", "b", "efghabcd")]
    items = [Item(f"x/{place}", "", each) for place, each in enumerate(asks)]
    loaded = wrap(MistralForCausalLM(config).eval(), make_tokenizer())
    assert [len(batch.contexts) for batch in Engine(loaded).prepare(items).contexts] == sizes
    assert ours(loaded, items) == lm_evals(loaded, items)


def test_a_long_context_is_truncated_on_the_left_and_counted() -> None:
    loaded, items = wrap(gpt2(), make_tokenizer()), asked({"until": [], "max_gen_toks": 100}, longest=20)
    prepared = Engine(loaded).prepare(items)
    assert 0 < prepared.cut < len(items)
    assert max(len(each) for batch in prepared.contexts for each in batch.contexts) == 28
    assert ours(loaded, items) == lm_evals(loaded, items)


def test_an_answer_that_leaves_no_room_for_a_question_is_refused() -> None:
    with pytest.raises(UserError, match="reads at most 128 tokens, and answers of up to 128 leave no room") as refused:
        Engine(wrap(gpt2(), make_tokenizer())).prepare(asked({"until": [], "max_gen_toks": 128}))
    assert "\n" not in str(refused.value)


def test_masked_language_models_cannot_write() -> None:
    tokenizer = make_wordpiece_tokenizer()
    with pytest.raises(UserError, match="is a masked language model, which fills blanks and cannot write"):
        Engine(wrap(make_bert(len(tokenizer)), tokenizer)).prepare(asked({}))


def test_progress_reaches_the_end_token_by_token() -> None:
    engine, items = (
        Engine(wrap(make_llama(), make_tokenizer()), batch_tokens=90),
        asked({"until": [], "max_gen_toks": 6}),
    )
    prepared = engine.prepare(items)
    shares: list[float] = []
    answers = engine.score(prepared, on_advance=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) >= 6 * len(prepared.contexts) > 6
    written = sum(answer.tokens for answer in answers if isinstance(answer, GeneratedText))
    assert prepared.tokens_of(answers) == prepared.tokens - 6 * len(items) + written


def test_a_models_own_settings_of_generation_do_not_count() -> None:
    plain, own = make_llama(), make_llama()
    own.generation_config.update(repetition_penalty=5.0, do_sample=True, temperature=3.0, min_length=9, num_beams=3)
    before = own.generation_config.to_dict()
    found = [ours(wrap(model, make_tokenizer()), asked(SETTINGS[0])) for model in (plain, own)]
    assert found[0] == found[1]
    assert own.generation_config.to_dict() == before


class Spoiled(nn.Module):
    """A head whose logits are NaN after one token."""

    def __init__(self, head: nn.Module, token: int) -> None:
        super().__init__()
        self.head, self.token = head, token

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(hidden)
        return torch.where((logits.argmax(-1) == self.token)[..., None], torch.nan, logits)


def test_logits_that_are_not_numbers_are_no_answer() -> None:
    model = make_llama()
    items = asked({"until": [], "max_gen_toks": 6})
    tokens = write(
        model,
        make_tokenizer(),
        [tuple(make_tokenizer()(each.asks.context)["input_ids"]) for each in items],
        until=(),
        most=6,
    )
    spoiled = tokens[0].tokens[3]
    model.set_output_embeddings(Spoiled(model.get_output_embeddings(), spoiled))
    engine = Engine(wrap(make_llama(), make_tokenizer()))
    engine._model = engine._writing._model = model
    answers = engine.score(engine.prepare(items))
    expected = [spoiled not in each.tokens for each in tokens]
    assert [answer.is_number for answer in answers if answer is not None] == expected
    assert not expected[0]
