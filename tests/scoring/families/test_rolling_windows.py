"""Long texts in windows, against lm-eval: windows, log-likelihoods and metrics.

Covers ``scoring.families.decoder``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import bits_per_byte, weighted_perplexity
from lm_eval.api.task import PerplexityTask as LmEvalPerplexityTask
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import get_rolling_token_windows
from tiny_models import make_bart_tokenizer, make_bert, make_llama, make_t5, make_t5_tokenizer, make_tokenizer
from tokenizers import processors

from forgetmeter.errors import UserError
from forgetmeter.models.loading import wrap
from forgetmeter.records.item import Item, TextAnswer, WholeText
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.families.decoder import rolling_windows
from forgetmeter.study.evaluation import evaluate

TEXTS = (
    "the inn is thin",
    "In the inn, the tin thing is in the tea; " * 5 + "\nnaïve — 7 × 3",
    "t",
    "the inn the tin " * 40,
)


@given(st.integers(1, 60), st.integers(1, 12))
def test_windows_match_lm_eval(length: int, window: int) -> None:
    tokens = list(range(1, length + 1))
    expected = [
        ((*inputs, predicted[-1]), len(inputs) + 1 - len(predicted))
        for inputs, predicted in get_rolling_token_windows(tokens, 0, window, context_len=1)
    ]
    ours = list(rolling_windows([0, *tokens], window=window))
    assert [(each.tokens, each.start) for each in ours] == expected
    assert [token for each in ours for token in each.tokens[each.start :]] == tokens


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "some.text"
    path.write_text("\n\n".join(TEXTS), encoding="utf-8")
    return path


@pytest.mark.parametrize("window", [7, 64, 512])
def test_perplexity_matches_lm_eval(text_file: Path, window: int) -> None:
    loaded = wrap(make_llama(), make_tokenizer())
    name = f"perplexity:file={text_file}" + ("" if window == 512 else f":window={window}")
    judgement = evaluate(loaded, [name])[name]

    peer = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, max_length=window, softmax_dtype="float64")
    texts = [text.strip() for text in TEXTS]
    theirs = peer.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (t,), 0) for t in texts], True)
    assert [o.loglikelihoods[0] for o in judgement.outcomes] == pytest.approx(theirs, abs=1e-3)

    pairs = [LmEvalPerplexityTask.process_results(LmEvalPerplexityTask, t, (ll,)) for t, ll in _paired(texts, theirs)]
    for metric, aggregate in (
        ("word_perplexity", weighted_perplexity),
        ("byte_perplexity", weighted_perplexity),
        ("bits_per_byte", bits_per_byte),
    ):
        assert judgement.metrics[metric] == pytest.approx(aggregate([pair[metric] for pair in pairs]), rel=1e-5)
    tokens = [len(loaded.tokenizer(text)["input_ids"]) for text in texts]
    assert [o.metrics["tokens"] for o in judgement.outcomes] == tokens
    assert judgement.metrics["token_perplexity"] == pytest.approx(
        weighted_perplexity([(sum(theirs), sum(tokens))]), rel=1e-5
    )
    assert {outcome.correct for outcome in judgement.outcomes} == {None}


@pytest.fixture(autouse=True)
def _documents_are_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    # lm-eval's class is abstract; here the documents are the texts themselves.
    monkeypatch.setattr(LmEvalPerplexityTask, "doc_to_target", staticmethod(lambda doc: doc))


def _paired(texts: list[str], values: list[float]) -> list[tuple[str, float]]:
    return list(zip(texts, values, strict=True))


@pytest.mark.parametrize("text", ["the inn</s>", "</s>", "<s>the <s> inn </s></s>"])
def test_special_tokens_written_in_a_text_are_scored_as_in_lm_eval(text: str) -> None:
    loaded = wrap(make_llama(), make_tokenizer())
    peer = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, softmax_dtype="float64")
    (theirs,) = peer.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0)], True)
    engine = Engine(loaded)
    (answer,) = engine.score(engine.prepare([_item(text)]))
    assert answer == TextAnswer(pytest.approx(theirs, abs=1e-4), len(loaded.tokenizer(text)["input_ids"]))


@pytest.mark.parametrize("window", [2, 3, 8, 512])
@pytest.mark.parametrize("template", ["[gMASK] <sop> $A", "[gMASK] <sop> $A </s>", "<s> [gMASK] <sop> $A </s>"])
def test_all_tokens_added_to_a_text_are_context_and_unknown_ones_are_scored(template: str, window: int) -> None:
    """The reference reads the whole text at once, or token by token with the last ``window`` tokens before it."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[gMASK]", "<sop>"], "unk_token": "!"})
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<s>", "</s>", "[gMASK]", "<sop>")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(template, special_tokens=special)
    model = make_llama()
    model.resize_token_embeddings(len(tokenizer))
    text = "the inn is thin!!"
    own = tokenizer(text, add_special_tokens=False)["input_ids"]
    before = [dict(special)[token] for token in template.split("$A")[0].split()]
    whole = [*before, *own]
    engine = Engine(wrap(model, tokenizer))
    (item,) = [Item("perplexity/0", "", WholeText(text, window))]
    (answer,) = engine.score(engine.prepare([item]))
    assert isinstance(answer, TextAnswer)
    assert answer.tokens == len(own)
    if window == 512:
        with torch.no_grad():
            logprobs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
        expected = sum(logprobs[place - 1, whole[place]].item() for place in range(len(before), len(whole)))
        assert answer.loglikelihood == pytest.approx(expected, abs=1e-4)
    windows = list(rolling_windows(whole, context=len(before), window=window))
    assert [token for each in windows for token in each.tokens[each.start :]] == own
    assert all(1 <= each.start < len(each.tokens) <= window + 1 for each in windows)


def test_special_tokens_are_added_once() -> None:
    tokenizer = make_bart_tokenizer()
    model = make_llama()
    model.resize_token_embeddings(len(tokenizer))
    loaded = wrap(model, tokenizer)
    (answer,) = Engine(loaded).score(Engine(loaded).prepare([_item("the inn")]))
    assert isinstance(answer, TextAnswer)
    # Without the special tokens that this tokenizer puts around each text.
    assert answer.tokens == len(tokenizer("the inn", add_special_tokens=False)["input_ids"])


def test_only_decoders_are_supported() -> None:
    encoder = wrap(make_bert(len(make_bart_tokenizer())), make_bart_tokenizer())
    encoder_decoder = wrap(make_t5(), make_t5_tokenizer())
    with pytest.raises(UserError, match="is a masked language model; whole texts are supported only for decoders"):
        Engine(encoder).prepare([_item("the inn")])
    with pytest.raises(UserError, match="is an encoder-decoder; whole texts are supported only for decoders"):
        Engine(encoder_decoder).prepare([_item("the inn")])


def _item(text: str) -> Item:
    return Item("perplexity/0", "", WholeText(text))
