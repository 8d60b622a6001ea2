"""Divergence from the baseline, from the study to the stored outcomes, against two models asked text by text.

Covers ``executors.comparisons``, ``models.checks.same_vocabulary``, ``scoring.comparing_engine`` and
``study.preparing``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import make_bert, make_llama, make_t5, make_t5_tokenizer, make_tokenizer, make_wordpiece_tokenizer
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.compression.applying.compressor import compress
from forgetmeter.errors import UserError
from forgetmeter.executors.comparisons import shared_copy
from forgetmeter.models.loading import load
from forgetmeter.results.results import open_run
from forgetmeter.study.evaluation import evaluate
from forgetmeter.study.running import run

RECIPES = [
    "l1_unstructured:overall:0.5+l1_unstructured:head:0.3",
    "round_to_nearest:overall:4",
    "drop_layers:overall:0.5",
]
TEXTS = ["the inn is thin", "the tin thing is in the inn, " * 8 + "then", "in the tea", "the hen", "a", "ten teens"]
LONGEST = 40
"""Number of tokens that the models read: fewer than the second text has."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(make_llama(), tmp_path / "base")


@pytest.fixture
def study(folder: Path, tmp_path: Path) -> dict[str, Any]:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(TEXTS))
    return {"models": [str(folder)], "tasks": [f"divergence:file={text}"], "output": str(tmp_path / "run")}


def save(model: PreTrainedModel, folder: Path, *, longest: int = LONGEST) -> Path:
    model.config.max_position_embeddings = longest
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def by_brute_force(baseline: PreTrainedModel, variant: PreTrainedModel, *, longest: int = LONGEST) -> list[list[float]]:
    """Return the divergence at each token of each text, of softmaxes in float64."""
    tokenizer = make_tokenizer()
    return [
        divergences(baseline, variant, [tokenizer.bos_token_id, *tokenizer(text)["input_ids"]], longest)
        for text in TEXTS
    ]


def divergences(baseline: PreTrainedModel, variant: PreTrainedModel, tokens: list[int], longest: int) -> list[float]:
    found: list[float] = []
    while len(found) < len(tokens) - 1:
        end = min(len(found) + longest, len(tokens) - 1)
        before, after = (log_softmax(each, tokens[max(0, end - longest) : end]) for each in (baseline, variant))
        divergence = (before.exp() * (before - after)).sum(1)
        found += divergence[-(end - len(found)) :].tolist()
    return found


@torch.inference_mode()
def log_softmax(model: PreTrainedModel, tokens: list[int]) -> Tensor:
    return model(torch.tensor([tokens])).logits[0].double().log_softmax(1)


def stored(location: str) -> dict[str, list[list[float]]]:
    outcomes = open_run(location).outcomes
    return {
        str(recipe): [list(values) for values in rows["token_values"]]
        for recipe, rows in outcomes.groupby("recipe", sort=False)
    }


def assert_equal(found: list[list[float]], expected: list[list[float]]) -> None:
    assert [len(values) for values in found] == [len(values) for values in expected]
    assert np.concatenate(found) == pytest.approx(np.concatenate(expected), abs=1e-6)


def test_of_recipes_by_brute_force(study: dict[str, Any], folder: Path) -> None:
    finished = run({**study, "recipes": RECIPES, "evaluation.batch_tokens": 64})
    assert finished.failures == ()
    found = stored(study["output"])
    baseline = load(folder)
    for recipe in RECIPES:
        assert_equal(found[recipe], by_brute_force(baseline.model, compress(baseline, recipe).model))
        assert max(map(max, found[recipe])) > 1e-4
    assert run({**study, "recipes": RECIPES}).computed == 0


