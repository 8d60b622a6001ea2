"""Model cards: written, updated, and read by the Hub's own library.

Covers ``report.formats.model_card`` and ``report.formats.card_metadata``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from made_up_run import MadeUpTask, write_made_up_run
from written_runs import QUANTIZED, rewrite_json

import forgetmeter
from forgetmeter.errors import UserError
from forgetmeter.importing.imported_run import write_imported
from forgetmeter.importing.table.table import TableColumns, import_table
from forgetmeter.report.written_card import write_card
from forgetmeter.results.results import open_run
from forgetmeter.runs.layout import variant_path

PRUNED, ROUNDED = "l1_unstructured:overall:0.5", "dynamic_int8:overall"
TO_4 = "round_to_nearest:overall:4"
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
    command = "forgetmeter run --model org/made-up --recipes dynamic_int8:overall --tasks plain --out run"
    assert f"\n\n```bash\n{command}\n```\n" in card.text
    assert "\n# made-up (dynamic\\_int8:overall)\n" in card.text
    # The paper did not make these results.
    assert result.source_url is None
    assert "arxiv" not in card.content


def test_an_existing_card_keeps_what_others_wrote(run, tmp_path) -> None:
    file = tmp_path / "README.md"
    file.write_text(THEIRS)
    write_card(run, file, recipe=PRUNED)
    card = ModelCard.load(file)
    assert (card.data.license, card.data.tags) == ("mit", ["mine", "forgetmeter", "compressed"])
    assert [each.dataset_name for each in card.data.eval_results] == ["MMLU", "plain"]
    assert card.data.get("base_model_relation") is None
    assert card.data.model_name == "theirs"
    assert card.text.lstrip().startswith("# My model\n\nAbout it.\n\n<!-- forgetmeter -->")
    first = file.read_text()
    write_card(run, file, recipe=PRUNED)
    assert file.read_text() == first


def test_results_of_earlier_versions_are_replaced(run, tmp_path) -> None:
    file = tmp_path / "README.md"
    source = "  - task: {type: text-generation}\n    source: {url: 'https://a.b', name: forgetmeter}\n"
    dataset = "    dataset: {name: plain, type: plain}\n    metrics: [{type: retained, value: 0.1}]\n---\n"
    file.write_text(THEIRS.replace("---\n# My", source + dataset + "# My"))
    write_card(run, file, recipe=PRUNED)
    assert [each.dataset_name for each in ModelCard.load(file).data.eval_results] == ["MMLU", "plain"]


def test_tasks_of_one_kind_and_results_of_others_are_kept_apart(tmp_path) -> None:
    tasks = [MadeUpTask("facts:templates=0", 100), MadeUpTask("facts:templates=1", 200)]
    location = write_made_up_run(str(tmp_path / "run"), recipes=[PRUNED], right=right, tasks=tasks)
    file = tmp_path / "README.md"
    file.write_text(THEIRS.replace("mmlu", "facts"))
    write_card(location, file)
    found = ModelCard.load(file).data.eval_results
    assert [each.dataset_name for each in found] == ["MMLU", "facts:templates=0", "facts:templates=1"]
    assert [each.dataset_args and each.dataset_args["items"] for each in found] == [None, 100, 200]


@pytest.mark.parametrize(
    ("model", "recorded", "kind"),
    [
        ("standard:encoder", None, "fill-mask"),
        ("standard:encoder-decoder", None, "text2text-generation"),
        ("standard:decoder", None, "text-generation"),
        ("org/made-up", "encoder", "fill-mask"),
        ("org/made-up", "decoder", "text-generation"),
        ("org/made-up", None, "other"),
        ("org/made-up", ["x"], "other"),
    ],
)
def test_the_task_type_follows_the_models_family(tmp_path, model, recorded, kind) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=[ROUNDED], right=right, models=[model])
    if recorded is not None:
        variant = tmp_path / "run" / variant_path("org-made-up-baseline")
        rewrite_json(variant, lambda document: document["facts"].update(family=recorded))
    (result,) = ModelCard.load(write_card(location, tmp_path / "README.md")).data.eval_results
    assert result.task_type == kind


def test_the_command_has_the_settings_that_matter(run, tmp_path) -> None:
    settings = {"limit": 200, "dtype": "bfloat16", "seed": 0, "num_fewshot": 2, "chat_template": True}
    rewrite_json(Path(run) / "study.json", lambda document: document["identity"].update(evaluation=settings))
    text = write_card(run, tmp_path / "README.md", recipe=PRUNED).read_text()
    assert "--tasks plain --limit 200 --dtype bfloat16 --num-fewshot 2 --chat-template --out run" in text


@pytest.mark.parametrize("name", ["./m```\n\n**all retained**", "./m```x", "./m\x1b[31m", "./m\u202e"])
def test_a_name_cannot_end_the_block_of_the_command(tmp_path, name) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=[ROUNDED], right=right, models=[name])
    card = ModelCard.load(write_card(location, tmp_path / "README.md"))
    assert "To measure it again" not in card.text
    assert not {"\x1b", "\u202e"} & set(card.content)
    assert "**all retained**" not in card.text


def test_tasks_without_results_are_named(full_run, tmp_path) -> None:
    text = write_card(full_run, tmp_path / "README.md", recipe=QUANTIZED).read_text()
    assert "\nWithout results: lama/trex (failed).\n" in text


@pytest.mark.parametrize("has_text", [False, True])
def test_imported_answers_have_their_files_and_no_command(tmp_path, has_text) -> None:
    rows = [("id", "who", "right", "question", "said", "gold")]
    for who in ("baseline", "four bits"):
        rows += [(k, who, int(who == "baseline" or k > 9), f"q{k}" * (k > 4), f"a{k}", "x") for k in range(50)]
    (tmp_path / "answers.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    texts = {"question": "question", "prediction": "said", "gold": "gold"} if has_text else {}
    columns = TableColumns(item="id", variant="who", correct="right", **texts)
    write_imported(import_table(tmp_path / "answers.csv", columns), str(tmp_path / "run"))
    card = ModelCard.load(write_card(str(tmp_path / "run"), tmp_path / "README.md"))
    assert card.data.model_name == "four bits"
    assert "forgetmeter compare" not in card.text
    assert "imported:\n\n- `baseline`: a table (answers.csv)\n- `four bits`: a table (answers.csv)\n" in card.text
    examples = "items, among them these:\n\n- q5 → x, now: a5\n- q6 → x, now: a6\n- q7 → x, now: a7\n\n"
    assert "Missing" not in card.text
    assert f"Forgotten of answers: 10 {examples if has_text else 'items.'}" in card.text


def test_what_was_measured_on_texts_is_in_the_card(tmp_path) -> None:
    (tmp_path / "texts.txt").write_text("\n\n".join(f"The capital of country {k} is city {k}." for k in range(6)))
    task, location = f"divergence:file={tmp_path / 'texts.txt'}", str(tmp_path / "run")
    forgetmeter.run({"models": ["standard:decoder"], "recipes": [TO_4], "tasks": [task], "output": location})
    card = ModelCard.load(write_card(location, tmp_path / "README.md"))
    (cell,) = (each for each in open_run(location).summary.measured if each.recipe == TO_4)
    found = {each.metric_type: each for each in card.data.eval_results}
    assert set(found) == {"divergence", "agreement", "ln_perplexity_ratio"}
    for name, result in found.items():
        low, high = result.metric_args["low"], result.metric_args["high"]
        interval = cell.intervals[name]
        assert (result.metric_value, low, high) == pytest.approx(
            (interval.value, interval.low, interval.high), rel=1e-3
        )
    assert found["divergence"].dataset_args == {"items": 6}
    assert found["divergence"].metric_name.endswith("next token, in nats")
    assert f" | 6 | KL | {cell.metrics['divergence']:.3f} \\[" in card.text
    assert f" | 6 | top-1 | {100 * cell.metrics['agreement']:.1f}% \\[" in card.text
    assert "× baseline" not in card.text
    assert "by forgetmeter. Intervals are at 95%.\n" in card.text


def test_a_card_without_intervals_mentions_none(tmp_path) -> None:
    (tmp_path / "texts.txt").write_text("\n\n".join(f"The capital of country {k} is city {k}." for k in range(4)))
    task, location = f"divergence:file={tmp_path / 'texts.txt'}", str(tmp_path / "run")
    forgetmeter.run({"models": ["standard:decoder"], "recipes": [TO_4], "tasks": [task], "output": location})
    text = write_card(location, tmp_path / "README.md").read_text()
    assert "by forgetmeter. Means over fewer than five texts have no interval.\n" in text
    assert "95%" not in text


def test_answers_that_only_the_original_gave_are_counted(tmp_path) -> None:
    rows = [("id", "who", "right"), *((k, "baseline", 1) for k in range(50)), *((k, "int4", 1) for k in range(47))]
    (tmp_path / "answers.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    columns = TableColumns(item="id", variant="who", correct="right")
    write_imported(import_table(tmp_path / "answers.csv", columns), str(tmp_path / "run"))
    text = write_card(str(tmp_path / "run"), tmp_path / "README.md").read_text()
    missing = "Missing: answers to 3 items of answers that the original answered. They may be right or wrong, and are"
    assert f"\n{missing} in none of these numbers.\n" in text


def test_a_path_is_not_the_name_of_a_model(tmp_path) -> None:
    name = "C:\\models\\int4"
    rows = [("id", "who", "right"), *((k, who, 1) for who in ("baseline", name) for k in range(50))]
    (tmp_path / "answers.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    columns = TableColumns(item="id", variant="who", correct="right")
    write_imported(import_table(tmp_path / "answers.csv", columns), str(tmp_path / "run"))
    card = ModelCard.load(write_card(str(tmp_path / "run"), tmp_path / "README.md"))
    assert card.data.model_name == "int4"
    assert "C:" not in card.content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "the run has 2 recipes; choose one with --recipe"),
        ({"recipe": "baseline"}, "compared with the baseline"),
        ({"recipe": PRUNED, "model": "org/other"}, "unknown model"),
    ],
)
def test_wrong_requests(run, tmp_path, options, words) -> None:
    with pytest.raises(UserError, match=words):
        write_card(run, tmp_path / "README.md", **options)
    assert not (tmp_path / "README.md").exists()


def test_a_run_without_compressed_variants_is_refused(tmp_path) -> None:
    location = write_made_up_run(str(tmp_path / "run"), recipes=[], right=right)
    with pytest.raises(UserError, match="has no compressed variant to describe"):
        write_card(location, tmp_path / "README.md")


@pytest.mark.parametrize("text", ["---\n- a\n---\n", "---\na: [\n---\n", b"\xff"])
def test_a_card_that_cannot_be_read_is_left_alone(run, tmp_path, text) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = file.read_bytes()
    with pytest.raises(UserError, match="card"):
        write_card(run, file, recipe=PRUNED)
    assert file.read_bytes() == before
