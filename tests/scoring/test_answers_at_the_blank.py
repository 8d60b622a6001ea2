"""Answers that compete in a blank, against each answer alone.

Covers ``scoring.families.blank_filling`` and ``scoring.tokens.answer_tokens``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import (
    make_bart,
    make_bart_tokenizer,
    make_bert,
    make_llama,
    make_roberta,
    make_t5,
    make_t5_tokenizer,
    make_tokenizer,
    make_wordpiece_tokenizer,
)
from tokenizers import Regex, Tokenizer, models, normalizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from forgetmeter.compression.applying.compressor import compress
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.item import Cloze, ClozeAnswer, Item, Request, Requests
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.tokens.answer_tokens import AnswersWritten
from forgetmeter.scoring.tokens.tokenization import is_by_word

PLACES = [("The capital of France is ", "."), ("", " is the capital of France."), ("He was born in ", " in the inn")]
APART = ("Paris", "Rome", "the", "teapot", "wien", "France")
"""No answer's tokens are a prefix of another's, in any of the vocabularies below."""
BEGUN = ("t", "tea", "inn", "in", "Wien", "in-born", "innate", "inn")
"""In byte vocabularies ``in`` is a prefix of ``inn``, and that of ``innate``."""

Reference = Callable[[Loaded, Cloze, str, bool], float]


def bert() -> Loaded:
    tokenizer = make_wordpiece_tokenizer()
    return Loaded(make_bert(len(tokenizer)), tokenizer, "encoder", "bert")


def roberta() -> Loaded:
    tokenizer = make_bart_tokenizer()
    return Loaded(make_roberta(len(tokenizer)), tokenizer, "encoder", "roberta")


def t5() -> Loaded:
    return Loaded(make_t5(), make_t5_tokenizer(), "encoder-decoder", "t5")


def bart() -> Loaded:
    return Loaded(make_bart(), make_bart_tokenizer(), "encoder-decoder", "bart")


def llama(*, tied: bool = True) -> Loaded:
    return Loaded(make_llama(tied=tied), make_tokenizer(), "decoder", "llama")


def in_place(loaded: Loaded, cloze: Cloze, answer: str) -> list[int]:
    space = " " if cloze.before.endswith(" ") else ""
    return list(loaded.tokenizer(space + answer, add_special_tokens=False)["input_ids"])


def at_masks(loaded: Loaded, cloze: Cloze, answer: str, _: bool) -> float:
    """Write as many masks into the text as the answer has tokens, and fill them from left to right."""
    answer_ids = in_place(loaded, cloze, answer)
    text = cloze.filled(loaded.tokenizer.mask_token * len(answer_ids))
    ids = loaded.tokenizer(text, return_tensors="pt")["input_ids"]
    total = 0.0
    for token in answer_ids:
        place = ids[0].tolist().index(loaded.tokenizer.mask_token_id)
        with torch.no_grad():
            total += float(loaded.model(input_ids=ids).logits[0, place].log_softmax(-1)[token])
        ids[0, place] = token
    return total


def written_after(loaded: Loaded, text: str, written: list[int], first: int) -> float:
    """Return the log-likelihood of an encoder-decoder's target from token ``first`` on."""
    given_ids = loaded.tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = loaded.model(input_ids=given_ids, decoder_input_ids=torch.tensor([written[:-1]])).logits[0]
    logprobs = logits.log_softmax(-1)
    return sum(float(logprobs[place - 1, written[place]]) for place in range(first, len(written)))


def at_sentinel(loaded: Loaded, cloze: Cloze, answer: str, followed: bool) -> float:
    written = [0, 3, *in_place(loaded, cloze, answer), *([4] if followed else [])]
    return written_after(loaded, cloze.filled("<extra_id_0>"), written, 2)


def at_masks_place(loaded: Loaded, cloze: Cloze, answer: str, followed: bool) -> float:
    tokenizer = loaded.tokenizer
    before = tokenizer(cloze.before.rstrip())["input_ids"][:-1]
    written = tokenizer(f"{cloze.before}{answer}{cloze.after if followed else ''}")["input_ids"]
    end = [] if cloze.after or not followed else [2]
    return written_after(loaded, cloze.filled("<mask>"), [2, *written[:-1], *end], 1 + len(before))