def test_of_a_candidate_by_brute_force(study: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    candidate = save(make_llama(seed=1), tmp_path / "candidate")
    finished = run({**study, "candidates": [str(candidate)]})
    assert finished.failures == ()
    found = stored(study["output"])
    assert_equal(found[f"candidate({candidate})"], by_brute_force(load(folder).model, load(candidate).model))


def test_the_ratio_of_perplexities_is_that_of_the_task_perplexity(study: dict[str, Any]) -> None:
    text = study["tasks"][0].replace("divergence", "perplexity")
    run({**study, "tasks": [*study["tasks"], text], "recipes": RECIPES})
    cells = {(cell.recipe, cell.task): cell for cell in open_run(study["output"]).summary.measured}
    for recipe in RECIPES:
        expected = cells[recipe, text].ratios["token_perplexity"]
        assert math.exp(cells[recipe, study["tasks"][0]].metrics["ln_perplexity_ratio"]) == pytest.approx(expected)


def test_a_candidate_may_have_more_outputs_and_read_fewer_tokens(
    study: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    wider = make_llama(seed=1)
    wider.resize_token_embeddings(320)
    candidate = save(wider, tmp_path / "candidate", longest=24)
    run({**study, "candidates": [str(candidate)]})
    found = stored(study["output"])[f"candidate({candidate})"]
    variant = load(candidate).model
    # Padding beyond the baseline's outputs is left out.
    variant.resize_token_embeddings(len(make_tokenizer()))
    assert_equal(found, by_brute_force(load(folder).model, variant, longest=24))


def test_a_recipe_on_a_candidate_is_compared_with_the_model(
    study: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    candidate = save(make_llama(seed=1), tmp_path / "candidate")
    run({**study, "recipes": RECIPES[:1], "candidates": [{"is": str(candidate), "recipes": RECIPES[:1]}]})
    variant = compress(load(candidate), RECIPES[0]).model
    found = stored(study["output"])[f"candidate({candidate})+{RECIPES[0]}"]
    assert_equal(found, by_brute_force(load(folder).model, variant))


@pytest.mark.parametrize("batch_tokens", [1, 64, 1024])
def test_the_baselines_own_divergence_is_that_of_rounding(study: dict[str, Any], batch_tokens: int) -> None:
    run({**study, "recipes": RECIPES[:1], "evaluation.batch_tokens": batch_tokens, "evaluation.noise_floor": True})
    found = np.concatenate(stored(study["output"])["baseline"])
    assert 0 < found.max() < 1e-9
    (baseline, _) = open_run(study["output"]).summary.measured
    assert baseline.metrics["agreement"] == 1
    assert abs(baseline.metrics["ln_perplexity_ratio"]) < 1e-6


def test_another_vocabulary_is_refused_before_any_work(study: dict[str, Any], tmp_path: Path) -> None:
    candidate = save(make_llama(seed=1), tmp_path / "candidate")
    swapped = make_tokenizer().backend_tokenizer.to_str().replace('"h":', '"x-":').replace('"x":', '"h":')
    (candidate / "tokenizer.json").write_text(swapped.replace('"x-":', '"x":'))
    with pytest.raises(UserError, match=r"different vocabularies \(262 and 262 tokens; 'h' is \d+ and \d+\)") as error:
        run({**study, "candidates": [str(candidate)]})
    assert len(str(error.value).splitlines()) == 1
    assert not Path(study["output"]).exists()


@pytest.mark.parametrize("family", ["encoder", "encoder-decoder"])
def test_only_decoders_predict_the_next_token(study: dict[str, Any], tmp_path: Path, family: str) -> None:
    tokenizer = make_wordpiece_tokenizer() if family == "encoder" else make_t5_tokenizer()
    model = make_bert(len(tokenizer)) if family == "encoder" else make_t5()
    model.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="whole texts are supported only for decoders, which predict each token"):
        run({**study, "models": [str(tmp_path / "other")], "recipes": RECIPES[:1]})


def test_a_model_alone_has_no_divergence(study: dict[str, Any], folder: Path) -> None:
    with pytest.raises(UserError, match="compares a variant with its baseline, which needs both; use forgetmeter.run"):
        evaluate(load(folder), study["tasks"])


def test_a_shared_copy_has_the_same_tensors_in_layers_of_its_own() -> None:
    model = make_llama()
    twin = shared_copy(model)
    own, shared = ([*each.parameters(), *each.buffers()] for each in (model, twin))
    assert all(one is other for one, other in zip(own, shared, strict=True))
    assert twin.get_output_embeddings().weight is twin.get_input_embeddings().weight
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(torch.zeros(48, 32))
    assert twin.model.layers[0].mlp.up_proj.weight.any()
