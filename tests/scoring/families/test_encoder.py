"""Masked language models, against the paper's loop and lm-pub-quiz.

Covers ``scoring.asked``.
"""

from __future__ import annotations

import pytest
import torch
from lm_pub_quiz import Evaluator
from tiny_models import make_bart_tokenizer, make_bert, make_roberta, make_tokenizer, make_wordpiece_tokenizer
from transformers import PreTrainedTokenizerFast

from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Cloze, ClozeAnswer, Item, Request, Requests
from forgetmeter.scoring.asked import unsupported_reason
from forgetmeter.scoring.engine import Engine

CANDIDATES = ("Paris", "Rome", "the thin inn", "tea.", "Wien", "in-born")


def bert() -> Loaded:
    tokenizer = make_wordpiece_tokenizer()
    return Loaded(make_bert(len(tokenizer)), tokenizer, "encoder", "bert")


def roberta() -> Loaded:
    tokenizer = make_bart_tokenizer()
    return Loaded(make_roberta(len(tokenizer)), tokenizer, "encoder", "roberta")


def items(among: str, clozes: list[tuple[str, str]], choices: tuple[str, ...]) -> list[Item]:
    return [
        Item(f"x/{n}", "", Cloze(before, after, among), choices, (0,))  # type: ignore[arg-type]
        for n, (before, after) in enumerate(clozes)
    ]


STATEMENTS = [
    ("The capital of France is ", "."),
    ("", " is the capital of France."),
    ("He was born in ", " in the inn"),
]


@pytest.mark.parametrize("loaded", [bert(), roberta()], ids=["bert", "roberta"])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_pseudo_loglikelihoods_match_lm_pub_quiz(loaded: Loaded, batch_tokens: int) -> None:
    peer = Evaluator.from_model(
        loaded.model, model_type="MLM", tokenizer=loaded.tokenizer, device="cpu", capitalize=False
    )
    asked = items("candidates", STATEMENTS, CANDIDATES)
    engine = Engine(loaded, batch_tokens=batch_tokens)
    for item, answer in zip(asked, engine.score(engine.prepare(asked)), strict=True):
        assert isinstance(answer, ClozeAnswer)
        template = item.cloze.filled("[Y]")
        theirs = peer.score_answers(template=template, answers=list(CANDIDATES), reduction="sum", batch_size=7)
        assert answer.candidates == pytest.approx(theirs, abs=1e-3)


