"""Candidates: every number equals that of a brute-force loop over two models evaluated apart."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_task import MadeUpTask, plug_in
from tiny_models import make_llama, make_tokenizer
from written_ggufs import write_llama_gguf

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.models.loading import load
from forgetmeter.results.results import open_run
from forgetmeter.study.evaluation import evaluate
from forgetmeter.study.running import run

PRUNED = "l1_unstructured:overall:0.5"


@pytest.fixture(autouse=True)
def _tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, {"made_up": MadeUpTask})


@pytest.fixture
def candidate(llama_folder: Path, tmp_path: Path) -> Path:
    compress_checkpoint(llama_folder, PRUNED, tmp_path / "pruned")
    return tmp_path / "pruned"


@pytest.fixture
def study(llama_folder: Path, candidate: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "models": [str(llama_folder)],
        "candidates": [str(candidate)],
        "tasks": ["made_up"],
        "output": str(tmp_path / "run"),
    }


def name(folder: Path) -> str:
    return f"candidate({folder})"


def test_every_number_is_that_of_two_models_evaluated_apart(tmp_path: Path) -> None:
    model, candidate, task, out = "standard:decoder", tmp_path / "pruned", "facts:templates=0", str(tmp_path / "run")
    compress_checkpoint(model, PRUNED, candidate)
    evaluation = {"evaluation.limit": 3, "output": out}
    assert run({"models": [model], "candidates": [str(candidate)], "tasks": [task], **evaluation}).cells == 2
    before, after = (evaluate(load(each), task, limit=3)[task].outcomes for each in (model, candidate))
    results = open_run(out)
    stored = results.outcomes.set_index("item_id").groupby("recipe")
    for recipe, outcomes in (("baseline", before), (name(candidate), after)):
        rows = stored.get_group(recipe)
        assert [tuple(rows.loc[each.item_id, "loglikelihoods"]) for each in outcomes] == [
            pytest.approx(each.loglikelihoods, abs=1e-5) for each in outcomes
        ]
        assert [rows.loc[each.item_id, "prediction"] for each in outcomes] == [each.prediction for each in outcomes]
    (row,) = results.comparisons.query(f"recipe == '{name(candidate)}'").to_dict("records")
    pairs = list(zip(before, after, strict=True))
    known = sum(bool(one.correct) for one, _ in pairs)
    forgotten = [one.item_id for one, other in pairs if one.correct and not other.correct]
    gained = [one.item_id for one, other in pairs if other.correct and not one.correct]
    assert forgotten
    assert row["accuracy"] == sum(bool(other.correct) for _, other in pairs) / len(pairs)
    assert row["drop"] == pytest.approx((len(forgotten) - len(gained)) / len(pairs))
    assert row["retained"] == pytest.approx(1 - len(forgotten) / known)
    assert (row["forgotten"], row["gained"]) == (len(forgotten), len(gained))
    ledger = results.forgotten(name(candidate))
    assert set(ledger.query("status == 'forgotten'")["item_id"]) == set(forgotten)


def test_it_gives_the_answers_of_the_recipe_that_made_it_and_takes_recipes_on_top(
    study: dict[str, Any], candidate: Path
) -> None:
    head = "l1_unstructured:head:0.9"
    study |= {
        "recipes": [PRUNED, f"{PRUNED}+{head}"],
        "candidates": [{"is": str(candidate), "recipes": [head]}],
    }
    assert run(study).cells == 5
    rows = open_run(study["output"]).outcomes.pivot(index="item_id", columns="recipe", values="margin")
    torch.testing.assert_close(rows[PRUNED].to_numpy(), rows[name(candidate)].to_numpy())
    torch.testing.assert_close(rows[f"{PRUNED}+{head}"].to_numpy(), rows[f"{name(candidate)}+{head}"].to_numpy())
    assert not rows[PRUNED].equals(rows["baseline"])


def test_a_candidate_of_another_architecture_is_said(llama_folder: Path, candidate: Path, tmp_path: Path) -> None:
    class Listening(Progress):
        def __init__(self) -> None:
            self.said: list[str] = []

        def stage(self, text: str) -> None:
            self.said.append(text)

    study = {"models": [str(llama_folder)], "tasks": ["facts:templates=0"], "evaluation.limit": 1}
    for other, says in ((str(candidate), []), ("standard:encoder", ["bert"])):
        listening = Listening()
        run(study | {"candidates": [other], "output": str(tmp_path / f"run{len(says)}")}, progress=listening)
        assert [text for text in listening.said if "a different architecture" in text] == [
            f"candidate '{other}' has a different architecture ({kind}) from its baseline '{llama_folder}' (llama)"
            for kind in says
        ]


def test_its_size_is_what_its_files_take(study: dict[str, Any], llama_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    packed, gguf = tmp_path / "packed", tmp_path / "model.gguf"
    compress_checkpoint(llama_folder, "round_to_nearest:overall:4", packed, format="compressed-tensors")
    write_llama_gguf(gguf)
    study["candidates"] = [str(packed), str(gguf)]
    run(study)
    variants = open_run(study["output"]).variants.set_index("recipe")
    assert variants["bits.attention"].notna().to_dict() == {"baseline": False, name(packed): True, name(gguf): True}
    sizes = variants["smallest_bytes"]
    assert sizes[name(packed)] == sum(file.stat().st_size for file in packed.glob("*.safetensors"))
    assert sizes[name(gguf)] == gguf.stat().st_size


def test_a_run_gains_candidates_and_is_recognised_when_finished(
    study: dict[str, Any], candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(study)
    other = tmp_path / "other"
    make_llama(seed=1).save_pretrained(other)
    make_tokenizer().save_pretrained(other)
    more = study | {"candidates": [str(candidate), str(other)]}
    assert run(more).computed == 1
    assert run(more).computed == 0
    # The relative path is the same candidate.
    monkeypatch.chdir(tmp_path)
    assert run(more | {"candidates": ["./pruned", "./other"]}).computed == 0
    with pytest.raises(UserError, match=r"candidates lack 'candidate\("):
        run(study)


def test_several_baselines_each_have_their_own(study: dict[str, Any], candidate: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    make_llama(seed=1).save_pretrained(second)
    make_tokenizer().save_pretrained(second)
    study["models"].append(str(second))
    study["candidates"] = [{"of": str(second), "is": [str(candidate)]}]
    run(study)
    cells = open_run(study["output"]).cells
    assert set(zip(cells["model"], cells["recipe"], strict=True)) == {
        (study["models"][0], "baseline"),
        (str(second), "baseline"),
        (str(second), name(candidate)),
    }


def test_the_baseline_under_another_name_is_refused(study: dict[str, Any], llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "copy")
    study["candidates"] = [str(tmp_path / "copy")]
    with pytest.raises(UserError, match="has the same content as its baseline"):
        run(study)


def test_a_candidate_that_does_not_load_fails_alone(study: dict[str, Any], llama_folder: Path, tmp_path: Path) -> None:
    """A quantized candidate is asked as it is; recipes on top of it are refused before any work."""
    pytest.importorskip("compressed_tensors")
    packed = tmp_path / "packed"
    compress_checkpoint(llama_folder, "round_to_nearest:overall:4", packed, format="compressed-tensors")
    study["candidates"] = [{"is": str(packed), "recipes": [PRUNED]}]
    with pytest.raises(UserError, match="is already quantized"):
        run(study)
    assert not Path(study["output"]).exists()