def after_text(loaded: Loaded, cloze: Cloze, answer: str, followed: bool) -> float:
    tokenizer = loaded.tokenizer
    before = [0, *tokenizer(cloze.before.rstrip())["input_ids"]]
    ids = [0, *tokenizer(f"{cloze.before}{answer}{cloze.after if followed else ''}")["input_ids"]]
    ids += [] if cloze.after or not followed else [1]
    with torch.no_grad():
        logprobs = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logprobs[place - 1, ids[place]]) for place in range(len(before), len(ids)))


FAMILIES = {
    "bert": (bert(), at_masks),
    "roberta": (roberta(), at_masks),
    "t5": (t5(), at_sentinel),
    "bart": (bart(), at_masks_place),
    "llama": (llama(), after_text),
    "llama, untied": (llama(tied=False), after_text),
}


def items(places: list[tuple[str, str]], choices: tuple[str, ...]) -> list[Item]:
    return [
        Item(f"x/{number}", "", Cloze(before, after, "answers"), choices, (0,))
        for number, (before, after) in enumerate(places)
    ]


def scored(loaded: Loaded, asked: list[Item], *, batch_tokens: int | None = None) -> list[tuple[float, ...]]:
    engine = Engine(loaded, batch_tokens=batch_tokens)
    found = []
    for answer in engine.score(engine.prepare(asked)):
        assert isinstance(answer, ClozeAnswer)
        assert answer.vocabulary is None
        found.append(answer.candidates)
    return found


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("choices", "followed"), [(APART, False), (BEGUN, True)], ids=["apart", "begun"])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_answers_match_each_alone(name: str, choices: tuple[str, ...], followed: bool, batch_tokens: int) -> None:
    loaded, reference = FAMILIES[name]
    asked = items([*PLACES, ("Born in ", "")], choices)
    for item, found in zip(asked, scored(loaded, asked, batch_tokens=batch_tokens), strict=True):
        expected = [reference(loaded, item.cloze, choice, followed) for choice in choices]
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_single_token_choices_take_one_row_and_one_position_per_item(name: str) -> None:
    loaded, _ = FAMILIES[name]
    # Without spaces, each byte is one token.
    choices = ("paris", "rome", "tea", "inn") if name == "bert" else tuple("abcdefghijklmnopqrstuvwxyz")
    place = ("He was born in ", ".") if name == "bert" else ("He was born at(", ".")
    asked = items([place, ("It " + place[0], ".")], choices)
    seen: list[int] = []
    engine = Engine(loaded, batch_tokens=4096)
    prepared = engine.prepare(asked)
    hook = loaded.model.get_output_embeddings().register_forward_hook(
        lambda _m, inputs, _o: seen.append(inputs[0].shape[-2])
    )
    engine.score(prepared)
    hook.remove()
    assert [batch.tokens.shape[0] for batch in prepared.batches] == [2]
    assert seen == [2]


def test_a_quantized_head_answers_too() -> None:
    plain = llama()
    quantized = compress(plain, "dynamic_int8:head")
    asked = items(PLACES[:1], ("the",))
    expected = after_text(quantized, asked[0].cloze, "the", False)
    assert scored(quantized, asked)[0] == pytest.approx([expected], abs=1e-4)


def test_items_that_are_too_long_are_left_out_with_a_reason() -> None:
    long = "the " * 600
    for name, (loaded, _) in FAMILIES.items():
        if name == "t5":
            continue  # This model has no maximum length.
        engine = Engine(loaded)
        prepared = engine.prepare(items([(long, "."), PLACES[0]], APART))
        assert dict(prepared.dropped) == {"longer than the model reads": 1}
        assert [answer is None for answer in engine.score(prepared)] == [True, False]


