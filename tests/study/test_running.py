"""Running a study: resuming, failures, and outcomes against the compressed model asked alone.

Covers ``executors.calibration``, ``executors.executor``, ``executors.local``, ``study.document``, ``study.evaluation``,
``study.installed``, ``study.preparing`` and ``study.checked_study``.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_up_task import SIZE, MadeUpTask, plug_in
from safetensors.torch import load_file, save_file
from tiny_models import make_bert, make_tokenizer
from transformers import BertLMHeadModel

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress, Work
from forgetmeter.executors.local import LocalExecutor
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.records.cell import Cell
from forgetmeter.records.outcome import Judgement
from forgetmeter.report.formats.show_text import show_text
from forgetmeter.results.results import open_run
from forgetmeter.runs.filesystem import RunFolder
from forgetmeter.runs.record_json import record_json
from forgetmeter.runs.run_store import RunStore
from forgetmeter.scoring.engine import Engine
from forgetmeter.specs.scope import Scope
from forgetmeter.study.evaluation import evaluate
from forgetmeter.study.running import check_study, reader, run, run_checked
from forgetmeter.study.verifying import verify

RECIPES = ["l1_unstructured:overall:0.5", "dynamic_int8:attention", "l1_unstructured:head:0.9"]


@pytest.fixture(autouse=True)
def _tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    makers = {name: (lambda limit, name=name: MadeUpTask(limit, name=name)) for name in ("made_up", "made_up_2")}
    plug_in(monkeypatch, makers)


@pytest.fixture
def study(llama_folder: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "models": [str(llama_folder)],
        "recipes": RECIPES,
        "tasks": ["made_up", "made_up_2"],
        "output": str(tmp_path / "run"),
    }


class Remembering(Progress):
    """Records which cells were computed."""

    def __init__(self) -> None:
        self.finished: list[tuple[str, str]] = []
        self.kept: list[tuple[str, str]] = []
        self.failed: list[str] = []
        self.to_read: Mapping[Cell, int] = {}
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def amount(self, tokens: Mapping[Cell, int]) -> None:
        self.to_read = tokens

    def cell_finished(self, cell: Cell, *, seconds: float) -> None:
        self.finished.append((str(cell.variant.recipe), cell.task))

    def cell_kept(self, cell: Cell) -> None:
        self.kept.append((str(cell.variant.recipe), cell.task))

    def cell_failed(self, cell: Cell, *, error: str) -> None:
        self.failed.append(error)


def outcomes(folder: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Return all outcomes of a run by file, without timings."""
    root = Path(folder)
    return {str(path.relative_to(root)): pq.read_table(path).to_pylist() for path in sorted(root.rglob("*.parquet"))}


def test_a_run_stores_every_outcome_and_a_second_one_does_nothing(study: dict[str, Any]) -> None:
    progress = Remembering()
    finished = run(study, progress=progress)
    assert (finished.cells, finished.computed, finished.failures) == (8, 8, ())
    assert len(progress.finished) == 8
    stored = outcomes(study["output"])
    assert {len(rows) for rows in stored.values()} == {SIZE}
    assert len(stored) == 8 + 2
    document = json.loads(Path(study["output"], "study.json").read_text())
    assert document["identity"]["recipes"] == ["baseline", *RECIPES]
    assert {"torch", "transformers", "lm_eval"} <= document["versions"].keys()

    again = Remembering()
    assert run(study, progress=again).computed == 0
    assert again.finished == []
    assert outcomes(study["output"]) == stored


def test_a_damaged_tokenizer_is_refused_before_any_work(study: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(study["models"][0], tmp_path / "damaged")
    for file, key, value in (
        ("config.json", "max_position_embeddings", 0),
        ("tokenizer_config.json", "model_max_length", -1),
    ):
        path = tmp_path / "damaged" / file
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match="model_max_length in tokenizer_config.json is -1"):
        run(study | {"models": [str(tmp_path / "damaged")]})
    assert not Path(study["output"]).exists()


def test_a_probe_is_read_from_the_named_data_folder(study: dict[str, Any], tmp_path: Path) -> None:
    bear = tmp_path / "data" / "BEAR"
    bear.mkdir(parents=True)
    made_up = {"P9": {"templates": ["Of [X], [Y] is best."], "answer_space_labels": ["tea", "ink"]}}
    (bear / "metadata_relations.json").write_text(json.dumps(made_up))
    (bear / "P9.jsonl").write_text('{"sub_label": "all things", "answer_idx": 1}')

    class Looking:
        def execute(self, work: Work, progress: Progress) -> None:
            self.items = {name: [item.id for item in task.items] for name, task in work.tasks.items()}

    looking = Looking()
    asked = study | {"tasks": ["bear:templates=0:relations=P9"]}
    with pytest.raises(UserError, match="executor Looking stored neither"):
        run(asked, executor=looking, data=tmp_path / "data")
    assert looking.items == {"bear:relations=P9:templates=0": ["bear/P9/0/0"]}
    assert RunStore(study["output"]).items()[0].task == "bear:relations=P9:templates=0"
    with pytest.raises(UserError, match="BEAR' does not exist"):
        run(asked | {"output": str(tmp_path / "elsewhere")}, executor=looking)


