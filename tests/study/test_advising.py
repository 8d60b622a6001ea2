"""Advice on a standard, against asking every recipe everything.

Covers ``checkpoints.predicted_size``, ``results.advice`` and ``study.recipe_sizes``.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_up_task import plug_in
from safetensors.torch import load_file
from tiny_models import make_llama, make_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, MixtralConfig, MixtralForCausalLM

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.checkpoints.predicted_size import SizePredictor
from forgetmeter.cli.main import app
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.models.checkpoint import Checkpoint, open_checkpoint
from forgetmeter.models.loading import load, wrap
from forgetmeter.models.standard import SHIPPED
from forgetmeter.probes.declaration import TaskDeclaration
from forgetmeter.probes.facts.task import TASK as FACTS
from forgetmeter.probes.facts.task import FactsTask
from forgetmeter.records.item import Task
from forgetmeter.report.formats.advice_text import advice_text
from forgetmeter.results.advice import Advice, Sized
from forgetmeter.results.results import open_run
from forgetmeter.specs.budget import parse_budget
from forgetmeter.specs.preset import preset_recipes
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.specs.role import Matrix, Role
from forgetmeter.specs.task_name import TaskName
from forgetmeter.study.advising import AdviceRequest, _without_idle_casts, advise, limit_for
from forgetmeter.study.running import CheckedStudy, Finished, run, run_checked

MODEL = "standard:decoder"
TASK = "facts:templates=0"
RECIPES = (
    "l1_unstructured:overall:0.6",
    "round_to_nearest:overall:3",
    "round_to_nearest:overall:8",
    "l1_unstructured:overall:0.2",
    "l1_unstructured:overall:0.3+round_to_nearest:overall:8",
    "round_to_nearest:overall:4",
)


class Counting(Progress):
    def __init__(self) -> None:
        self.computed: list[int] = []
        self.stages: list[str] = []
        self.parts: list[tuple[int, int]] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def stage_advanced(self, done: int, total: int) -> None:
        self.parts.append((done, total))

    def run(self, checked: CheckedStudy) -> Finished:
        finished = run_checked(checked)
        self.computed.append(finished.computed)
        return finished


def request(folder: Path, budget: str = "0.75", **changes: object) -> AdviceRequest:
    given = {"model": MODEL, "tasks": (TASK,), "recipes": RECIPES, "output": str(folder)} | changes
    return AdviceRequest(budget=parse_budget(budget), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("advice")


@pytest.fixture(scope="module")
def listener() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def advice(folder: Path, listener: Counting) -> Advice:
    return advise(request(folder / "runs"), listener=listener, complete=listener.run)


@pytest.mark.slow
def test_it_matches_asking_every_recipe_everything(advice: Advice, folder: Path) -> None:
    run({"models": [MODEL], "recipes": list(RECIPES), "tasks": [TASK], "output": str(folder / "whole")})
    whole = open_run(str(folder / "whole"))
    sizes = {name: each.bytes for name, each in advice.sizes.items()}
    assert list(sizes) == list(RECIPES)
    assert advice.dense_bytes == (SHIPPED / "decoder" / "model.safetensors").stat().st_size
    cells = [cell for cell in whole.summary.cells if cell.recipe in sizes]
    fits = [cell for cell in cells if sizes[cell.recipe] <= 0.75 * advice.dense_bytes]
    assert {each.recipe for each in advice.fits} == {cell.recipe for cell in fits} < set(RECIPES)
    best = max(fits, key=lambda cell: (cell.retained.value if cell.retained else 0, -sizes[cell.recipe]))
    assert advice.best.recipe == best.recipe
    assert advice.best.retained.value == pytest.approx(best.retained.value)


def test_sizes_are_one_stage_whose_parts_are_counted(advice: Advice, listener: Counting) -> None:
    said = f"computing the sizes of {len(RECIPES)} recipes"
    assert [stage for stage in listener.stages if "size" in stage] == [said]
    assert listener.parts == [(done, len(RECIPES)) for done in range(1, len(RECIPES) + 1)]


def test_what_it_promises_is_what_the_command_writes(advice: Advice, tmp_path: Path) -> None:
    """To the byte: the printed ``create it``, and the same command for the other recipes."""
    for recipe, size in advice.sizes.items():
        assert size.format is not None
        out = tmp_path / recipe.replace(":", "-")
        written = compress_checkpoint(MODEL, recipe, out, format=size.format, check=False)
        assert written.bytes_after == size.bytes == sum(file.stat().st_size for file in out.glob("*.safetensors"))
    text = advice_text(advice, width=200).plain
    command = next(line for line in text.splitlines() if line.startswith("create it")).split(maxsplit=2)[2]
    app([*shlex.split(command.replace("DIR", str(tmp_path / "made")))[1:]], standalone_mode=False)
    assert sum(file.stat().st_size for file in (tmp_path / "made").glob("*.safetensors")) <= advice.most_bytes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_sizes_are_those_stored_whatever_the_compute_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    model = make_llama().to(dtype)
    model.save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    loaded = load(str(tmp_path / "model"))
    assert loaded.model.dtype == torch.float32
    compressor, own = Compressor(loaded), Compressor(wrap(model, make_tokenizer()))
    for recipe in (
        "baseline",
        "l1_unstructured:overall:0.5",
        "round_to_nearest:overall:4",
        "svd:overall:0.5",
    ):
        found, expected = (each.compressed(parse_recipe(recipe)).reached for each in (compressor, own))
        for size in ("dense_bytes", "bitmask_bytes", "quantized_bytes", "smallest_bytes"):
            assert getattr(found, size) == getattr(expected, size), (recipe, size)
    predictor = SizePredictor(open_checkpoint(str(tmp_path / "model")))
    before = sum(file.stat().st_size for file in (tmp_path / "model").glob("*.safetensors"))
    assert predictor.bytes_before == before
    pruned = predictor.of(parse_recipe("l1_unstructured:overall:0.5"))
    assert 0 <= pruned.bytes - before < 10_000


def make_mixtral() -> MixtralForCausalLM:
    config = MixtralConfig(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
        pad_token_id=0,
    )
    return MixtralForCausalLM(config)


def test_dropped_blocks_of_experts_reduce_the_predicted_size(tmp_path: Path) -> None:
    """transformers writes these files itself, so their headers are not known to the byte."""
    make_mixtral().save_pretrained(tmp_path / "model")
    recipe = "drop_layers:layers[0-1]/overall:0.5"
    predicted = SizePredictor(open_checkpoint(str(tmp_path / "model"))).of(parse_recipe(recipe))
    written = compress_checkpoint(str(tmp_path / "model"), recipe, tmp_path / "out")
    assert written.bytes_after <= predicted.bytes < written.bytes_after + 5_000 < written.bytes_before


def test_casts_halve_experts_that_transformers_converts(tmp_path: Path) -> None:
    make_mixtral().save_pretrained(tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").stat().st_size
    for recipe in ("cast:overall", "cast:feed_forward.gate", "drop_layers:layers[0-1]/overall:0.5+cast:overall"):
        predicted = SizePredictor(open_checkpoint(str(tmp_path / "model"))).of(parse_recipe(recipe))
        written = compress_checkpoint(str(tmp_path / "model"), recipe, tmp_path / "out" / recipe.replace("/", "-"))
        assert written.is_checked
        assert abs(written.bytes_after - predicted.bytes) < 5_000
        kinds = {
            (name.endswith(("proj.weight", "w1.weight", "w2.weight", "w3.weight")), tensor.dtype)
            for file in written.files
            for name, tensor in load_file(written.folder / file).items()
        }
        if recipe != "cast:feed_forward.gate":
            assert written.bytes_after < 0.6 * before
            assert kinds == {(True, torch.bfloat16), (False, torch.float32)}
        config = json.loads((written.folder / "config.json").read_text())
        assert config["dtype"] == "float32"


@pytest.mark.parametrize(
    "recipe", ["cast:attention.query", "cast:attention.query+cast:attention.key", "cast:attention"]
)
def test_part_of_a_fused_parameter_is_not_stored_in_16_bits(tmp_path: Path, recipe: str) -> None:
    config = GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    predicted = SizePredictor(open_checkpoint(str(tmp_path / "model"))).of(parse_recipe(recipe))
    assert compress_checkpoint(str(tmp_path / "model"), recipe, tmp_path / "out").bytes_after == predicted.bytes


def test_it_gives_the_storage_format(advice: Advice, folder: Path) -> None:
    assert advice.best_size.format == "compressed-tensors"
    for recipe, format, why in (
        ("svd:overall:0.2", "dense", ""),
        ("dynamic_int8:overall", None, "dynamic_int8"),
    ):
        options = {"evaluation.limit": 5}
        found = advise(request(folder / format_name(recipe), "2MB", recipes=(recipe,), options=options))
        assert found.best_size.format == format
        assert why in found.best_size.no_format
        # Any alternative is a candidate of its own, within the limit or not.
        assert "round_to_nearest" not in found.best_size.no_format


def format_name(recipe: str) -> str:
    return recipe.partition(":")[0]


def test_rounds_ask_few_of_many_and_all_of_few(advice: Advice, folder: Path) -> None:
    (few, many), (everything, finalists) = advice.rounds
    assert many == len(advice.fits) > finalists == len(advice.finalists) == 3
    assert few >= 300
    assert everything == len(open_run(advice.runs[-1]).items) > 2 * few
    assert advice.runs == (f"{folder}/runs/round-1", f"{folder}/runs/last")
    assert {each.recipe for each in advice.left} == {each.recipe for each in advice.fits} - {
        each.recipe for each in advice.finalists
    }


def test_a_repeated_request_computes_nothing(advice: Advice, folder: Path, listener: Counting) -> None:
    assert all(listener.computed)
    again = Counting()
    assert advise(request(folder / "runs"), listener=again, complete=again.run) == advice
    assert again.computed == [0] * len(advice.rounds)


def test_ties_go_to_the_smaller(folder: Path) -> None:
    alike = ("round_to_nearest:attention:8", "round_to_nearest:overall:8")
    found = advise(request(folder / "alike", "1", recipes=alike, options={"evaluation.limit": 20}))
    assert [each.retained.value for each in found.finalists] == [1, 1]
    assert found.best.recipe == min(alike, key=lambda each: found.sizes[each].bytes)


def test_the_preset_leaves_out_what_a_model_cannot_take(folder: Path) -> None:
    # Blocks cannot be dropped from both stacks of an encoder-decoder at once.
    found = advise(
        request(
            folder / "preset", "0.8", model="standard:encoder-decoder", recipes=None, options={"evaluation.limit": 5}
        )
    )
    assert len(found.sizes) + len(found.unusable) == len(preset_recipes("advice"))
    assert len(found.sizes) > 20


def test_calibrated_recipes_are_tried_if_asked_for_and_can_be_written(folder: Path, tmp_path: Path) -> None:
    given = AdviceRequest(
        MODEL,
        ("facts:templates=0:relations=country_capital",),
        parse_budget("0.375"),
        recipes=["round_to_nearest:overall:2:clip=mse:group_size=32"],
        options={"evaluation.limit": 100},
        calibrated=True,
        output=str(folder / "calibrated"),
    )
    best = (found := advise(given)).sizes[found.best.recipe]
    assert best.recipe.startswith("gptq:overall:3:")
    assert best.format == "compressed-tensors"
    written = compress_checkpoint(MODEL, best.recipe, tmp_path / "out", format=best.format)
    assert written.bytes_after == best.bytes


def test_if_nothing_fits_the_smallest_is_named(folder: Path) -> None:
    smallest = r"no recipe fits in [\d,]+ bytes: the smallest, .*, takes [\d,]+ bytes, "
    with pytest.raises(UserError, match=smallest):
        advise(request(folder / "none", "0.5"))
    assert not (folder / "none").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tasks": ("fax",)}, "unknown task 'fax'"),
        ({"tasks": ("perplexity:file=README.md",)}, "has no right answers to retain"),
        ({"model": "standard:decodr"}, "did you mean"),
        ({"recipes": ("l1_unstructured:overall:2",)}, "level"),
        ({"recipes": ("l1_unstructured:cross_attention:0.5",)}, "scope 'cross_attention' selects no weight"),
        ({"recipes": ("baseline",)}, "--recipes has only the baseline"),
        ({"options": {"evaluation.limit": 0}}, "must be"),
        ({"options": {"evaluation.device": "mps"}}, "device 'mps' is not available"),
    ],
)
def test_a_wrong_request_is_refused_up_front(changes: dict[str, object], says: str, folder: Path) -> None:
    with pytest.raises((UserError, ManyUserError), match=says):
        advise(request(folder / "wrong", **changes))
    assert not (folder / "wrong").exists()


def test_an_output_that_holds_something_else_is_left_alone(advice: Advice, tmp_path: Path) -> None:
    listener = Counting()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full" / "last").mkdir(parents=True)
    (tmp_path / "full" / "last" / "notes").write_text("mine")
    for place, says in (
        (tmp_path / "file", "contains files that are not runs of a search"),
        (tmp_path / "full", "contains files that are not runs of a search"),
        (Path(advice.runs[-1]), "is a run"),
    ):
        with pytest.raises(UserError, match=f"{says}.*choose another --out"):
            advise(request(place), listener=listener, complete=listener.run)
    assert not listener.stages
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "last", "notes"]


def test_a_model_with_weights_of_unknown_role_is_refused_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = (Matrix("strange.weight", Role("unknown"), (4, 2), "decoder"),)
    monkeypatch.setattr(Checkpoint, "matrices", strange)
    with pytest.raises(UserError) as caught:
        advise(request(folder / "strange", recipes=None))
    assert not isinstance(caught.value, ManyUserError)
    assert "(first: strange.weight); with --recipes, name recipes" in str(caught.value)
    assert r"such as 'round_to_nearest:regex(strange\.weight):8'" in str(caught.value)
    # The model has no head.
    assert "head" not in str(caught.value)


def test_a_baseline_that_knows_nothing_is_reported_before_any_recipe_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forgetmeter.results.findings.evidence.FEWEST_KNOWN", 10_000)
    asked = request(folder / "ignorant")
    for cells in ([1, 1], [0, 0]):
        listener = Counting()
        with pytest.raises(UserError, match="recipes cannot be ranked: .*(guessing|facts right).*; choose other"):
            advise(asked, listener=listener, complete=listener.run)
        # The baseline in each of two rounds, because it might know enough of more items.
        assert listener.computed == cells
        assert any(stage.startswith("round 1 of 2 left out") for stage in listener.stages)


def test_a_baseline_that_only_guesses_is_reported(llama_folder: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="recipes cannot be ranked: .*(guessing|facts right)"):
        advise(request(folder / "guessing", "1", model=str(llama_folder), options={"evaluation.limit": 3}))


@pytest.mark.slow
def test_a_round_in_which_the_baseline_knows_too_little_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first round's few items have too few right answers, the last one's have enough."""
    monkeypatch.setattr("forgetmeter.results.findings.evidence.FEWEST_KNOWN", 1000)
    found = advise(request(folder / "late", "0.75"))
    assert [recipes for _, recipes in found.rounds] == [len(found.fits)]
    assert found.runs == (str(folder / "late" / "last"),)
    assert len(found.finalists) == len(found.fits)
    assert open_run(str(folder / "late" / "round-1")).study["identity"]["recipes"] == ["baseline"]


