"""Encoder-decoders, against lm-eval's seq2seq backend and brute force."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tiny_models import make_bart, make_bart_tokenizer, make_t5, make_t5_tokenizer
from tokenizers import processors
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from forgetmeter.models.loaded import Loaded
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import Cloze, ClozeAnswer, Item, Request, Requests, RequestScore
from forgetmeter.scoring.asked import TOO_LONG, unsupported_reason
from forgetmeter.scoring.engine import Engine

ANSWERS = ("the", "thin tea", "in", "nine")


def t5() -> Loaded:
    return Loaded(make_t5(), make_t5_tokenizer(), "encoder-decoder", "t5")


def bart() -> Loaded:
    return Loaded(make_bart(), make_bart_tokenizer(), "encoder-decoder", "bart")


def lm_eval_scores(loaded: Loaded, items: list[Item]) -> list[list[RequestScore]]:
    peer = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=8, backend="seq2seq")
    instances = [Instance("loglikelihood", {}, (r.context, r.continuation), 0) for item in items for r in item.requests]
    answers = iter(peer.loglikelihood(instances, disable_tqdm=True))
    return [[RequestScore(*next(answers)) for _ in item.requests] for item in items]


def assert_as_lm_eval(loaded: Loaded, items: list[Item]) -> None:
    engine = Engine(loaded)
    for ours, theirs in zip(engine.score(engine.prepare(items)), lm_eval_scores(loaded, items), strict=True):
        assert isinstance(ours, tuple)
        for mine, reference in zip(ours, theirs, strict=True):
            assert mine.loglikelihood == pytest.approx(reference.loglikelihood, abs=1e-3)
            assert mine.is_greedy == reference.is_greedy


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("loaded", [t5(), bart()], ids=["t5", "bart"])
@pytest.mark.parametrize("name", ["piqa", "winogrande", "boolq"])
def test_all_choices_of_fifty_questions_match_lm_eval(loaded: Loaded, name: str) -> None:
    assert_as_lm_eval(loaded, list(load_task(name, limit=50).items))


@pytest.mark.parametrize("loaded", [t5(), bart()], ids=["t5", "bart"])
def test_odd_requests_match_lm_eval(loaded: Loaded) -> None:
    requests = [
        Request("", "tea"),
        Request("  ", "tea"),
        Request("the inn  ", "tea"),
        Request("the " * 300, " tea"),
        Request("</s>", "</s>tea"),
    ]
    assert_as_lm_eval(loaded, [Item("x/0", "", Requests(requests))])


def test_each_text_is_encoded_once() -> None:
    loaded, seen = t5(), []
    engine = Engine(loaded)
    loaded.model.get_encoder().register_forward_hook(
        lambda _m, _a, given, _o: seen.append(given["input_ids"].shape[0]), with_kwargs=True
    )
    requests = tuple(Request("the inn in the", f" {answer}") for answer in ANSWERS)
    engine.score(engine.prepare([Item("x/0", "", Requests(requests)), Item("x/1", "", Requests(requests[:2]))]))
    assert seen == [1]


def cloze_items(*, among: str) -> list[Item]:
    clozes = [Cloze("the inn has ", ".", among), Cloze("", " is in the inn", among)]  # type: ignore[arg-type]
    return [Item(f"x/{n}", "", cloze, ANSWERS, (0,)) for n, cloze in enumerate(clozes)]


def decoded(model: PreTrainedModel, context: list[int], written: list[int]) -> torch.Tensor:
    """Return log-probabilities of the next token at each position of the target."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([context]), decoder_input_ids=torch.tensor([written])).logits
    logprobs: torch.Tensor = logits[0].log_softmax(-1)
    return logprobs


def ids(tokenizer: PreTrainedTokenizerFast, text: str, *, special: bool = True) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def test_a_blank_that_the_tokenizer_cuts_up_is_refused() -> None:
    """Its letters would be read in its place."""
    for loaded, blank in ((t5(), "<extra_id_0>"), (bart(), "<mask>")):
        asked = cloze_items(among="candidates")
        assert unsupported_reason(asked, "encoder-decoder", loaded.tokenizer) is None
        loaded.tokenizer.split_special_tokens = True
        reason = unsupported_reason(asked, "encoder-decoder", loaded.tokenizer)
        assert reason is not None
        assert reason.startswith(f"has a tokenizer that does not read '{blank}' as one token")


def test_t5_ranks_candidates_at_the_sentinel() -> None:
    loaded = t5()
    engine = Engine(loaded)
    items = cloze_items(among="candidates")
    for item, answer in zip(items, engine.score(engine.prepare(items)), strict=True):
        assert isinstance(answer, ClozeAnswer)
        context = ids(loaded.tokenizer, item.cloze.filled("<extra_id_0>"))
        for choice, found in zip(item.choices, answer.candidates, strict=True):
            written = [0, 3, *ids(loaded.tokenizer, choice, special=False), 4]
            logprobs = decoded(loaded.model, context, written[:-1])
            expected = sum(float(logprobs[place - 1, written[place]]) for place in range(2, len(written)))
            assert found == pytest.approx(expected, abs=1e-4)


def test_bart_ranks_whole_texts() -> None:
    loaded = bart()
    engine = Engine(loaded)
    items = cloze_items(among="candidates")
    for item, answer in zip(items, engine.score(engine.prepare(items)), strict=True):
        assert isinstance(answer, ClozeAnswer)
        context = ids(loaded.tokenizer, item.cloze.filled("<mask>"))
        for choice, found in zip(item.choices, answer.candidates, strict=True):
            written = [2, *ids(loaded.tokenizer, item.cloze.filled(choice))]
            logprobs = decoded(loaded.model, context, written[:-1])
            expected = sum(float(logprobs[place - 1, written[place]]) for place in range(2, len(written)))
            assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("loaded", [t5(), bart()], ids=lambda loaded: loaded.name)