def test_outcomes_are_those_of_the_compressed_model_asked_alone(study: dict[str, Any], llama_folder: Path) -> None:
    run(study)
    loaded = load(str(llama_folder))
    for variant in RunStore(study["output"]).variants():
        alone = evaluate_under(loaded, variant.recipe)
        path = Path(study["output"], "variants", variant.id, "made_up.parquet")
        assert [row["loglikelihoods"] for row in pq.read_table(path).to_pylist()] == [
            np.asarray(outcome.loglikelihoods, dtype=np.float32).tolist() for outcome in alone
        ]


def evaluate_under(loaded: Any, recipe: str) -> Any:
    from forgetmeter.compression.applying.compressor import compress

    return evaluate(compress(loaded, recipe), [MadeUpTask()])["made_up"].outcomes


def test_a_finished_study_is_recognized_without_looking_at_tasks_or_weights(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(study)

    def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("a finished study needs none of this")

    monkeypatch.setattr("forgetmeter.study.running.InstalledVocabulary", unwanted)
    monkeypatch.setattr("forgetmeter.models.checkpoint.Checkpoint.__init__", unwanted)
    assert run(study).computed == 0


class Dying:
    """An executor that stops after some cells without any clean-up, as if killed by SIGKILL."""

    def __init__(self, after: int) -> None:
        self._after = after

    def execute(self, work: Work, progress: Progress) -> None:
        done = 0

        class Counting(Progress):
            def cell_finished(self, cell: Cell, *, seconds: float) -> None:
                nonlocal done
                done += 1

            def cell_started(inner, cell: Cell, *, items: int) -> None:  # noqa: N805
                if done == self._after:
                    raise KeyboardInterrupt

        LocalExecutor().execute(work, Counting())


def test_an_executor_that_leaves_out_cells_is_reported(study: dict[str, Any]) -> None:
    class Lazy:
        def execute(self, work: Work, progress: Progress) -> None:
            LocalExecutor().execute(replace(work, cells=work.cells[:3]), progress)
            work.store.write_failure(work.cells[3], "no time", "")

    with pytest.raises(UserError) as caught:
        run(study, executor=Lazy())
    left = "executor Lazy stored neither outcomes nor a failure for 4 cells, such as '"
    assert str(caught.value).startswith(left)
    assert str(caught.value).endswith("; it must call write_outcomes or write_failure for each")
    assert run(study).computed == 5


def test_answers_that_disappear_while_a_run_goes_on_are_told(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = LocalExecutor.execute

    def with_damage(executor: LocalExecutor, work: Work, progress: Progress) -> None:
        execute(executor, work, progress)
        next(Path(study["output"]).glob("variants/*/*.parquet")).unlink()

    monkeypatch.setattr(LocalExecutor, "execute", with_damage)
    with pytest.raises(UserError, match="are missing or damaged, although they were stored .* run the same command"):
        run(study)
    monkeypatch.setattr(LocalExecutor, "execute", execute)
    assert run(study).computed == 1


def test_a_misspelled_name_is_said_although_the_run_is_then_of_another_study(study: dict[str, Any]) -> None:
    run(study)
    for key, given, says in (
        ("recipes", ["l1_unstructred:overall:0.5"], "^recipes: unknown method 'l1_unstructred'; did you mean 'l1_unst"),
        ("tasks", ["made_up_3"], "^tasks: unknown task 'made_up_3'; did you mean 'made_up"),
    ):
        with pytest.raises(UserError, match=says):
            run(study | {key: given})


@pytest.mark.parametrize("after", [0, 1, 5])
def test_an_interrupted_run_resumes(study: dict[str, Any], tmp_path: Path, after: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(study, executor=Dying(after))
    progress = Remembering()
    assert run(study, progress=progress).computed == 8 - after
    undisturbed = study | {"output": str(tmp_path / "undisturbed")}
    run(undisturbed)
    assert outcomes(study["output"]) == outcomes(undisturbed["output"])


def test_answers_of_a_method_that_has_changed_since_are_not_mixed_with_new_ones(study: dict[str, Any]) -> None:
    run(study)
    store = RunStore(study["output"])
    document = {key: value for key, value in store.read_study().document.items() if key != "digest"}
    for facts in document["methods"].values():
        del facts["revision"]
    store.folder.write("study.json", record_json(document))
    assert run(study).computed == 0
    assert run({**study, "recipes": [*RECIPES, "svd:attention:0.5"]}).computed == 2
    more = {**study, "recipes": [*RECIPES, "svd:attention:0.5", "dynamic_int8:feed_forward"]}
    with pytest.raises(UserError, match="has answers of 'dynamic_int8' by an earlier version.*choose another --out"):
        run(more)


@pytest.mark.parametrize(
    "pattern", ["items", "items/*", "variants", "variants/*", "variants/*/*.json", "variants/*/*.parquet"]
)
@pytest.mark.parametrize("kind", ["folder", "file", "loop"])
def test_something_else_in_place_of_a_file_is_named_in_one_line(study: dict[str, Any], pattern: str, kind: str) -> None:
    run(study)
    for place in sorted(Path(study["output"]).glob(pattern))[:1]:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
        if kind == "folder":
            place.mkdir()
        elif kind == "file":
            place.write_text("mine")
        else:
            place.symlink_to(place)
    for use in (lambda: show_text(open_run(study["output"]).summary), lambda: run(study)):
        # Either it is named, or what it holds is asked again; anything else would be a traceback.
        with suppress(UserError):
            use()


def test_a_failed_cell_with_a_broken_file_is_not_done(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run(study)
    victim = sorted(Path(study["output"], "variants").rglob("made_up.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:6])
    monkeypatch.setattr(Engine, "prepare", lambda *_: 1 / 0)
    assert len(run(study).failures) == 1


def test_a_study_may_have_paths_and_single_names(study: dict[str, Any]) -> None:
    run(study)
    (model,) = study["models"]
    for models in (model, [Path(model)], Path(model)):
        single = study | {"models": models, "output": Path(study["output"])}
        assert check_study(reader(single)).to_score() == []


@pytest.mark.parametrize("lost", ["variants/*/variant.json", "items/*.parquet", "study.json"])
def test_lost_records_are_rewritten(study: dict[str, Any], lost: str) -> None:
    run(study)
    before = outcomes(study["output"])
    sorted(Path(study["output"]).glob(lost))[0].unlink()
    times = {path: path.stat().st_mtime_ns for path in Path(study["output"]).glob("variants/*/*.parquet")}
    progress = Remembering()
    checked = check_study(reader(study))
    assert checked.to_score() == []
    finished = run_checked(checked, progress=progress)
    assert (finished.cells, finished.computed) == (8, 0)
    assert (progress.finished, progress.to_read) == ([], {})
    assert Path(study["output"], "study.json").exists()
    assert outcomes(study["output"]) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times, "nothing needs to be asked again"


def test_a_run_without_its_study_is_continued_by_the_same_study_only(study: dict[str, Any]) -> None:
    run(study | {"evaluation.limit": 3})
    Path(study["output"], "study.json").unlink()
    before = outcomes(study["output"])
    for change, says in (
        ({"evaluation.limit": 2}, "the data of task 'made_up' changed"),
        ({"recipes": RECIPES[:1]}, "holds answers of a run whose study.json is missing, and this study lacks"),
    ):
        with pytest.raises(UserError, match=says):
            run(study | {"evaluation.limit": 3} | change)
        assert not Path(study["output"], "study.json").exists()
    assert outcomes(study["output"]) == before


def test_answers_with_unknown_calibration_texts_are_not_taken_for_those_of_the_study(study: dict[str, Any]) -> None:
    """Only study.json holds the hash of the text."""
    calibrated = {**study, "recipes": ["wanda:overall:0.5"], "calibration.sequences": 4, "calibration.length": 16}
    run(calibrated)
    Path(study["output"], "study.json").unlink()
    with pytest.raises(UserError, match="only that file records with which text methods were calibrated"):
        run({**calibrated, "calibration.sequences": 5})


def test_answers_of_another_calibration_text_are_not_taken_for_those_of_the_study(
    study: dict[str, Any], tmp_path: Path
) -> None:
    """The variant's id and the items are the same."""
    texts = {"recipes": ["wanda:overall:0.5"], "calibration.sequences": 4, "calibration.length": 16}
    other = {**study, **texts, "calibration.sequences": 5, "output": str(tmp_path / "other")}
    run({**study, **texts})
    run(other)
    before = outcomes(study["output"])
    calibrated = [
        path
        for path in Path(other["output"]).glob("variants/*/*.parquet")
        if "wanda" in pq.read_table(path)["recipe"][0].as_py()
    ]
    for path in calibrated:
        shutil.copy(path, Path(study["output"]) / path.relative_to(other["output"]))
    assert verify(study["output"]).problems
    assert run({**study, **texts}).computed == len(calibrated) > 0
    assert outcomes(study["output"]) == before


@pytest.mark.parametrize("value", ["0.5", None, 10**400], ids=["text", "none", "large"])
def test_a_metric_that_is_no_number_is_a_failure_of_its_cell(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    judge = MadeUpTask.judge

    def judged(task: MadeUpTask, answers: Any) -> Judgement:
        judgement = judge(task, answers)
        return replace(judgement, metrics={**judgement.metrics, "made_up": value})

    monkeypatch.setattr(MadeUpTask, "judge", judged)
    errors = [each.error for each in run({**study, "recipes": ["baseline"]}).failures]
    assert errors
    assert [each for each in errors if "is not a number that fits a float" not in each] == []


def test_a_judge_that_returns_nothing_is_told_what_to_return(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MadeUpTask, "judge", lambda *_: None)
    errors = {each.error for each in run({**study, "recipes": ["baseline"]}).failures}
    assert {each.partition("must")[2] for each in errors} == {" return a Judgement, not NoneType, from judge"}


def test_other_versions_than_at_the_start_are_named(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run({**study, "recipes": ["baseline"]})
    monkeypatch.setattr("forgetmeter.study.document.version", lambda name: "9.9" if name == "numpy" else version(name))
    progress = Remembering()
    run(study, progress=progress)
    (said,) = (stage for stage in progress.stages if "other versions" in stage)
    assert said.endswith(f" started: numpy {version('numpy')} → 9.9")


def test_a_task_that_exits_fails_its_cells(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MadeUpTask, "judge", lambda *_: sys.exit(0))
    errors = {each.error for each in run({**study, "recipes": ["baseline"]}).failures}
    assert errors == {"a plug-in or a library called sys.exit(0)"}


@pytest.mark.parametrize("suffix", ["variant.json", "made_up.parquet"])
def test_a_full_disk_ends_the_run_in_one_line_and_the_next_continues(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    progress, write = Remembering(), RunFolder.write

    def full_after_two(folder: RunFolder, path: str, content: bytes) -> None:
        if len(progress.finished) >= 2 and path.endswith((suffix, ".failed.json")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder, path, content)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write", full_after_two)
        with pytest.raises(UserError, match=rf"{suffix}' cannot be written \(No space left on device\); once it can"):
            run(study, progress=progress)
    assert (len(progress.finished), progress.failed) == (2, [])
    finished = run(study)
    assert (finished.computed, finished.failures) == (6, ())


@pytest.mark.parametrize("is_finished", [True, False])
def test_data_that_changed_is_refused_whether_or_not_cells_are_missing(
    study: dict[str, Any], tmp_path: Path, is_finished: bool
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The one.\n\nAnd the other.\n")
    asked = study | {"recipes": ["baseline"], "tasks": [f"perplexity:file={text}", "made_up"]}
    run(asked)
    if not is_finished:
        next(Path(study["output"]).glob("variants/*/made_up.parquet")).unlink()
    before = outcomes(study["output"])
    text.write_text("Another.\n")
    with pytest.raises(UserError, match=r"the data of task 'perplexity:file=.*' changed since the run"):
        check_study(reader(asked))
    text.write_text("")
    with pytest.raises(UserError, match="contains no text"):
        check_study(reader(asked))
    assert outcomes(study["output"]) == before
    text.unlink()
    if is_finished:
        assert run(asked).computed == 0, "what was removed cannot have changed"


def test_plug_in_data_that_changed_is_refused_when_all_is_stored(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = study | {"recipes": ["baseline"], "tasks": ["made_up"]}
    run(asked)
    plug_in(monkeypatch, {"made_up": lambda _: MadeUpTask(SIZE - 1, name="made_up")})
    with pytest.raises(UserError, match="the data of task 'made_up' changed since the run"):
        run(asked)


def test_a_copied_cell_and_a_record_of_another_variant_are_made_again(study: dict[str, Any]) -> None:
    run(study)
    before = outcomes(study["output"])
    first, second = sorted(Path(study["output"]).glob("variants/*/made_up.parquet"))[:2]
    shutil.copy(first, second)
    shutil.copy(first.parent / "variant.json", second.parent / "variant.json")
    # Its record is the other task's cell's, too, whose answers are its own.
    assert len(check_study(reader(study)).missing) == 2
    assert run(study).computed == 1
    assert outcomes(study["output"]) == before
    assert run(study).computed == 0


def judged_unless_second(judge: Any) -> Any:
    return lambda task, scores: judge(task, scores if task.description.name == "made_up" else scores[1:])


def test_a_run_whose_regex_is_percent_encoded_is_recognized(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = r"l1_unstructured:regex(layers\.(0|1)\.self):0.5"
    study |= {"recipes": [recipe, "l1_unstructured:head:0.9"]}
    with monkeypatch.context() as earlier:
        earlier.setattr(Scope, "__str__", lambda scope: scope.identity)
        # The text of a failed cell is read, too.
        earlier.setattr(MadeUpTask, "judge", judged_unless_second(MadeUpTask.judge))
        assert len(run(study).failures) == 3
    assert "%5C.%280%7C1%29" in Path(study["output"], "study.json").read_text()
    assert [failure.recipe for failure in RunStore(study["output"]).failures()].count(recipe) == 1
    assert run(study).computed == 3
    assert run(study).computed == 0
    found = open_run(study["output"])
    assert recipe in {cell.recipe for cell in found.summary.cells}
    assert len(found.forgotten(recipe))


def test_the_same_model_twice_is_refused(study: dict[str, Any], llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "copy")
    with pytest.raises(UserError, match="have the same content"):
        run(study | {"models": [str(llama_folder), str(tmp_path / "copy")]})


def break_int8(patch: pytest.MonkeyPatch) -> None:
    whole = Compressor.compressed

    def broken(self: Compressor, recipe: Any) -> Any:
        if "int8" in str(recipe):
            raise RuntimeError("no kernel")
        return whole(self, recipe)

    patch.setattr(Compressor, "compressed", broken)


def break_second_task(patch: pytest.MonkeyPatch) -> None:
    whole = Engine.prepare

    def broken(self: Engine, items: Any) -> Any:
        if items[0].id.startswith("made_up_2"):
            raise RuntimeError("out of luck")
        return whole(self, items)

    patch.setattr(Engine, "prepare", broken)


def test_a_failed_cell_is_stored_named_and_retried(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        break_second_task(patch)
        finished = run(study)
    assert len(finished.failures) == 4
    assert {failure.task for failure in finished.failures} == {"made_up_2"}
    assert {failure.error for failure in finished.failures} == {"RuntimeError: out of luck"}
    assert len(outcomes(study["output"])) == 4 + 2
    mended = run(study)
    assert (mended.computed, mended.failures) == (4, ())


def test_a_failing_recipe_costs_only_its_own_cells(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    break_int8(monkeypatch)
    finished = run(study)
    assert {failure.recipe for failure in finished.failures} == {"dynamic_int8:attention"}
    assert len(finished.failures) == 2


def test_a_study_may_leave_out_what_only_failed(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    break_int8(monkeypatch)
    assert len(run(study).failures) == 2
    before = outcomes(study["output"])
    fewer = study | {"recipes": [recipe for recipe in RECIPES if "int8" not in recipe]}
    finished = run(fewer)
    assert (finished.cells, finished.computed, finished.failures) == (6, 0, ())
    assert outcomes(study["output"]) == before
    opened = RunStore(study["output"])
    assert "dynamic_int8:attention" not in {variant.recipe for variant in opened.variants()}
    assert opened.read_study().document["identity"]["recipes"] == ["baseline", *fewer["recipes"]]
    assert len(run(study).failures) == 2, "and add it again"


def test_a_study_may_leave_out_a_task_that_only_failed(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    break_second_task(monkeypatch)
    assert len(run(study).failures) == 4
    finished = run(study | {"tasks": ["made_up"]})
    assert (finished.cells, finished.computed, finished.failures) == (4, 0, ())
    assert [items.task for items in RunStore(study["output"]).items()] == ["made_up"]


def test_a_broken_file_counts_as_not_done(study: dict[str, Any]) -> None:
    run(study)
    before = outcomes(study["output"])
    victim = sorted(Path(study["output"], "variants").rglob("*.parquet"))[3]
    victim.write_bytes(victim.read_bytes()[:-20])
    assert run(study).computed == 1
    assert outcomes(study["output"]) == before


def first(study: dict[str, Any]) -> dict[str, Any]:
    """Return a study with fewer recipes and tasks."""
    return study | {"recipes": RECIPES[1:2], "tasks": ["made_up_2"]}


def test_a_run_gains_recipes_and_tasks_and_equals_one_made_at_once(study: dict[str, Any], tmp_path: Path) -> None:
    assert run(first(study)).computed == 2
    times = {path: path.stat().st_mtime_ns for path in Path(study["output"]).rglob("*.parquet")}
    progress = Remembering()
    finished = run(study, progress=progress)
    assert (finished.cells, finished.computed, finished.failures) == (8, 6, ())
    assert set(progress.finished).isdisjoint({("baseline", "made_up_2"), (RECIPES[1], "made_up_2")})
    assert {path: path.stat().st_mtime_ns for path in times} == times, "nothing is asked again"
    at_once = study | {"output": str(tmp_path / "at_once")}
    run(at_once)
    assert outcomes(study["output"]) == outcomes(at_once["output"])
    extended, whole = (open_run(each["output"]) for each in (study, at_once))
    assert extended.study == whole.study
    timed = ["seconds", "is_timed"]
    pd.testing.assert_frame_equal(extended.comparisons.drop(columns=timed), whole.comparisons.drop(columns=timed))
    assert run(study).computed == 0


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_run_interrupted_while_it_gains_cells_resumes(study: dict[str, Any], tmp_path: Path, after: int) -> None:
    """After 0 cells, only study.json has changed; the run shows what is missing."""
    run(first(study))
    with pytest.raises(KeyboardInterrupt):
        run(study, executor=Dying(after))
    assert len(open_run(study["output"]).summary.missing) == 6 - after
    with pytest.raises(UserError, match=f"recipes lack '{RECIPES[0]}', '{RECIPES[2]}'; tasks lack 'made_up'"):
        run(first(study))
    assert run(study).computed == 6 - after
    undisturbed = study | {"output": str(tmp_path / "undisturbed")}
    run(undisturbed)
    assert outcomes(study["output"]) == outcomes(undisturbed["output"])


def test_two_studies_that_extend_a_run_at_the_same_moment_do_not_both_succeed(study: dict[str, Any]) -> None:
    """Both read the list of variants before either has written its own."""
    run({**study, "recipes": RECIPES[:1]})
    path = Path(study["output"]) / "study.json"
    before = path.read_text()

    class Overtaken(Progress):
        def cell_started(self, cell: Cell, *, items: int) -> None:
            # As the other study would write it, here without its own variant.
            path.write_text(before)

    with pytest.raises(UserError, match="at the same moment, so it does not list 1 variant of this one, whose answers"):
        run({**study, "recipes": RECIPES[:2]}, progress=Overtaken())
    assert run({**study, "recipes": RECIPES[:2]}).computed == 0


def test_an_extended_run_may_not_differ_otherwise(study: dict[str, Any]) -> None:
    run(first(study))
    before = Path(study["output"], "study.json").read_bytes()
    with pytest.raises(UserError, match="another study .*evaluation.seed: 0 in the run, 1 now"):
        run(study | {"evaluation.seed": 1})
    with pytest.raises(UserError, match="unknown task 'made_upp'"):
        run(study | {"tasks": ["made_up", "made_up_2", "made_upp"]})
    assert Path(study["output"], "study.json").read_bytes() == before


def test_a_model_is_the_same_by_any_path(
    study: dict[str, Any], llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(llama_folder, tmp_path / "models" / "tiny")
    monkeypatch.chdir(tmp_path)
    run(first(study) | {"models": ["./models/tiny"]})
    monkeypatch.chdir(tmp_path / "models")
    for name in ("./tiny", str(tmp_path / "models" / "tiny")):
        assert run(first(study) | {"models": [name]}).computed == 0
    # What it gains is stored under the model's first name.
    assert run(study | {"models": ["./tiny"]}).computed == 6
    assert set(open_run(study["output"]).outcomes["model"]) == {"./models/tiny"}
    with pytest.raises(UserError, match="models './tiny' and '.*/tiny' have the same content"):
        run(study | {"models": ["./tiny", str(tmp_path / "models" / "tiny")]})


def test_a_task_is_the_same_by_any_path_of_its_file(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "texts" / "one.txt"
    text.parent.mkdir()
    text.write_text("The one.\n\nAnd the other.\n")
    first = "perplexity:file=texts/one.txt:window=8"
    monkeypatch.chdir(tmp_path)
    study |= {"recipes": RECIPES[:1], "tasks": [first]}
    assert run(study).computed == 2
    monkeypatch.chdir(text.parent)
    for path in ("one.txt", text, "../texts/one.txt"):
        assert run(study | {"tasks": [f"perplexity:window=8:file={path}"]}).computed == 0
    # What the run gains is stored under the task's first name, though no file is there now.
    grown = study | {"recipes": RECIPES[:2], "tasks": [f"perplexity:file={text}:window=8"]}
    assert run(grown).computed == 1
    assert set(open_run(study["output"]).outcomes["task"]) == {first}
    assert [each.task for each in RunStore(study["output"]).items()] == [first]


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        (["perplexity:file=one.txt", "perplexity:file={}/one.txt"], "tasks .* have the same items; keep only one"),
        (["perplexity:file={}/other.txt"], "another study .*tasks lack 'perplexity:file=one.txt'"),
        (["perplexity:file=one.txt:window=8"], "another study .*tasks lack 'perplexity:file=one.txt'"),
        (["perplexity:file=gone.txt"], "text file 'gone.txt' does not exist"),
    ],
)
def test_another_text_or_one_twice_is_refused(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tasks: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        (tmp_path / f"{name}.txt").write_text(f"The {name}.\n")
    study |= {"recipes": ["baseline"]}
    run(study | {"tasks": ["perplexity:file=one.txt"]})
    with pytest.raises(UserError, match=says):
        run(study | {"tasks": [task.format(tmp_path) for task in tasks]})


def test_another_model_of_the_same_path_is_refused(study: dict[str, Any], llama_folder: Path, tmp_path: Path) -> None:
    for name in ("here", "there"):
        shutil.copytree(llama_folder, tmp_path / name)
    study |= {"models": [str(tmp_path / "here")]}
    run(study)
    config = json.loads((tmp_path / "here" / "config.json").read_text())
    (tmp_path / "here" / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.01}))
    with pytest.raises(UserError, match=r"another study \(content of '.*/here': '\w+' in the run, '\w+' now\)"):
        run(study)
    with pytest.raises(UserError, match="another study .*models"):
        run(study | {"models": [str(tmp_path / "here"), str(tmp_path / "there")]})
    assert run(study | {"models": [str(tmp_path / "there")]}).computed == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": ["made_up"]}, "another study .*tasks lack 'made_up_2'"),
        ({"recipes": ["baseline"]}, "another study .*recipes lack"),
        ({"evaluation.limit": 3}, "another study .*limit"),
        ({"evaluation.dtype": "bfloat16"}, "another study .*dtype"),
    ],
)
def test_a_folder_with_another_study_is_left_alone(study: dict[str, Any], change: dict[str, Any], says: str) -> None:
    run(study)
    before = {path: path.read_bytes() for path in Path(study["output"]).rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=says):
        run(study | change)
    assert {path: path.read_bytes() for path in Path(study["output"]).rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipes": ["l1_unstructured:overall:1.5"]}, "level 1.5"),
        ({"recipes": ["l1_unstrctured:overall:0.5"]}, "did you mean 'l1_unstructured'"),
        ({"recipes": ["l1_unstructured:cross_attention:0.5"]}, "selects no weight matrix"),
        (
            {"recipes": ["l1_unstructured:layers[7-9]/overall:0.5"]},
            r"selects no weight matrix of the model \(layers 0 to 1, roles in this model: ",
        ),
        ({"tasks": ["made_up", "made_upp"]}, "unknown task 'made_upp'"),
        ({"models": ["./nowhere"]}, "the folder does not exist"),
        ({"evaluation.device": "cuda"}, "device 'cuda' is not available"),
        ({"output": "/proc/no/run"}, "cannot be used"),
        ({"output": "/dev/null/run"}, "cannot be used"),
        ({"output": "x" * 300}, "cannot be used"),
        ({"output": "foo://x"}, "cannot be used"),
        ({"output": " "}, "output must be"),
        ({"evaluation.limit": 10**23}, "must be at most"),
    ],
)
def test_a_wrong_request_leaves_no_trace(study: dict[str, Any], change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says.replace("[", r"\[")):
        run(study | change)
    assert not os.path.exists((study | change)["output"])  # noqa: PTH110 - pathlib raises for names that are too long


def test_a_folder_with_other_things_in_it_is_left_alone(study: dict[str, Any]) -> None:
    folder = Path(study["output"])
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not empty"):
        run(study)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_dry_run_writes_nothing(study: dict[str, Any]) -> None:
    checked = check_study(reader(study))
    assert (len(checked.plan.cells), len(checked.missing)) == (8, 8)
    assert not Path(study["output"]).exists()


def test_a_run_can_be_at_any_url(study: dict[str, Any]) -> None:
    study = study | {"output": "memory://a/run", "recipes": ["baseline"]}
    assert run(study).computed == 2
    assert run(study).computed == 0


def test_the_base_weights_are_loaded_once_and_restored(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    monkeypatch.setattr("forgetmeter.executors.local.load", lambda *a, **k: loads.append(load(*a, **k)) or loads[-1])
    run(study)
    (loaded,) = loads
    fresh = load(study["models"][0]).model.state_dict()
    assert all(value.equal(fresh[name]) for name, value in loaded.model.state_dict().items())
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight


@pytest.mark.parametrize("recipe", ["drop_layers:overall:0.5:by=influence", "wanda:overall:0.5"])
def test_a_run_calibrates_by_itself(recipe: str, tmp_path: Path) -> None:
    """For each family, passing the run's own calibration explicitly gives the same outcomes."""
    from forgetmeter.compression.applying.compressor import compress
    from forgetmeter.config.study import CalibrationSettings
    from forgetmeter.executors.calibration import calibration_for
    from forgetmeter.specs.recipe import parse_recipe

    for model in ("standard:encoder", "standard:encoder-decoder", "standard:decoder"):
        output = str(tmp_path / model.partition(":")[2])
        study = {"models": [model], "recipes": [recipe], "tasks": ["facts:templates=0"], "output": output}
        assert run(study | {"evaluation.limit": 2, "calibration.sequences": 20}).failures == ()
        loaded, settings = load(model), CalibrationSettings(sequences=20)
        assert calibration_for(loaded, [parse_recipe("drop_layers:overall:0.5")], settings) == ()
        calibration = calibration_for(loaded, [parse_recipe(recipe)], settings)
        assert sum(len(each["input_ids"]) for each in calibration) == 20
        task = load_task("facts:templates=0", limit=2)
        alone = evaluate(compress(loaded, recipe, calibration=calibration), [task])[task.description.name].outcomes
        (variant,) = [each for each in RunStore(output).variants() if each.recipe == recipe]
        (path,) = Path(output, "variants", variant.id).glob("*.parquet")
        assert [row["prediction"] for row in pq.read_table(path).to_pylist()] == [one.prediction for one in alone]


def with_nan(folder: Path, target: Path, parameter: str, row: int | None = None) -> Path:
    """Copy a model with NaN in a parameter, or in one of its rows."""
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"].clone())
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    (tensors[parameter] if row is None else tensors[parameter][row]).fill_(float("nan"))
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_a_cell_without_a_single_number_has_failed(study: dict[str, Any], llama_folder: Path, tmp_path: Path) -> None:
    broken = with_nan(llama_folder, tmp_path / "broken", "model.embed_tokens.weight")
    progress = Remembering()
    finished = run(study | {"models": [str(broken)], "recipes": ["baseline"]}, progress=progress)
    assert [failure.task for failure in finished.failures] == ["made_up", "made_up_2"]
    assert "the scores of all 30 answers are NaN or infinite, as the model's logits are" in progress.failed[0]


def test_answers_that_are_not_numbers_are_wrong_and_counted(
    study: dict[str, Any], llama_folder: Path, tmp_path: Path
) -> None:
    """The model fails at each ``7``; all items share a prefix, so they are read in one row."""
    seven = make_tokenizer()("7", add_special_tokens=False)["input_ids"][0]
    asked = [item.id for item in MadeUpTask().items if "7" in item.requests[0].context]
    broken = with_nan(llama_folder, tmp_path / "broken", "model.embed_tokens.weight", seven)
    study |= {"models": [str(broken)], "recipes": ["baseline"], "tasks": ["made_up"]}
    assert run(study).failures == ()
    opened = open_run(study["output"])
    found = opened.outcomes.set_index("item_id")
    assert 0 < len(asked) < 30
    assert opened.cells["not_numbers"].tolist() == [len(asked)]
    assert not found.loc[asked, "correct"].any()
    assert set(found.loc[asked, "prediction"]) == {""}
    assert found["correct"].any()
    assert f"{len(asked)} of 30 answers are not numbers" in show_text(opened.summary)


@pytest.mark.parametrize(
    ("recipes", "says"),
    [
        (
            ["l1_unstructured:attention:0.5", "l1_unstructured:layers[0-1]/attention:0.5"],
            "recipes 'l1_unstructured:attention:0.5' and 'l1_unstructured:layers[0-1]/attention:0.5' have the same "
            "effect on every model of the study; keep only one",
        ),
        (["drop_layers:overall:0.1"], "'drop_layers:overall:0.1' changes nothing: level 0.1 of 2 blocks"),
    ],
)
def test_a_variant_under_a_second_name_is_refused_up_front(
    study: dict[str, Any], recipes: list[str], says: str
) -> None:
    with pytest.raises(UserError) as refused:
        run({**study, "recipes": recipes})
    assert says in str(refused.value)
    assert not Path(study["output"]).exists()


def test_a_recipe_that_turns_out_to_change_nothing_fails_and_the_others_run(study: dict[str, Any]) -> None:
    idle = "l1_unstructured:overall:0.5+l1_unstructured:overall:0.3"
    finished = run({**study, "recipes": [idle, "l1_unstructured:overall:0.5"]})
    assert {(failure.recipe, failure.task) for failure in finished.failures} == {
        (idle, "made_up"),
        (idle, "made_up_2"),
    }
    assert all("'l1_unstructured:overall:0.3' changes nothing in " in failure.error for failure in finished.failures)
    assert finished.computed == finished.cells == 6


def test_a_model_that_cannot_be_asked_costs_only_its_own_cells(
    study: dict[str, Any], llama_folder: Path, tmp_path: Path
) -> None:
    """A BERT loaded as a decoder sees the tokens it should predict, which shows only when it is asked."""
    model = BertLMHeadModel(make_bert(len(make_tokenizer())).config)
    model.save_pretrained(tmp_path / "bert")
    make_tokenizer().save_pretrained(tmp_path / "bert")
    bert = str(tmp_path / "bert")
    finished = run(study | {"models": [bert, str(llama_folder)], "recipes": ["baseline"]})
    assert {(failure.model, failure.task) for failure in finished.failures} == {(bert, "made_up"), (bert, "made_up_2")}
    assert all("depend on later tokens" in failure.error for failure in finished.failures)
    with pytest.raises(UserError, match="depend on later tokens"):
        run(study | {"models": [bert], "recipes": ["baseline"], "output": str(tmp_path / "alone")})