@pytest.mark.slow
def test_a_task_that_does_not_count_is_asked_of_the_baseline_alone(folder: Path) -> None:
    file = folder / "unknown.jsonl"
    rows = [
        {"prompt": f"The colour of {number} is", "choices": ["red", "blue"], "answer": "red"} for number in range(9)
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    asked = request(folder / "uncounted", tasks=(TASK, f"file:{file}"))
    listener = Counting()
    found = advise(asked, listener=listener, complete=listener.run)
    assert [task for task, _ in found.not_counted] == [f"file:{file}"]
    assert found.runs == (f"{folder}/uncounted/round-1-counted", f"{folder}/uncounted/last-counted")
    for (items, _), location in zip(found.rounds, found.runs, strict=True):
        assert {(cell.task, cell.items) for cell in open_run(location).summary.cells} == {(TASK, items)}
    alone = [open_run(f"{folder}/uncounted/{name}").summary.cells for name in ("round-1", "last")]
    assert all({cell.recipe for cell in cells} == {"baseline"} for cells in alone)
    again = Counting()
    assert advise(asked, listener=again, complete=again.run) == found
    assert not any(again.computed)


def test_the_limit_is_the_smallest_with_enough_items() -> None:
    groups = [100, 10, 40]
    for share in (0.01, 0.1, 0.5, 0.9, 1.0):
        limit = limit_for(groups, share)
        assert sum(min(size, limit) for size in groups) >= share * sum(groups)
        assert limit == 1 or sum(min(size, limit - 1) for size in groups) < share * sum(groups)


@pytest.mark.slow
def test_rounds_have_their_size_whatever_fields_the_items_have(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a task without groups is over all its items, even if they have a relation."""

    def load(_: TaskName, *, limit: int | None) -> Task:
        task = FactsTask(FACTS.parse(TASK))
        task.items, task.description = task.items[:limit], replace(task.description, name="ungrouped")
        return task

    plug_in(monkeypatch, {"ungrouped": TaskDeclaration(name="ungrouped", load=load)})
    advice = advise(request(folder / "ungrouped", tasks=("ungrouped",)))
    for (items, _), location in zip(advice.rounds, advice.runs, strict=True):
        assert {cell.items for cell in open_run(location).summary.cells} == {items}
    assert len(advice.rounds) > 1


def test_the_same_request_has_the_same_folder_and_another_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"evaluation.limit": 5}
    one = advise(request(tmp_path, output=None, recipes=RECIPES[:3], options=options)).runs
    assert one == advise(request(tmp_path, output=None, recipes=RECIPES[:3], options=options)).runs
    assert one != advise(request(tmp_path, "0.9", output=None, recipes=RECIPES[:3], options=options)).runs
    assert all(each.startswith("runs/advice-standard-decoder-") for each in one)


def test_a_model_has_the_same_folder_by_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SHIPPED / "decoder", tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    asked = [
        request(tmp_path, output=None, model=model, recipes=RECIPES[2:3], options={"evaluation.limit": 2})
        for model in ("./tiny", str(tmp_path / "tiny"))
    ]
    assert advise(asked[0]).runs == advise(asked[1]).runs
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_limit_below_the_token_embedding_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="the token embedding alone takes 302,464 bytes in 16 bits, and no format"
    ) as found:
        advise(request(tmp_path / "runs", "0.2"))
    assert "evaluate a recipe with round_to_nearest:token_embedding:4" in str(found.value)


def test_recipes_for_half_the_bytes_cast_the_embedding(tmp_path: Path) -> None:
    found = advise(request(tmp_path / "runs", "0.5", recipes=None, options={"evaluation.limit": 10}))
    assert found.best.recipe.endswith("+cast:token_embedding:dtype=bfloat16")
    assert found.best.retained.value > 0.9
    assert found.best_size.format == "compressed-tensors"


def test_a_cast_that_saves_nothing_is_left_out(tmp_path: Path) -> None:
    make_llama().to(torch.bfloat16).save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    casts = ["cast:overall:dtype=bfloat16", "cast:overall:dtype=bfloat16+cast:token_embedding:dtype=bfloat16"]
    sizes = {
        text: Sized(text, SizePredictor(open_checkpoint(str(tmp_path / "model"))).of(parse_recipe(text)).bytes, "dense")
        for text in casts
    }
    assert list(_without_idle_casts(sizes)) == casts[:1]