def test_an_answer_needs_at_least_one_token() -> None:
    prepared = Engine(bert()).prepare([*items(PLACES[:1], ("Paris", "")), *items(PLACES[:1], APART)])
    assert dict(prepared.dropped) == {"an answer has no tokens": 1}


def unknown_letters(loaded: Loaded) -> Loaded:
    """Make ``é`` and ``è`` the same unknown token."""
    loaded.tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("[éè]"), "#")
    return loaded


@pytest.mark.parametrize("among", ["answers", "candidates"])
@pytest.mark.parametrize("make", [bert, roberta, t5, bart, llama])
def test_an_item_with_the_same_tokens_right_and_wrong_is_left_out(make: Callable[[], Loaded], among: str) -> None:
    """Otherwise it would be right whenever these are likeliest and the right answer comes first."""
    loaded = unknown_letters(make())
    choices = ("é", "tea", "è", "paris")
    asked = [
        Item(f"x/{right}", "", Cloze("the inn has ", " in it.", among), choices, (right,))  # type: ignore[arg-type]
        for right in range(len(choices))
    ]
    both_right = replace(asked[0], id="x/both", gold=(0, 2))
    prepared = Engine(loaded).prepare([*asked, both_right])
    assert prepared.first_dropped() == {"right and wrong answers are the same tokens": "x/0, x/2"}
    assert [answer is None for answer in Engine(loaded).score(prepared)] == [True, False, True, False, False]


@pytest.mark.parametrize("make", [t5, bart, llama])
def test_so_is_an_item_with_such_continuations(make: Callable[[], Loaded]) -> None:
    loaded = unknown_letters(make())

    def item(name: str, *requests: tuple[str, str]) -> Item:
        asks = Requests(Request(*request) for request in requests)
        return Item(name, "", asks, tuple(answer for _, answer in requests), (0,))

    asked = [
        item("same", ("the", " é"), ("the", " tea"), ("the", " è")),
        item("other-contexts", ("the", " é"), ("tea", " è")),
        item("same-contexts", ("é", " the"), ("è", " the")),
        # A task may have several right answers that it alone knows; see probes.lm_eval.documents.
        item("same-text", ("the", " é"), ("the", " é")),
        item("wrong-ones", ("the", " tea"), ("the", " é"), ("the", " è")),
        item("cut", (f"a{'the ' * 600}", " tea"), (f"in{'the ' * 600}", " tea")),
    ]
    prepared = Engine(loaded).prepare(asked)
    cut = ", cut" if make is not t5 else ""
    assert prepared.first_dropped() == {"right and wrong answers are the same tokens": f"same, same-contexts{cut}"}


