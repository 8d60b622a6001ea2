"""Tokens of contexts and continuations, against lm-eval."""

from __future__ import annotations

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tiny_models import make_llama, make_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from forgetmeter.records.item import Request
from forgetmeter.scoring.tokens.tokenization import (
    ANSWER_TOO_LONG,
    NO_CONTEXT,
    NO_TOKENS,
    SPANS_CONTEXT,
    tokenize_pairs,
    tokenize_requests,
)

REQUESTS = [
    Request("Question: is the sky blue?\nAnswer:", " yes"),
    Request("the inn in the ", "thing"),
    Request("the", " thin ice"),
    Request("", "the start"),
    Request("<s>the", " end"),
    Request("", "<s>x"),
    Request("a  ", " b"),
]


@pytest.mark.parametrize("requests", [REQUESTS, REQUESTS[:1]])
def test_ids_match_lm_eval(requests: list[Request]) -> None:
    tokenizer = make_tokenizer()
    peer = HFLM(pretrained=make_llama(), tokenizer=tokenizer, batch_size=1)
    seen: list[tuple[list[int], list[int]]] = []

    def remember(tokenized, **_):  # type: ignore[no-untyped-def]
        seen.extend((context, continuation) for _, context, continuation in tokenized)
        return [(0.0, False)] * len(tokenized)

    peer._loglikelihood_tokens = remember  # type: ignore[method-assign]
    peer.loglikelihood(
        [Instance("loglikelihood", {}, (request.context, request.continuation), 0) for request in requests]
    )
    ours = tokenize_requests(requests, tokenizer, max_length=512)
    assert not isinstance(ours, str)
    assert [(one.inputs, one.targets) for one in ours] == [
        (tuple((context + continuation)[:-1]), tuple(continuation)) for context, continuation in seen
    ]


def test_long_texts_lose_their_beginning() -> None:
    tokenizer = make_tokenizer()
    whole = tokenize_requests([Request("abcdefgh", "xyz")], tokenizer, max_length=100)[0]
    cut = tokenize_requests([Request("abcdefgh", "xyz")], tokenizer, max_length=5)[0]
    assert (cut.inputs, cut.targets) == (whole.inputs[-5:], whole.targets)


@pytest.mark.parametrize(("continuation", "says"), [("", NO_TOKENS), ("x" * 20, ANSWER_TOO_LONG)])
def test_continuations_that_cannot_be_scored_give_a_reason(continuation: str, says: str) -> None:
    requests = [Request("a", "b"), Request("a", continuation)]
    assert tokenize_requests(requests, make_tokenizer(), max_length=10) == says
    assert tokenize_pairs(requests, make_tokenizer(), max_length=10) == says


def test_a_continuation_merged_into_its_context_has_no_tokens() -> None:
    """The tokenizer merges ``i`` and ``n``."""
    assert tokenize_requests([Request("the i", "n")], make_tokenizer(), max_length=10) == NO_TOKENS


def test_a_continuation_whose_first_token_begins_in_the_context_cannot_be_scored() -> None:
    """Reading ``the i`` and scoring ``g`` would leave out the ``n`` of ``the ing``."""
    requests = [Request("the i", "s"), Request("the i", "ng")]
    assert isinstance(tokenize_requests(requests[:1], make_tokenizer(), max_length=10), list)
    assert tokenize_requests(requests, make_tokenizer(), max_length=10) == SPANS_CONTEXT


def test_an_unknown_word_that_begins_in_the_context_cannot_be_scored() -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "cat": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    # "the u" and "the unicorn" both are (1, 0), so " cat" is all that would be scored.
    assert tokenize_requests([Request("the u", "nicorn cat")], tokenizer, max_length=10) == SPANS_CONTEXT
    (apart,) = tokenize_requests([Request("the unicorn", " cat")], tokenizer, max_length=10)
    assert (apart.inputs, apart.targets) == ((1, 0), (2,))


def test_an_empty_context_needs_a_beginning_token() -> None:
    tokenizer = make_tokenizer()
    tokenizer.bos_token = tokenizer.eos_token = None
    assert tokenize_requests([Request("", "b")], tokenizer, max_length=10) == NO_CONTEXT
    assert tokenize_pairs([Request("", "b")], tokenizer, max_length=10) == NO_CONTEXT


def test_a_truncated_context_is_reported() -> None:
    short, long = (Request("a" * length, "b") for length in (3, 30))
    for tokenize in (tokenize_requests, tokenize_pairs):
        found = tokenize([short, long], make_tokenizer(), max_length=10)
        assert not isinstance(found, str)
        assert [each.is_cut for each in found] == [False, True]


def test_the_end_is_found_with_any_alphabet_of_the_tokenizer() -> None:
    for letters in ("ACGT", "xyz"):
        vocabulary = {"<s>": 0, "</s>": 1, **{letter: at for at, letter in enumerate(letters, 2)}}
        backend = Tokenizer(models.BPE(vocabulary, []))
        backend.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
        first, *rest = letters
        (one,) = tokenize_requests([Request(first, rest[0])], tokenizer, max_length=10)
        assert (one.inputs, one.targets) == ((0, 2), (3,))


@pytest.mark.parametrize("template", ["$A </s>", "<s> $A </s>", "<s> $A </s> </s>", "<s> $A", "$A"])
def test_end_of_text_tokens_are_removed_in_the_middle_and_at_the_end(template: str) -> None:
    """lm-eval keeps it; the reference is the tokens of context and continuation without special ones."""
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        template, special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    requests = [Request("Is it so? A:", " yes"), Request("Is it so? A:", " no, it is not"), Request("the </s> ", "end")]
    tokenized = tokenize_requests(requests, tokenizer, max_length=100)
    assert not isinstance(tokenized, str)
    for request, one in zip(requests, tokenized, strict=True):
        whole = tokenizer(request.context + request.continuation, add_special_tokens=False)["input_ids"]
        begin = [0] if template.startswith("<s>") else []
        assert (*one.inputs, one.targets[-1]) == (*begin, *whole)
        context = tokenizer(request.context.rstrip(), add_special_tokens=False)["input_ids"]
        assert list(one.targets) == whole[len(context) :]
