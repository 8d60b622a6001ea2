from __future__ import annotations

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tiny_models import make_llama, make_tokenizer

from forgetmeter.errors import UserError
from forgetmeter.records.item import Request
from forgetmeter.scoring.tokenization import tokenize_requests

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
def test_ids_are_those_of_lm_eval(requests: list[Request]) -> None:
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
    assert [(one.inputs, one.targets) for one in ours] == [
        (tuple((context + continuation)[:-1]), tuple(continuation)) for context, continuation in seen
    ]


def test_what_is_too_long_loses_its_beginning() -> None:
    tokenizer = make_tokenizer()
    whole = tokenize_requests([Request("abcdefgh", "xyz")], tokenizer, max_length=100)[0]
    cut = tokenize_requests([Request("abcdefgh", "xyz")], tokenizer, max_length=5)[0]
    assert (cut.inputs, cut.targets) == (whole.inputs[-5:], whole.targets)


@pytest.mark.parametrize("continuation", ["", "x" * 20])
def test_continuations_that_cannot_be_scored_are_refused(continuation: str) -> None:
    with pytest.raises(UserError, match="the model needs 1 to 10"):
        tokenize_requests([Request("a", continuation)], make_tokenizer(), max_length=10)
