"""Model cards: written, updated, and read by the Hub's own library.

Covers ``report.formats.model_card``.
"""

from __future__ import annotations

import numpy as np
import pytest
from huggingface_hub import ModelCard
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.errors import UserError
from forgetmeter.report.written_card import write_card
from forgetmeter.results.results import open_run

PRUNED, ROUNDED = "l1_unstructured:overall:0.5", "dynamic_int8:overall"
THEIRS = """---
license: mit
tags: [mine]
model-index:
- name: theirs
  results:
  - task: {type: text-generation}
    dataset: {name: MMLU, type: mmlu}
    metrics: [{type: acc, value: 0.5}]
---
# My model

About it.
"""


def right(task, recipe, random):
    return np.arange(task.items) % 10 < (8 if recipe == "baseline" else 7)


@pytest.fixture
def run(tmp_path):
    return write_made_up_run(
        str(tmp_path / "run"), recipes=[PRUNED, ROUNDED], right=right, tasks=[MadeUpTask("plain", 200)]
    )


def test_a_new_card_has_the_results_as_the_hub_reads_them(run, tmp_path) -> None:
    card = ModelCard.load(write_card(run, tmp_path / "README.md", recipe=ROUNDED))
    (result,) = card.data.eval_results
    cell = next(each for each in open_run(run).summary.cells if each.recipe == ROUNDED)
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("plain", "retained", 0.875)
    assert result.metric_args["low"] == pytest.approx(cell.retained.low, abs=1e-4)
    assert result.dataset_args == {"items": 200}
    assert (card.data.base_model, card.data.base_model_relation) == ("org/made-up", "quantized")
    assert "Forgotten of plain: 20 items, among them" in card.text
    assert "forgetmeter run --model org/made-up --recipes dynamic_int8:overall --tasks plain --out run" in card.text


def test_an_existing_card_keeps_what_others_wrote(run, tmp_path) -> None:
    file = tmp_path / "README.md"
    file.write_text(THEIRS)
    write_card(run, file, recipe=PRUNED)
    card = ModelCard.load(file)
    assert (card.data.license, card.data.tags) == ("mit", ["mine", "forgetmeter", "compressed"])
    assert [each.dataset_name for each in card.data.eval_results] == ["MMLU", "plain"]
    assert card.data.get("base_model_relation") is None
    assert card.text.lstrip().startswith("# My model\n\nAbout it.\n\n<!-- forgetmeter -->")
    first = file.read_text()
    write_card(run, file, recipe=PRUNED)
    assert file.read_text() == first


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "the run has 2; choose one with --recipe"),
        ({"recipe": "baseline"}, "compared with the baseline"),
        ({"recipe": PRUNED, "model": "org/other"}, "unknown model"),
    ],
)
def test_wrong_requests(run, tmp_path, options, words) -> None:
    with pytest.raises(UserError, match=words):
        write_card(run, tmp_path / "README.md", **options)
    assert not (tmp_path / "README.md").exists()


@pytest.mark.parametrize("text", ["---\n- a\n---\n", "---\na: [\n---\n", b"\xff"])
def test_a_card_that_cannot_be_read_is_left_alone(run, tmp_path, text) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = file.read_bytes()
    with pytest.raises(UserError, match="card"):
        write_card(run, file, recipe=PRUNED)
    assert file.read_bytes() == before