def test_a_candidate_longer_than_the_decoder_reads_is_left_out(loaded: Loaded) -> None:
    # The question has one mask for it, so it is short.
    loaded.model.config.max_position_embeddings = 20
    item = replace(cloze_items(among="candidates")[0], choices=("the", "nine tea " * 20))
    assert Engine(loaded).prepare([item, *cloze_items(among="candidates")]).reasons == (TOO_LONG, None, None)


@pytest.mark.parametrize(("before", "after"), [([3], [2]), ([], [2, 3])], ids=["language-first", "language-last"])
def test_a_language_token_that_the_tokenizer_adds_is_context(before: list[int], after: list[int]) -> None:
    """As NLLB (first) and mBART (last) have it; the language is token 3."""
    loaded = bart()
    template = " ".join([*(["<unk>"] if before else []), "$A", "</s>", *(["<unk>"] if not before else [])])
    loaded.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        template, special_tokens=[("<unk>", 3), ("</s>", 2)]
    )
    cloze = Cloze("the inn has ", " tea", "candidates")
    engine = Engine(loaded)
    whole, at_blank = (
        Item("x/0", "", cloze, ANSWERS, (0,)),
        Item("x/1", "", replace(cloze, among="answers"), ("e", "z"), (0,)),
    )
    given, alone = engine.score(engine.prepare([whole, at_blank]))
    assert isinstance(given, ClozeAnswer)
    assert isinstance(alone, ClozeAnswer)
    context = ids(loaded.tokenizer, cloze.filled("<mask>"))
    for choice, found in zip(ANSWERS, given.candidates, strict=True):
        written = [2, *before, *ids(loaded.tokenizer, cloze.filled(choice), special=False), *after]
        logprobs = decoded(loaded.model, context, written[:-1])
        first = 1 + len(before)
        expected = sum(float(logprobs[place - 1, written[place]]) for place in range(first, len(written)))
        assert found == pytest.approx(expected, abs=1e-4)
    for choice, found in zip(("e", "z"), alone.candidates, strict=True):
        written = [2, *before, *ids(loaded.tokenizer, f"the inn has {choice}", special=False)]
        logprobs = decoded(loaded.model, context, written[:-1])
        # A space and a letter.
        expected = sum(float(logprobs[place - 1, written[place]]) for place in (len(written) - 2, len(written) - 1))
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("loaded", "mask", "before"),
    [
        (t5(), "<extra_id_0>", lambda _, __: [0, 3]),
        (bart(), "<mask>", lambda t, c: [2, *ids(t, c.before.rstrip())[:-1]]),
    ],
    ids=["t5", "bart"],
)
def test_the_vocabulary_is_ranked_at_the_blank(loaded: Loaded, mask: str, before) -> None:  # type: ignore[no-untyped-def]
    engine = Engine(loaded)
    # "e" and " the" are one token in these vocabularies.
    items = [
        Item("x/0", "", Cloze("the inn has ", ".", "vocabulary"), ("the",), (0,)),
        Item("x/1", "", Cloze("", " is in the inn", "vocabulary"), ("e",), (0,)),
        Item("x/2", "", Cloze("", " is in the inn", "vocabulary"), ("thin tea",), (0,)),
    ]
    prepared = engine.prepare(items)
    assert dict(prepared.dropped) == {"answer is not one token of the vocabulary": 1}
    *answers, nothing = engine.score(prepared)
    assert nothing is None
    for item, answer, text in zip(items, answers, [" the", "e"], strict=False):
        assert isinstance(answer, ClozeAnswer)
        assert answer.vocabulary is not None
        (token,) = ids(loaded.tokenizer, text, special=False)
        context = ids(loaded.tokenizer, item.cloze.filled(mask))
        logprobs = decoded(loaded.model, context, before(loaded.tokenizer, item.cloze))[-1]
        assert answer.vocabulary.loglikelihood == pytest.approx(float(logprobs[token]), abs=1e-4)
        assert answer.vocabulary.rank == 1 + int((logprobs > logprobs[token]).sum())
        others = torch.cat([logprobs[:token], logprobs[token + 1 :]])
        assert answer.vocabulary.best_other == pytest.approx(float(others.max()), abs=1e-4)


@pytest.mark.parametrize(
    ("loaded", "layer"),
    [(t5(), "decoder.block.0.layer.1.EncDecAttention.k"), (bart(), "model.decoder.layers.0.encoder_attn.v_proj")],
    ids=["t5", "bart"],
)
def test_keys_and_values_of_a_text_are_computed_once_for_all_of_its_answers(loaded: Loaded, layer: str) -> None:
    engine = Engine(loaded)
    contexts = ("the tea is", "in the", "nine")
    prepared = engine.prepare(
        [Item(one, "", Requests([Request(one, f" {each}") for each in ANSWERS])) for one in contexts]
    )
    assert sum(len(batch.encoded.rows) for batch in prepared.batches) > len(contexts)
    computed = []
    hook = loaded.model.get_submodule(layer).register_forward_hook(lambda _, __, outputs: computed.append(len(outputs)))
    engine.score(prepared)
    hook.remove()
    assert sum(computed) == len(contexts)
