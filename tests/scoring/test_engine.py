"""Texts that a tokenizer has no tokens for."""

from __future__ import annotations

import pytest
from tiny_models import make_llama
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import wrap
from forgetmeter.records.item import Cloze, Item, Request, Requests, WholeText
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.tokens.tokenization import UNENCODABLE

KNOWN, UNKNOWN = "the cat", "the dog"


@pytest.fixture
def loaded() -> Loaded:
    words = ("<s>", "the", "cat", "sat", "ran")
    backend = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return wrap(make_llama(), PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>"))


def items(text: str, place: int) -> list[Item]:
    requests = Requests([Request(text, " sat"), Request(text, " ran")])
    return [
        Item(f"own/{place}", "", requests, ("sat", "ran"), (0,)),
        Item(f"own/{place + 1}", "", Cloze(f"{text} ", "", "answers"), ("sat", "ran"), (0,)),
        Item(f"own/{place + 2}", "", Cloze(f"{text} ", "", "candidates"), ("sat", "ran"), (0,)),
        Item(f"own/{place + 3}", "", WholeText(text)),
    ]


def test_items_with_unknown_words_are_left_out_by_name(loaded: Loaded) -> None:
    engine = Engine(loaded)
    prepared = engine.prepare([*items(UNKNOWN, 0), *items(KNOWN, 4)])
    assert dict(prepared.dropped) == {UNENCODABLE: 4}
    assert prepared.first_dropped() == {UNENCODABLE: "own/0, own/1, own/2 ..."}
    assert engine.score(prepared)[4:] == engine.score(engine.prepare(items(KNOWN, 4)))


def test_a_task_of_unknown_words_is_refused_in_one_line(loaded: Loaded) -> None:
    with pytest.raises(UserError, match=rf"can score none of the items \({UNENCODABLE}: 4\)"):
        Engine(loaded).prepare(items(UNKNOWN, 0))
