"""Decoders' scores, against each request alone and lm-eval.

Covers ``scoring.asked``, ``scoring.batch_invariance.detection``, ``scoring.batch_invariance.trial``,
``scoring.engine`` and ``scoring.question``.
"""

from __future__ import annotations

import random

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tiny_models import make_llama, make_tokenizer
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from forgetmeter.compression.applying.compressor import compress
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import wrap
from forgetmeter.records.item import Item, Request, Requests, RequestScore
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.families.decoder import run_decoder
from forgetmeter.scoring.tokens.tokenization import tokenize_requests

WORDS = ["the", "inn", "in", "a", "thin", "hint", "of", "tea", "and", "it", "hits", "nine", "tin", "things"]


def made_up_items(*, seed: int, count: int = 12) -> list[Item]:
    """Make questions of random words with 1 to 4 choices; some share contexts, some share continuations."""
    dice = random.Random(seed)

    def phrase(most: int) -> str:
        return " ".join(dice.choices(WORDS, k=dice.randint(1, most)))

    items = []
    for index in range(count):
        context, ending = phrase(20), " " + phrase(5)
        number = dice.randint(1, 4)
        if index % 2:
            requests = tuple(Request(context, " " + phrase(6)) for _ in range(number))
        else:
            requests = tuple(Request(f"{context} {phrase(2)}", ending) for _ in range(number))
        items.append(Item(f"made_up/{index}", "", Requests(requests)))
    return items


def one_by_one(model: LlamaForCausalLM, items: list[Item]) -> list[list[RequestScore]]:
    """Score each request alone, in full, without batching: the brute-force reference."""
    tokenizer = make_tokenizer()
    scores = []
    for item in items:
        answers = []
        for request in tokenize_requests(item.requests, tokenizer, max_length=512):
            with torch.no_grad():
                logprobs = model(torch.tensor([request.inputs])).logits[0].log_softmax(-1)[-len(request.targets) :]
            wanted = torch.tensor(request.targets)
            answers.append(
                RequestScore(
                    logprobs.gather(1, wanted[:, None]).sum().item(),
                    bool((logprobs.argmax(1) == wanted).all()),
                )
            )
        scores.append(answers)
    return scores


def engine_scores(loaded: Loaded, items: list[Item], **options: int) -> list[list[RequestScore]]:
    engine = Engine(loaded, **options)
    return engine.score(engine.prepare(items))


def assert_close(ours: list[list[RequestScore]], theirs: list[list[RequestScore]], tolerance: float = 1e-3) -> None:
    assert [len(answers) for answers in ours] == [len(answers) for answers in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for mine, reference in zip(one, other, strict=True):
            assert mine.loglikelihood == pytest.approx(reference.loglikelihood, abs=tolerance)
            assert mine.is_greedy == reference.is_greedy


@pytest.mark.parametrize("batch_tokens", [1, 64, 4096])
def test_scores_match_each_request_alone(batch_tokens: int) -> None:
    model, items = make_llama(), made_up_items(seed=1)
    loaded = wrap(model, make_tokenizer())
    assert_close(engine_scores(loaded, items, batch_tokens=batch_tokens), one_by_one(model, items))


def test_greedy_answers_are_recognized() -> None:
    model, tokenizer = make_llama(), make_tokenizer()
    # A random model mostly continues with invalid bytes: look for a context where it does not.
    for context in (f"{one} {other}" for one in WORDS for other in WORDS):
        with torch.no_grad():
            best = int(model(torch.tensor([tokenizer(context)["input_ids"]])).logits[0, -1].argmax())
        continuation = tokenizer.decode([best])
        if tokenizer(context + continuation)["input_ids"] == [*tokenizer(context)["input_ids"], best]:
            break
    else:
        pytest.fail("no context has a greedy continuation that is text")
    items = [Item("x/0", "", Requests([Request(context, continuation), Request(context, "zq")]))]
    (scores,) = engine_scores(wrap(model, tokenizer), items)
    assert [score.is_greedy for score in scores] == [True, False]


def test_among_equally_likely_tokens_only_the_first_is_greedy() -> None:
    model = make_llama(tied=False)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    tokenizer = make_tokenizer()
    items = [Item("x/0", "", Requests([Request("the inn", " tin"), Request("the inn", "<s>")]))]
    (scores,) = engine_scores(wrap(model, tokenizer), items)
    assert [score.is_greedy for score in scores] == [False, True]


def test_a_quantized_head_sees_every_position_as_it_does_in_the_model() -> None:
    model, tokenizer = make_llama(), make_tokenizer()
    quantized = compress(wrap(model, tokenizer), "dynamic_int8:head")
    items = [Item("x/0", "", Requests([Request("the thing in the inn", " is tin")]))]
    (request,) = tokenize_requests(items[0].requests, tokenizer, max_length=512)
    logprobs = quantized.model(torch.tensor([request.inputs])).logits[0].log_softmax(-1)[-len(request.targets) :]
    expected = logprobs.gather(1, torch.tensor(request.targets)[:, None]).sum().item()
    ((score,),) = engine_scores(quantized, items)
    assert score.loglikelihood == pytest.approx(expected, abs=1e-5)


def test_scores_match_lm_eval() -> None:
    model, tokenizer, items = make_llama(seed=2), make_tokenizer(), made_up_items(seed=2)
    peer = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    instances = [Instance("loglikelihood", {}, (r.context, r.continuation), 0) for item in items for r in item.requests]
    answers = iter(peer.loglikelihood(instances, disable_tqdm=True))
    theirs = [[RequestScore(*next(answers)) for _ in item.requests] for item in items]
    assert_close(engine_scores(wrap(model, tokenizer), items), theirs)


def test_progress_rises_to_one() -> None:
    engine = Engine(wrap(make_llama(), make_tokenizer()), batch_tokens=64)
    shares: list[float] = []
    engine.score(engine.prepare(made_up_items(seed=1)), on_advance=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert shares[-1] == 1.0


def test_prepared_items_can_be_used_with_a_changed_model() -> None:
    model, items = make_llama(), made_up_items(seed=4)
    engine = Engine(wrap(model, make_tokenizer()))
    prepared = engine.prepare(items)
    before = engine.score(prepared)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(0)
    after = engine.score(prepared)
    assert before != after
    assert_close(after, one_by_one(model, items))


def test_only_needed_positions_reach_the_head() -> None:
    model, items = make_llama(), made_up_items(seed=5)
    seen: list[int] = []
    engine = Engine(wrap(model, make_tokenizer()))
    prepared = engine.prepare(items)
    model.lm_head.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].shape[-2]))
    engine.score(prepared)
    requests = tokenize_requests([r for item in items for r in item.requests], make_tokenizer(), max_length=512)
    wanted = {request.inputs[: len(request.inputs) - n] for request in requests for n in range(len(request.targets))}
    # Positions shared by several requests are computed once.
    assert len(wanted) <= sum(seen) <= sum(len(request.targets) for request in requests)