@pytest.mark.parametrize("among", ["answers", "candidates"])
def test_tokens_that_a_tokenizer_adds_before_texts_are_context_of_statements(among: str) -> None:
    """As GLM's ``[gMASK]<sop>``; here two tokens of the vocabulary, and no beginning-of-sequence token."""
    loaded = llama()
    loaded.tokenizer.bos_token = loaded.tokenizer.eos_token = None
    loaded.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "</s> <s> $A", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    item = Item("x/0", "", Cloze("", " is the inn.", among), ("Paris", "teapot"), (0,))  # type: ignore[arg-type]
    for choice, found in zip(item.choices, scored(loaded, [item])[0], strict=True):
        text = choice if among == "answers" else item.cloze.filled(choice)
        written = [1, 0, *loaded.tokenizer(text, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            logprobs = loaded.model(torch.tensor([written])).logits[0].log_softmax(-1)
        expected = sum(float(logprobs[place - 1, written[place]]) for place in range(2, len(written)))
        assert found == pytest.approx(expected, abs=1e-4)


def test_kinds_of_clozes_are_answered_in_their_order() -> None:
    for name, (loaded, _) in FAMILIES.items():
        kinds = [
            Item(f"x/{number}", "", cloze, ("the", "tea") if name != "bert" else ("paris", "tea"), (0,))
            for number, cloze in enumerate(
                Cloze("He was born in ", ".", among)  # type: ignore[arg-type]
                for among in ("answers", "candidates", "vocabulary", "answers", "candidates")
            )
        ]
        engine = Engine(loaded)
        together = engine.score(engine.prepare(kinds))
        for item, found in zip(kinds, together, strict=True):
            (alone,) = engine.score(engine.prepare([item]))
            assert isinstance(found, ClozeAnswer)
            assert isinstance(alone, ClozeAnswer)
            assert found.candidates == pytest.approx(alone.candidates, abs=1e-4)
            assert (found.vocabulary is None) == (alone.vocabulary is None)


texts = st.text("the in", min_size=1, max_size=6)


@given(
    st.lists(texts, min_size=1, max_size=3),
    texts,
    st.lists(texts, min_size=2, max_size=5, unique=True),
    st.sampled_from(["", "."]),
)
@settings(deadline=None, max_examples=40)
def test_a_decoders_answers_differ_as_the_whole_statements_do(
    befores: list[str], last: str, choices: list[str], after: str
) -> None:
    """Whatever tokens merge across the edge of the blank: what all statements share cancels."""
    loaded = FAMILIES["llama"][0]
    asked = items([(before + last, after) for before in befores], tuple(choices))
    for item, found in zip(asked, scored(loaded, asked), strict=True):
        cut = [ids_after_start(loaded, f"{item.cloze.before}{choice}") for choice in choices]
        is_begun = any(one != other and other[: len(one)] == one for one in cut for other in cut)
        follows = (item.cloze.after or "</s>") if is_begun else ""
        statements = [whole(loaded, f"{item.cloze.before}{choice}{follows}") for choice in choices]
        differences = [[value - values[0] for value in values] for values in (found, statements)]
        assert differences[0] == pytest.approx(differences[1], abs=1e-4)


def ids_after_start(loaded: Loaded, text: str) -> list[int]:
    return list(loaded.tokenizer(text)["input_ids"])


def whole(loaded: Loaded, text: str) -> float:
    ids = [0, *ids_after_start(loaded, text)]
    with torch.no_grad():
        logprobs = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logprobs[place - 1, ids[place]]) for place in range(1, len(ids)))


def test_endings_changed_by_a_distant_word_are_noticed() -> None:
    def tokenize(some) -> list[tuple[int, ...]]:  # type: ignore[no-untyped-def]
        """A made-up tokenizer: after an initial ``!``, every letter is a different token."""
        return [(0, *(ord(letter) + 1000 * text.startswith("!") for letter in text)) for text in some]

    asked = items([("so is ", "."), ("! is ", "."), ("no is ", ".")], ("b", "c", "dd"))
    written = AnswersWritten(tokenize, (), is_by_word=True).of(asked)
    assert [one.tree.branchings[0].ends for one in written] == [(ord(" "),), (ord(" ") + 1000,), (ord(" "),)]
    assert [one.before for one in written] == tokenize(["so is", "! is", "no is"])


def test_a_tokenizer_that_merges_across_words_gets_every_statement_in_full() -> None:
    """If endings were shared, ``z is R`` would go unnoticed: the statements compared as a check do not have it."""
    merges = [(" ", "R"), ("s", " R"), ("i", "s R"), (" ", "is R"), ("z", " is R")]
    tokens = [*"\0abdeiklmnoprstuz .PRO", *(one + other for one, other in merges)]
    core = Tokenizer(models.BPE({token: place for place, token in enumerate(tokens)}, merges))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="\0", eos_token="\0")
    assert not is_by_word(tokenizer)
    assert is_by_word(FAMILIES["llama"][0].tokenizer)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokens), **sizes)).eval()
    loaded = Loaded(model, tokenizer, "decoder", "made up")
    asked = items([("bar is ", "."), ("boo is ", "."), ("buz is ", ".")], ("Rome", "Paris", "Oslo"))
    for item, found in zip(asked, scored(loaded, asked), strict=True):
        statements = [whole(loaded, f"{item.cloze.before}{choice}") for choice in item.choices]
        differences = [[value - values[0] for value in values] for values in (found, statements)]
        assert differences[0] == pytest.approx(differences[1], abs=1e-4)