def padded_loop(loaded: Loaded, item: Item) -> tuple[float, int, list[str]]:
    """Score as the paper does: pad to 128, logits at every position, softmax over the vocabulary at the mask."""
    tokenizer = loaded.tokenizer
    given = tokenizer(
        item.cloze.filled(tokenizer.mask_token), padding="max_length", max_length=128, return_tensors="pt"
    )
    with torch.no_grad():
        logits = loaded.model(**given).logits[0]
    place = given["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    logprobs = logits[place].log_softmax(-1)
    answer = item.choices[item.gold[0]]
    space = " " if item.cloze.before.endswith(" ") else ""
    (token,) = tokenizer(space + answer, add_special_tokens=False)["input_ids"]
    top = [tokenizer.decode([index]).strip() for index in logprobs.topk(5).indices.tolist()]
    return float(logprobs[token]), 1 + int((logprobs > logprobs[token]).sum()), top


@pytest.mark.parametrize(("loaded", "answer"), [(bert(), "Paris"), (roberta(), "the")], ids=["bert", "roberta"])
def test_masks_are_filled_as_in_the_papers_loop(loaded: Loaded, answer: str) -> None:
    # A text starts without a space, and in RoBERTa's vocabulary "the" without one is two tokens.
    statements = STATEMENTS if answer == "Paris" else STATEMENTS[::2]
    asked = items("vocabulary", statements, (answer,))
    engine = Engine(loaded)
    for item, found in zip(asked, engine.score(engine.prepare(asked)), strict=True):
        assert isinstance(found, ClozeAnswer)
        assert found.vocabulary is not None
        logprob, rank, top = padded_loop(loaded, item)
        assert found.vocabulary.loglikelihood == pytest.approx(logprob, abs=1e-4)
        assert (found.vocabulary.rank, list(found.vocabulary.top)) == (rank, top)


def test_items_that_cannot_be_asked_are_counted_by_reason() -> None:
    asked = [
        *items("vocabulary", STATEMENTS[:1], ("Wien",)),
        *items("vocabulary", [("the " * 200, ".")], ("Paris",)),
        *items("candidates", [("the " * 200, ".")], CANDIDATES),
        *items("vocabulary", STATEMENTS[:1], ("Paris",)),
    ]
    engine = Engine(bert())
    prepared = engine.prepare(asked)
    assert prepared.dropped == {"answer is not one token of the vocabulary": 1, "longer than the model reads": 2}
    assert [answer is None for answer in engine.score(prepared)] == [True, True, True, False]


def test_continuations_are_refused() -> None:
    with pytest.raises(
        UserError,
        match="masked language model.* cannot score continuations such as those of x/0",
    ):
        Engine(bert()).prepare([Item("x/0", "", Requests([Request("the", " inn")]))])


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    tokenizer: PreTrainedTokenizerFast = make_tokenizer()
    maskless = Loaded(make_bert(len(tokenizer)), tokenizer, "encoder", "maskless")
    with pytest.raises(UserError, match="model 'maskless' has a tokenizer without a mask token"):
        Engine(maskless).prepare(items("vocabulary", STATEMENTS, ("Paris",)))


@pytest.mark.parametrize("change", [{"split_special_tokens": True}, {"mask_token": ""}])
def test_a_mask_that_the_tokenizer_cuts_up_is_refused(change: dict[str, object]) -> None:
    loaded = bert()
    for name, value in change.items():
        setattr(loaded.tokenizer, name, value)
    (item, *_) = items("vocabulary", [("the ", " inn")], ("the",))
    reason = unsupported_reason([item], "encoder", loaded.tokenizer)
    assert reason is not None
    assert reason.startswith(f"has a tokenizer that does not read {loaded.tokenizer.mask_token!r} as one token")
    # Whole statements are masked by the token's id.
    assert unsupported_reason(items("candidates", [("the ", " inn")], ("the",)), "encoder", loaded.tokenizer) is None


def test_a_repeated_sequence_is_read_once() -> None:
    asked = [*items("vocabulary", STATEMENTS[:1], ("Paris",)), *items("vocabulary", STATEMENTS[:1], ("Rome",))]
    engine = Engine(bert())
    prepared = engine.prepare(asked)
    assert [batch.tokens.shape[0] for batch in prepared.batches] == [1]
    first, second = engine.score(prepared)
    assert isinstance(first, ClozeAnswer)
    assert isinstance(second, ClozeAnswer)
    assert first.vocabulary is not None
    assert second.vocabulary is not None
    assert first.vocabulary.top == second.vocabulary.top
    assert first.vocabulary.rank != second.vocabulary.rank


def test_a_task_without_any_valid_item_is_refused() -> None:
    with pytest.raises(UserError, match=r"'bert' can score none of the items \(answer is not .*: 3\)"):
        Engine(bert()).prepare(items("vocabulary", STATEMENTS, ("Wien",)))


@pytest.mark.parametrize("among", ["vocabulary", "answers", "candidates"])
def test_a_text_with_a_mask_of_its_own_is_left_out(among: str) -> None:
    """Otherwise the first of the two masks would be read, wherever the blank is."""
    clozes = [("The capital of [MASK] is ", "."), ("The capital of France is ", ".")]
    asked = items(among, clozes, ("paris", "rome"))
    prepared = Engine(bert()).prepare(asked)
    assert prepared.first_dropped() == {"text contains the token that marks the blank": "x/0"}


def test_half_a_surrogate_pair_leaves_its_item_out() -> None:
    asked = items("vocabulary", [("The capital of \ud800 is ", "."), ("The capital of France is ", ".")], ("paris",))
    assert Engine(bert()).prepare(asked).first_dropped() == {"text is not valid Unicode": "x/0"}