def level(model: PreTrainedModel) -> str:
    loaded = Loaded(model, make_tokenizer(), "decoder", "x")
    return find_sharing(loaded, run_decoder, longest=64)[0].level


def test_branches_are_tested_on_the_model_itself() -> None:
    assert level(make_llama()) == "packed"

    class Stubborn(LlamaForCausalLM):
        """Ignores masks and positions, so branches would see each other."""

        def forward(self, input_ids, **_):  # type: ignore[no-untyped-def]
            return super().forward(input_ids=input_ids)

    stubborn = Stubborn(make_llama().config).eval()
    assert level(stubborn) == "padded"
    items = made_up_items(seed=6)
    assert_close(engine_scores(wrap(stubborn, make_tokenizer()), items), one_by_one(stubborn, items))


def test_learned_positions_can_branch_too() -> None:
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_layer=2, n_embd=16, n_head=2, n_positions=64))
    assert level(gpt2.eval()) == "packed"


def test_rows_with_branches_stay_within_a_sliding_window() -> None:
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(make_tokenizer()),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=32,
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    model, items = MistralForCausalLM(config).eval(), made_up_items(seed=7)
    assert isinstance(model.lm_head, nn.Linear)
    assert_close(engine_scores(wrap(model, make_tokenizer()), items), one_by_one(model, items))


def test_one_answer_that_does_not_fit_leaves_its_item_out_and_cut_contexts_are_counted() -> None:
    model = make_llama()
    model.config.max_position_embeddings = 16
    loaded = wrap(model, make_tokenizer())
    items = [
        Item("t/0", "0", Requests([Request("x", "abc"), Request("x", "abcdefghijklmnopqrstuvwxyz")]), ("a", "b"), (0,)),
        Item("t/1", "1", Requests([Request("x" * 60, "abc"), Request("x" * 60, "abd")]), ("a", "b"), (0,)),
        Item("t/2", "2", Requests([Request("y", "a"), Request("y", "b")]), ("a", "b"), (1,)),
    ]
    engine = Engine(loaded)
    prepared = engine.prepare(items)
    assert prepared.first_dropped() == {"an answer is longer than the model reads": "t/0"}
    assert prepared.cut == 1
    first, *others = engine.score(prepared)
    assert first is None
    alone = [engine.score(engine.prepare([item]))[0] for item in items[1:]]
    for one, other in zip(others, alone, strict=True):
        assert [each.loglikelihood for each in one] == pytest.approx([each.loglikelihood for each in other], abs=1e-5)
