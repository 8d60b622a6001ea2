"""Where a run's time went: recorded by the executor, added up, and shown.

Covers ``basics.processor``, ``scoring.arithmetic``, ``report.formats.profile_text``, ``report.formats.facts_text``.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from quick_commands import forgetmeter
from scoring.batch_invariance.configurations import CONFIGURATIONS
from torch.utils.flop_counter import FlopCounterMode

from forgetmeter.basics.processor import processor_name
from forgetmeter.models.loading import load
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.probes.loading import load_task
from forgetmeter.report.formats.profile_text import profile_text
from forgetmeter.report.words.run_facts import run_facts
from forgetmeter.results.results import Results, open_run
from forgetmeter.scoring.arithmetic import are_used_once, operations, product_rate
from forgetmeter.scoring.engine import Engine
from forgetmeter.study.running import run

STUDY = {
    "models": ["standard:decoder", "standard:encoder-decoder"],
    "recipes": ["l1_unstructured:attention:0.5", "l1_unstructured:head:0.5"],
    "tasks": ["facts:templates=0"],
    "evaluation.limit": 2,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    output = str(tmp_path_factory.mktemp("profile") / "run")
    run(STUDY | {"output": output, "evaluation.profile": True})
    return open_run(output)


def cells(results: Results, model: str) -> list[Any]:
    return [cell for cell in results.run.cells if cell.model == model]


def test_seconds_and_tokens_are_those_of_the_cells(results: Results) -> None:
    decoder, other = results.profile.tasks
    assert [decoder.model, other.model] == STUDY["models"]
    assert (decoder.cells, decoder.items) == (3, 120)
    facts = [cell.facts for cell in cells(results, "standard:decoder")]
    assert decoder.score == pytest.approx(sum(each["seconds"] for each in facts))
    assert decoder.judge == pytest.approx(sum(each["judge_seconds"] for each in facts))
    # Items are prepared once for all variants; the others only look them up.
    longest = max(each["prepare_seconds"] for each in facts)
    assert longest > 0.9 * decoder.prepare
    prepared = prepared_facts("standard:decoder")
    assert {(each["tokens"], each["positions"]) for each in facts} == {(prepared.tokens, prepared.positions)}
    assert decoder.padding == pytest.approx(1 - prepared.tokens / prepared.positions)
    timed = [each for each in facts if each["timed"]]
    # The baseline's states are kept for the variant of the head.
    assert len(timed) == 1
    assert decoder.tokens == pytest.approx(prepared.tokens / timed[0]["seconds"])


def prepared_facts(model: str) -> Any:
    return Engine(load(model)).prepare(load_task("facts:templates=0", limit=2).items)


def test_the_rate_is_compared_with_that_of_a_product(results: Results) -> None:
    decoder, other = results.profile.tasks
    rate = results.profile.rates["standard:decoder"]
    assert rate > 1e8
    needed = operations(weight_map(load("standard:decoder").model), prepared_facts("standard:decoder"))
    assert needed is not None
    (timed,) = [cell.facts for cell in cells(results, "standard:decoder") if cell.facts["timed"]]
    assert decoder.product_share == pytest.approx(needed / timed["seconds"] / rate)
    # Each token meets one of its two stacks.
    assert other.product_share is None
    assert results.profile.load["standard:decoder"] > 0


@pytest.mark.parametrize("model", ["standard:decoder", "standard:encoder"])
def test_operations_are_those_that_torch_counts_without_padding(model: str) -> None:
    loaded = load(model)
    engine = Engine(loaded)
    prepared = engine.prepare(load_task("facts:templates=0", limit=1).items[:1])
    assert prepared.positions == prepared.tokens
    with FlopCounterMode(display=False) as counter:
        engine.score(prepared)
    found = counter.get_flop_counts()["Global"]
    counted = sum(flops for name, flops in found.items() if name in (torch.ops.aten.mm, torch.ops.aten.addmm))
    matrices = weight_map(loaded.model)
    needed = operations(matrices, prepared)
    assert needed is not None
    # The model computes the layer before the head everywhere.
    elsewhere = prepared.tokens - sum(len(batch.rows) for batch in prepared.batches)
    transform = sum(matrix.size for matrix in matrices if matrix.role.component == "head_transform")
    assert needed + 2 * transform * elsewhere == counted


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama as decoder", True),
        ("bert as encoder", True),
        ("qwen2_moe as decoder", True),
        ("albert as encoder", False),
        ("zamba as decoder", False),
    ],
)
def test_matrices_that_several_layers_share_are_not_counted(name: str, expected: bool) -> None:
    model = CONFIGURATIONS[name].model()
    assert are_used_once(weight_map(model), model) == expected


def test_a_product_is_measured_at_least_once() -> None:
    assert product_rate(torch.float32, torch.device("cpu"), seconds=0.0) > 1e8


def test_it_is_shown_in_the_terminal_and_in_the_report(results: Results) -> None:
    text = profile_text(results.profile, width=120).plain
    lines = text.splitlines()
    assert lines[0].startswith("standard:decoder · loading ")
    assert lines[0].endswith("GFLOP/s")
    assert lines[1].split() == [
        "task", "cells", "items", "prepare", "score", "judge", "tokens/s", "padding", "of", "product"
    ]  # fmt: skip
    assert max(map(len, lines)) <= 120
    (time,) = [group for group in run_facts(results.run, results.summary) if group.heading == "Time"]
    assert [name for name, _ in time.facts][2] == "facts:templates=0, standard:decoder"
    assert "of the product's rate" in time.facts[2][1]
    shown = forgetmeter("show", results.run.location, "--format", "profile").stdout
    assert shown == text


def test_a_run_prints_it_on_request(tmp_path: Path) -> None:
    request = ["run", "--model", "standard:encoder", "--tasks", "facts:templates=0", "--limit", "1"]
    request += ["--recipes", "baseline", "--out", str(tmp_path / "run")]
    assert "tokens/s" not in forgetmeter(*request).stdout
    lines = forgetmeter(*request, "--profile").stdout.splitlines()
    assert lines[2].startswith("standard:encoder · loading ")
    # It is finished, so no rate was measured.
    assert "GFLOP/s" not in lines[2]


def test_a_run_without_times_has_none(results: Results, tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    table.write_text("id,model,ok\n1,baseline,1\n2,baseline,0\n1,small,0\n2,small,0\n")
    out = str(tmp_path / "run")
    columns = ["--item", "id", "--variant", "model", "--correct", "ok"]
    forgetmeter("import", "table", str(table), *columns, "--out", out)
    says = forgetmeter("show", out, "--format", "profile", expect=2).stderr
    assert says == f"error: {out} has no profile: no times are recorded\n"
    assert json.loads(forgetmeter("show", out, "--format", "json").stdout)["cells"]


def test_provenance_says_what_computed_the_answers_and_with_what(results: Results) -> None:
    said = forgetmeter("show", results.run.location, "--provenance").stdout.splitlines()
    instructions = torch.backends.cpu.get_cpu_capability()
    computed = said[said.index("Computed on") + 1 : said.index("Versions")]
    # The standards are so small that one thread is the fastest.
    assert computed == [f"  {processor_name()}, {instructions}, 1 thread: 6 cells"]
    # Of the package: PyPI's build for CUDA has a longer ``torch.__version__``.
    assert f"  torch: {version('torch')}" in said
    assert [line for line in said if line.startswith("  standard:decoder: content ")]


def test_the_number_of_parameters_of_a_model_is_recorded(results: Results) -> None:
    expected = {
        name: sum(each.numel() for each in load(name).model.parameters())
        for name in ("standard:decoder", "standard:encoder-decoder")
    }
    assert results.summary.parameters == expected


def test_the_family_of_a_model_is_recorded(results: Results) -> None:
    recorded = {each.model: each.facts["family"] for each in results.run.variants if "family" in each.facts}
    assert recorded == {"standard:decoder": "decoder", "standard:encoder-decoder": "encoder-decoder"}
