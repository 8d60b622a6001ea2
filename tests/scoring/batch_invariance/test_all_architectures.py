"""Batched scores of every text architecture in transformers, against plain calls of each text alone.

Covers ``scoring.batch_invariance.detection`` and ``scoring.batch_invariance.trial``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from scoring.batch_invariance import configurations
from scoring.batch_invariance.configurations import CONFIGURATIONS, SKIPPED
from tiny_models import make_bart_tokenizer, make_tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.generation import GeneratedText, Generation
from forgetmeter.records.item import Answer, Cloze, ClozeAnswer, Item, Request, Requests
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.families.encoder import run_encoder

TOLERANCE = 1e-5
"""In nats, for a whole log-likelihood."""
USUAL = {"decoder": "packed", "encoder": "padded", "encoder-decoder": "padded, padded"}
LESS = {
    "padded": (
        "bailing_hybrid bamba bart bigbird_pegasus blenderbot blenderbot-small bloom deepseek_v4 falcon_h1 "
        "falcon_mamba granitemoehybrid inkling2_text inkling_text jamba kimi_linear lfm2 lfm2_moe lfm3 mamba mamba2 "
        "marian mbart minimax mpt mvp nemotron_h olmo_hybrid openai-gpt pegasus plbart qwen3_5_moe_text "
        "qwen3_5_text qwen3_next qwen4_exp_text recurrent_gemma reformer rwkv xlstm zamba zamba2 zaya"
    ),
    "equal lengths": "convbert fnet funnel mobilebert nystromformer yoso",
}
"""Architectures that share less than others of their family (for decoders: rows with branches)."""
LESS_VARIANTS = {
    "roberta with is_decoder=True": "padded",
    "falcon with alibi": "padded",
    "mpt without alibi": "padded",
    "funnel with attention factorized": "equal lengths",
    "nllb-moe that drops tokens": "alone, alone",
}
SEES_WHAT_FOLLOWS = (
    "bert bert-generation big_bird camembert cpmant data2vec-text electra ernie megatron-bert rembert roberta "
    "roberta-prelayernorm roc_bert roformer xlm xlm-roberta xlm-roberta-xl xlnet"
)
REFUSED = {
    **{f"{name} as decoder": "depend on later tokens" for name in SEES_WHAT_FOLLOWS.split()},
    "bert as decoder with small weights": "depend on later tokens",
    "bert with is_decoder=False": "depend on later tokens",
    "prophetnet as decoder": "output head cannot be read at single positions",
    "prophetnet as encoder-decoder": "output head cannot be read at single positions",
    "xmod as decoder": "does not run on token ids alone.*Input language unknown",
    "xmod as encoder": "does not run on token ids alone.*Input language unknown",
}
USUALLY_RUN = (
    "jamba as decoder with small weights",
    "lfm2 as decoder with small weights",
    "gpt2 with 64 positions",
    "gpt_neo with 64 positions",
    "llama with dynamic rope",
    "llama4 in chunks",
    "llama4 with attention scaled by place",
    "deepseek_v4 with longer blocks",
    "phi3 with longrope",
    "mistral with a window",
    "mixtral as decoder",
    "bert with is_decoder=False",
    "xlnet as decoder",
    "convbert as encoder",
    "fnet as encoder with small weights",
    "funnel as encoder",
    "t5 as encoder-decoder",
    "nllb-moe that drops tokens",
)
"""Those tested by default; `make architectures` tests all."""
WORDS = ["the", "inn", "in", "a", "thin", "hint", "of", "tea", "and", "it", "hits", "nine", "tin", "things"]
"""Each is a few tokens long, and preceded by a space where it follows another."""


def phrase(dice: random.Random, words: int) -> str:
    return " ".join(dice.choices(WORDS, k=words))


def continuations() -> list[Item]:
    """Return questions with shared and different beginnings, short and long, and repetitive texts."""
    dice = random.Random(0)
    items = []
    for words in (1, 2, 2, 5, 9, 12):
        context = phrase(dice, words)
        items.append([Request(context, " " + phrase(dice, number)) for number in (1, 1, 1, 2, 2, 3, 3, 3)])
    items.append([Request("a a a", " a"), Request("a a a", " a a"), Request("a a a a a a", " a tin")])
    return [Item(f"x/{n}", "", Requests(requests)) for n, requests in enumerate(items)]


def statements() -> list[Item]:
    dice = random.Random(0)
    clozes = [Cloze(f"{phrase(dice, words)} ", ".", "candidates") for words in (1, 2, 5, 9)]
    choices = ("tin", "a", "nine things")
    return [Item(f"x/{n}", "", cloze, choices, (0,)) for n, cloze in enumerate(clozes)]


@torch.no_grad()
def alone(model: PreTrainedModel, ids: list[int], **given: list[int]) -> torch.Tensor:
    """Return log-probabilities of a plain call, float64, shape ``(tokens, vocabulary)``."""
    inputs = {name: torch.tensor([value]) for name, value in given.items()}
    logprobs: torch.Tensor = model(input_ids=torch.tensor([ids]), **inputs).logits[0].double().log_softmax(-1)
    return logprobs


def expected_of_decoder(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, item: Item) -> Iterator[float]:
    for request in item.requests:
        ids = tokenizer(request.context + request.continuation)["input_ids"]
        first = len(tokenizer(request.context)["input_ids"])
        logprobs = alone(model, ids[:-1])
        yield sum(float(logprobs[place - 1, ids[place]]) for place in range(first, len(ids)))


def expected_of_encoder(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, item: Item) -> Iterator[float]:
    for choice in item.choices:
        encoding = tokenizer(item.cloze.filled(choice))
        ids, words = encoding["input_ids"], encoding.word_ids()
        total = 0.0
        for place in range(1, len(ids) - 1):
            rest = range(place, len(ids) - 1)
            hidden = {later for later in rest if words[later] == words[place]}
            masked = [tokenizer.mask_token_id if at in hidden else token for at, token in enumerate(ids)]
            total += float(alone(model, masked)[place, ids[place]])
        yield total


def expected_of_encoder_decoder(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, item: Item
) -> Iterator[float]:
    for request in item.requests:
        written = [2, *tokenizer(request.continuation, add_special_tokens=False)["input_ids"]]
        logprobs = alone(model, tokenizer(request.context)["input_ids"], decoder_input_ids=written[:-1])
        yield sum(float(logprobs[place - 1, written[place]]) for place in range(1, len(written)))


def numbers(answer: Answer | None) -> tuple[float, ...]:
    assert answer is not None
    return answer.candidates if isinstance(answer, ClozeAnswer) else tuple(score.loglikelihood for score in answer)


WITNESSES = {
    "decoder": (make_tokenizer, continuations, expected_of_decoder),
    "encoder": (make_bart_tokenizer, statements, expected_of_encoder),
    "encoder-decoder": (make_bart_tokenizer, continuations, expected_of_encoder_decoder),
}


def farthest(name: str, dtype: torch.dtype = torch.float32) -> tuple[str, float]:
    """Return what rows share, and the largest error of a log-likelihood in nats."""
    configuration = CONFIGURATIONS[name]
    make, items_of, expected_of = WITNESSES[configuration.family]
    model, tokenizer, items = configuration.model().to(dtype), make(), items_of()
    loaded = Loaded(model, tokenizer, configuration.family, name)
    engines = [Engine(loaded, batch_tokens=batch_tokens) for batch_tokens in (200, 4096)]
    found = [[x for answer in engine.score(engine.prepare(items)) for x in numbers(answer)] for engine in engines]
    expected = torch.tensor([x for item in items for x in expected_of(model, tokenizer, item)], dtype=torch.float64)
    assert expected.std() > 0.01
    difference = float((torch.tensor(found, dtype=torch.float64) - expected).abs().max())
    # Each model is tried once; the engines use this result.
    rows, texts = find_sharing(loaded, run_encoder, longest=1)
    return f"{rows.level}, {texts.level}" if configuration.family == "encoder-decoder" else rows.level, difference


def expected_level(name: str) -> str:
    configuration = CONFIGURATIONS[name]
    if name in LESS_VARIANTS or " as " not in name or configuration.family == "encoder-decoder":
        return LESS_VARIANTS.get(name, USUAL[configuration.family])
    found = (level for level, names in LESS.items() if configuration.model_type in names.split())
    return next(found, USUAL[configuration.family])


def test_there_are_many_architectures() -> None:
    assert len(CONFIGURATIONS) >= 250
    assert not {each.model_type for each in CONFIGURATIONS.values()} & set(SKIPPED)
    assert {*USUALLY_RUN, *REFUSED, *LESS_VARIANTS} <= set(CONFIGURATIONS)


def test_the_documents_count_them() -> None:
    tried, refused = len(CONFIGURATIONS), len(REFUSED)
    root = Path(__file__).parents[3]
    assert f"For {tried - refused} tiny models of transformers' text architectures" in " ".join(
        (root / "README.md").read_text().split()
    )
    decision = " ".join((root / "docs/decisions/022-what-texts-may-share.md").read_text().split())
    assert f"tries {tried} tiny random models: {tried - refused} are compared" in decision
    assert f"and {refused} must be refused" in decision


@configurations.each(USUALLY_RUN)
def test_batching_changes_nothing(name: str) -> None:
    if name in REFUSED:
        with pytest.raises(UserError, match=REFUSED[name]):
            farthest(name)
        return
    level, difference = farthest(name)
    assert difference <= TOLERANCE
    assert level == expected_level(name)


UNWRITABLE = {"xlstm as decoder": "has wrong shape"}
"""Architectures that transformers itself cannot generate with, and its error."""


def texts(name: str, batch_tokens: int) -> list[GeneratedText]:
    dice = random.Random(0)
    contexts = [phrase(dice, words) for words in (1, 2, 2, 5, 9, 9, 7, 3)]
    items = [
        Item(f"x/{n}", "", Generation(context, {"until": ["."], "max_gen_toks": 8}))
        for n, context in enumerate(contexts)
    ]
    configuration = CONFIGURATIONS[name]
    loaded = Loaded(configuration.model(), WITNESSES[configuration.family][0](), configuration.family, name)
    engine = Engine(loaded, batch_tokens=batch_tokens)
    return [answer for answer in engine.score(engine.prepare(items)) if isinstance(answer, GeneratedText)]


@configurations.each(USUALLY_RUN, families=("decoder", "encoder-decoder"), without=REFUSED)
def test_texts_are_written_as_alone(name: str) -> None:
    if name in UNWRITABLE:
        with pytest.raises(ValueError, match=UNWRITABLE[name]):
            texts(name, 1)
        return
    assert texts(name, 4096) == texts(name, 1)
