"""Verifying a run: whatever is altered in it is found.

Covers ``study.asking_again``, ``runs.file_checks``, ``results.checks.recomputed``, ``results.checks.row_checks``,
``results.checks.measured_checks``, ``results.checks.size_checks``, ``results.checks.table_checks``,
``results.checks.stopped_checks``,
``report.report_checks`` and ``cli.commands.verify_command``.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quick_commands import quick_command
from safetensors.torch import load_file, save_file

import forgetmeter
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.errors import UserError
from forgetmeter.models.standard import standard_folder
from forgetmeter.report.written_report import make_report, write_report
from forgetmeter.runs.record_json import read_record, record_json
from forgetmeter.runs.tables.items_table import ITEMS_SCHEMA
from forgetmeter.runs.tables.metadata import is_unchanged, parquet_bytes, read_facts
from forgetmeter.runs.tables.outcomes_table import OUTCOMES_SCHEMA
from forgetmeter.study.verifying import verify

FLIPS, NUMBERS = 80, 20
EARLIER = Path(__file__).parents[1] / "runs" / "earlier"
PRUNED = "l1_unstructured:overall:0.4"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shutil.copytree(standard_folder("decoder"), tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    location = tmp_path_factory.mktemp("verified") / "run"
    study = {
        "models": [str(model)],
        "recipes": [PRUNED, "dynamic_int8:overall"],
        "tasks": ["facts:relations=country_capital:templates=0", "divergence"],
        "evaluation.limit": 12,
        "evaluation.noise_floor": True,
        "output": str(location),
    }
    forgetmeter.run(study)
    write_report(make_report(forgetmeter.open_run(location)), str(location))
    return location


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def files(location):
    return sorted(path for path in location.rglob("*") if path.is_file())


def test_what_was_written_holds(run) -> None:
    found = verify(run)
    assert (found.problems, found.unchecked) == ((), ())
    assert found.holds == (
        "every file is as it was written",
        "the numbers of 6 cells follow from the answers",
        "1 model has the recorded hash",
    )


def test_a_sample_asked_again_gives_the_same_answers(run) -> None:
    found = verify(run, sample=5)
    assert found.problems == ()
    assert found.holds[-1].startswith("30 answers asked again are the same")


@pytest.mark.parametrize("seed", range(FLIPS))
def test_any_flipped_byte_is_found(copy, seed) -> None:
    chance = random.Random(seed)
    file = chance.choice(files(copy))
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= chance.randrange(1, 256)
    file.write_bytes(content)
    assert verify(copy).problems, f"{file.relative_to(copy)} at {place}"


def is_seen(content, columns):
    """Whether a table is seen to differ from what was written."""
    return read_facts(io.BytesIO(content), columns) is None or is_unchanged(content) is False


@pytest.mark.parametrize(("table", "columns"), [("items", ITEMS_SCHEMA), ("variants", OUTCOMES_SCHEMA)])
def test_any_flipped_byte_of_a_table_is_found(run, table, columns) -> None:
    content = next((run / table).rglob("*.parquet")).read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    assert not is_seen(content, columns)
    hidden = [
        (place, flip)
        for flip in (1, 16)
        for place in [*range(4), *range(4, footer, 31), *range(footer, len(content))]
        if not is_seen(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :], columns)
    ]
    assert hidden == []


def test_a_table_without_the_digest_of_the_whole_does_not_pass_for_an_earlier_one(run) -> None:
    content = next((run / "items").rglob("*.parquet")).read_bytes()
    renamed = content.replace(b"forgetmeter.file_sha256", b"forgetmeter.file_sha255")
    assert is_unchanged(renamed) is False


@pytest.mark.parametrize("seed", range(NUMBERS))
def test_any_edited_number_is_found(copy, seed) -> None:
    """Edited as a person would: a digit of a record, or a value of a table that pyarrow writes back."""
    chance = random.Random(seed)
    file = chance.choice([path for path in files(copy) if path.suffix in (".json", ".parquet", ".md")])
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        name = chance.choice([each.name for each in table.schema if each.name != "item_id"])
        values = table[name].to_pylist()
        values[chance.randrange(len(values))] = values[chance.randrange(len(values))] if seed % 2 else None
        edited = table.set_column(
            table.schema.get_field_index(name), name, pa.array(values, table.schema.field(name).type)
        )
        pq.write_table(edited, file)
    else:
        text = file.read_text()
        places = [place for place, letter in enumerate(text) if letter.isdigit()]
        place = chance.choice(places)
        file.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    assert verify(copy).problems


def outcomes_of(copy, recipe, *, is_judged=True):
    run = forgetmeter.open_run(copy).run
    cell = next(each for each in run.cells if each.recipe == recipe and each.is_judged == is_judged)
    return copy / cell.path


def forged(path, change):
    """Change one of a run's JSON files, with a digest of its own."""
    document = read_record(path.read_bytes(), has_digest=lambda _: True)
    change(document)
    path.write_bytes(record_json(document))


def holds_but_for_the_report(copy):
    """Check that the report alone shows what was forged, and remove it, as a forger would."""
    (problem,) = verify(copy).problems
    assert problem.startswith("report.html shows another run, or an earlier state of this one (")
    for name in ("report.sha256", "run.sha256", "report.html"):
        (copy / name).unlink()
    for name in ("figures", "tables"):
        shutil.rmtree(copy / name)
    assert verify(copy).problems == ()


def variant_of(copy, recipe):
    variant = next(each for each in forgetmeter.open_run(copy).run.variants if each.recipe == recipe)
    return copy / "variants" / variant.id / "variant.json"


def rewritten(path, change):
    """Write a table back with a change and a digest of its own, as a forger would who reads this package's source."""
    table = pq.read_table(path)
    facts = json.loads(pq.read_metadata(io.BytesIO(path.read_bytes())).metadata[b"forgetmeter"])
    path.write_bytes(parquet_bytes(*change(table, facts)))


def with_column(table, name, values):
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.array(values, table.schema.field(place).type))


@pytest.mark.parametrize("recipe", ["baseline", PRUNED])
@pytest.mark.parametrize("is_recomputed", [True, False])
def test_deleted_answers_are_found(copy, recipe, is_recomputed) -> None:
    def change(table, facts):
        metrics = {} if is_recomputed else facts["metrics"]
        return table.slice(3), {**facts, "rows": len(table) - 3, "metrics": metrics}

    rewritten(outcomes_of(copy, recipe), change)
    assert any("3 items without an answer, and 0 are stated" in problem for problem in verify(copy).problems)


@pytest.mark.parametrize("other", ["facts/country_capital/0/0", "facts/none"])
def test_answers_to_one_item_twice_or_to_none_are_found(copy, other) -> None:
    def change(table, facts):
        ids = table["item_id"].to_pylist()
        return with_column(table, "item_id", [*ids[:-1], ids[0] if "country" in other else other]), facts

    path = outcomes_of(copy, PRUNED)
    rewritten(path, change)
    assert (
        f"{path.relative_to(copy)} is not as it was written: damaged, edited, or of another cell"
        in verify(copy).problems
    )


@pytest.mark.parametrize(
    ("name", "forge"),
    [
        ("rank", lambda rank: rank + 1 if rank > 1 else 1),
        ("rank", lambda rank: min(rank, 2)),
        ("margin", lambda margin: margin / 2),
        ("margin", lambda _: None),
        ("gold", lambda _: "Paris"),
        ("prediction", lambda _: "Rome"),
        ("metric.mrr", lambda _: 1.0),
        ("metric.p_at_1", lambda value: 1.0 - value),
        ("metric.p_at_5", lambda value: 1.0 - value),
    ],
)
def test_forged_columns_contradict_the_others(copy, name, forge) -> None:
    def change(table, facts):
        return with_column(table, name, [forge(value) for value in table[name].to_pylist()]), {**facts, "metrics": {}}

    rewritten(outcomes_of(copy, PRUNED), change)
    assert any("than its rank" in each or "does not follow from its log" in each for each in verify(copy).problems)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        *(("facts", name) for name in ("mrr", "mrr_macro", "p_at_5", "p_at_1_macro", "p_at_1_template_0")),
        *(("divergence", name) for name in ("divergence", "agreement", "ln_perplexity_ratio", "divergence_p90")),
        ("divergence", "divergence_max"),
    ],
)
def test_any_forged_mean_is_found(copy, task, name) -> None:
    def change(table, facts):
        return table, {**facts, "metrics": {**facts["metrics"], name: facts["metrics"][name] + 0.01}}

    (path,) = (each for each in outcomes_of(copy, PRUNED).parent.glob("*.parquet") if each.name.startswith(task))
    rewritten(path, change)
    (problem,) = verify(copy).problems
    assert f"{name} is stated as" in problem


@pytest.mark.parametrize(
    ("name", "forge"),
    [
        ("token_values", lambda values: [value / 2 for value in values]),
        ("token_values", lambda values: values[1:]),
        ("metric.divergence", lambda value: value / 2),
        ("metric.tokens", lambda value: value + 1),
        ("metric.agreement", lambda value: value + 0.0001),
        ("metric.agreement", lambda value: value + 1),
        ("metric.ln_perplexity_ratio", lambda value: value + 0.01),
        ("loglikelihoods", lambda values: [values[0] + 10]),
        ("correct", lambda _: True),
    ],
)
def test_forged_columns_of_texts_contradict_the_others(copy, name, forge) -> None:
    def change(table, facts):
        return with_column(table, name, [forge(value) for value in table[name].to_pylist()]), {**facts, "metrics": {}}

    rewritten(outcomes_of(copy, PRUNED, is_judged=False), change)
    said = " ".join(verify(copy).problems)
    assert any(f"/0 has {what}" in said for what in ("a", "an", "another")) or "texts that are right or wrong" in said


def test_texts_of_the_baseline_and_of_a_variant_that_were_swapped_are_found(copy) -> None:
    paths = [outcomes_of(copy, recipe, is_judged=False) for recipe in ("baseline", PRUNED)]
    tables, contents = [pq.read_table(path) for path in paths], [path.read_bytes() for path in paths]
    both = [json.loads(pq.read_metadata(io.BytesIO(each)).metadata[b"forgetmeter"]) for each in contents]
    for path, own, table, facts in zip(paths, tables, reversed(tables), both, strict=True):
        named = table
        for name in ("variant", "recipe"):
            named = with_column(named, name, own[name].to_pylist())
        path.write_bytes(parquet_bytes(named, {**facts, "metrics": {}}))
    assert any("contradicts the baseline's log-likelihood" in problem for problem in verify(copy).problems)


@pytest.mark.parametrize("name", ["variant", "model", "recipe", "task"])
def test_answers_labelled_as_those_of_another_cell_are_found(copy, name) -> None:
    def change(table, facts):
        return with_column(table, name, ["other", *table[name].to_pylist()[1:]]), facts

    rewritten(outcomes_of(copy, PRUNED), change)
    (problem,) = verify(copy).problems
    assert problem.endswith(f"it has answers that are labelled as of the {name} 'other'")


@pytest.mark.parametrize(
    ("task", "metric"), [("facts", "accuracy"), ("facts", "mrr"), ("divergence", "f1"), ("divergence", "agreement")]
)
def test_another_main_metric_is_found(copy, task, metric) -> None:
    (path,) = (each for each in (copy / "items").iterdir() if each.name.startswith(task))
    rewritten(path, lambda table, facts: (table, {**facts, "primary_metric": metric}))
    said = " ".join(verify(copy).problems)
    assert f"its main metric is '{metric}', which it does not have" in said or f"is not what its {metric} says" in said


@pytest.mark.parametrize("is_judged", [True, False])
def test_a_metric_that_no_answer_gives_is_found(copy, is_judged) -> None:
    def change(table, facts):
        return table, {**facts, "metrics": {**facts["metrics"], "fluency": 0.99}}

    rewritten(outcomes_of(copy, PRUNED, is_judged=is_judged), change)
    (problem,) = verify(copy).problems
    assert problem.endswith("it states fluency, which its answers do not give")


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("not_numbers", 3, "3 answers that are not numbers are stated, and 0 have no rank"),
        ("cut", 10**6, "1,000,000 shortened contexts of 12 answers"),
    ],
)
def test_impossible_numbers_of_items_are_found(copy, name, value, what) -> None:
    rewritten(outcomes_of(copy, PRUNED), lambda table, facts: (table, {**facts, name: value}))
    (problem,) = verify(copy).problems
    assert problem.endswith(what)


@pytest.mark.parametrize("value", [-3, 5])
def test_impossible_numbers_of_texts_that_are_not_numbers_are_found(copy, value) -> None:
    path = outcomes_of(copy, PRUNED, is_judged=False)
    rewritten(path, lambda table, facts: (table, {**facts, "not_numbers": len(table) + value if value > 0 else value}))
    (problem,) = verify(copy).problems
    assert problem.endswith("are stated not to be numbers")


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("facts", {"items": 1200}),
        ("facts", {"forgotten": 1, "changed": 1}),
        ("facts", {"forgotten": 13, "changed": 13, "largest_margin_shift": 100.0}),
        ("facts", {"gained": 1, "changed": 1, "largest_margin_shift": 100.0}),
        ("facts", {"forgotten": 1, "largest_margin_shift": 100.0}),
        ("facts", {"changed": -1}),
        ("facts", {"largest_margin_shift": -1.0}),
        ("divergence", {"items": 7}),
        ("divergence", {"largest_margin_shift": 0.1}),
    ],
)
def test_a_noise_floor_that_contradicts_the_answers_is_found(copy, task, change) -> None:
    (path,) = (each for each in copy.glob("variants/*/*.noise.json") if each.name.startswith(task))
    forged(path, lambda document: document["noise"].update(change))
    (problem,) = verify(copy).problems
    assert problem.endswith("its noise floor contradicts its answers and their margins")


def test_a_flip_needs_a_shift_of_its_margin(copy) -> None:
    (path,) = copy.glob("variants/*/facts*.noise.json")
    margins = sorted(pq.read_table(outcomes_of(copy, "baseline"))["margin"].to_pylist())
    change = {"forgotten": 2, "changed": 2, "largest_margin_shift": margins[1]}
    forged(path, lambda document: document["noise"].update(change))
    holds_but_for_the_report(copy)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"sparsity": 0.9}, "sparsity is not that of its counts of weights"),
        ({"selected_zeros": 10**9}, "counts of zeros and weights contradict one another"),
        ({"bitmask_bytes": 10**9}, "sizes contradict one another"),
        ({"bitmask_bytes": 1}, "sizes contradict one another"),
        ({"quantized_bytes": 1}, "sizes contradict one another"),
        ({"dense_bytes": 1_000_000}, "plain size is smaller than its original's"),
        ({"removed_weights": 1}, "zeros are not those of its original and those that were added"),
        ({"selected_weights": 122_881, "sparsity": 49152 / 122_881}, "counts contradict the scopes of its recipe"),
    ],
)
def test_sizes_that_contradict_one_another_are_found(copy, change, what) -> None:
    forged(variant_of(copy, PRUNED), lambda document: document["reached"].update(change))
    assert any(problem.endswith(f": its {what}") for problem in verify(copy).problems)


@pytest.mark.parametrize(
    ("role", "name", "by"), [("head", "zeros", 1), ("attention.key", "zeros", -1), ("head", "weights", 9)]
)
def test_counts_of_a_role_are_those_of_the_others_and_of_the_original(copy, role, name, by) -> None:
    def change(document):
        document["reached"]["roles"][role][name] += by

    forged(variant_of(copy, PRUNED), change)
    assert any("of its original" in problem for problem in verify(copy).problems)


def test_zeros_moved_to_a_role_outside_the_scope_are_found(copy) -> None:
    def change(document):
        for role, by in (("head", 5), ("attention.key", -5)):
            document["reached"]["roles"][role]["zeros"] += by

    forged(variant_of(copy, PRUNED), change)
    (problem,) = verify(copy).problems
    assert problem.endswith("its counts contradict the scopes of its recipe")


@pytest.mark.parametrize("name", ["quantized_bytes", "smallest_bytes"])
def test_a_model_without_a_change_has_its_own_size(copy, name) -> None:
    forged(variant_of(copy, "baseline"), lambda document: document["reached"].update({name: 10_000}))
    assert any(problem.endswith("sizes are not those of a model without a change") for problem in verify(copy).problems)


@pytest.mark.parametrize("times", [0.4, 2])
def test_a_size_that_the_models_files_rule_out_is_found(copy, times) -> None:
    sizes = ("dense_bytes", "bitmask_bytes", "quantized_bytes", "smallest_bytes")

    def change(document):
        whole = document["reached"]["dense_bytes"]
        document["reached"].update(dict.fromkeys(sizes, int(times * whole)))

    forged(variant_of(copy, "baseline"), change)
    assert any("bytes, and its files hold " in problem for problem in verify(copy).problems)


def test_more_left_out_items_than_there_are_without_an_answer_are_found(copy) -> None:
    rewritten(outcomes_of(copy, PRUNED), lambda table, facts: (table, {**facts, "dropped": {"because": 3}}))
    assert any(problem.endswith("0 items without an answer, and 3 are stated") for problem in verify(copy).problems)


def test_a_forged_answer_contradicts_its_margin(copy) -> None:
    def change(table, facts):
        right = [not value for value in table["correct"].to_pylist()]
        return table.set_column(table.schema.get_field_index("correct"), "correct", pa.array(right)), facts

    rewritten(outcomes_of(copy, PRUNED), change)
    assert any(
        "has a positive margin" in problem or "does not rank first" in problem for problem in verify(copy).problems
    )


def test_a_forged_mean_does_not_follow_from_the_answers(copy) -> None:
    def change(table, facts):
        return table, {**facts, "metrics": dict.fromkeys(facts["metrics"], 0.5)}

    rewritten(outcomes_of(copy, PRUNED), change)
    assert any("is stated as 0.5000, and its answers give" in problem for problem in verify(copy).problems)


def test_forged_log_likelihoods_are_found_by_asking_again(copy) -> None:
    def change(table, facts):
        lists = [[2 * value for value in each] for each in table["loglikelihoods"].to_pylist()]
        margins = [2 * value for value in table["margin"].to_pylist()]
        return with_column(with_column(table, "loglikelihoods", lists), "margin", margins), facts

    rewritten(outcomes_of(copy, PRUNED), change)
    holds_but_for_the_report(copy)
    (problem,) = verify(copy, sample=4).problems
    assert "4 of 4 answers differ when asked again" in problem


def test_forged_sizes_are_found_by_compressing_again(copy) -> None:
    variant = next(each for each in forgetmeter.open_run(copy).run.variants if each.recipe == PRUNED)
    path = copy / "variants" / variant.id / "variant.json"
    document = read_record(path.read_bytes(), has_digest=lambda _: True)
    whole = document["reached"]["smallest_bytes"]
    document["reached"]["smallest_bytes"] = whole // 2
    path.write_bytes(record_json(document))
    assert verify(copy).problems[0].endswith("its sizes are not those of zeros")
    document["reached"]["smallest_bytes"] = whole - 8
    path.write_bytes(record_json(document))
    holds_but_for_the_report(copy)
    assert "gives other numbers of zeros or bytes" in verify(copy, sample=2).problems[0]


def test_a_swapped_model_is_found(run, model) -> None:
    file = model / "model.safetensors"
    original = file.read_bytes()
    tensors = load_file(file)
    name = sorted(tensors)[0]
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[0] += 0.5
    try:
        save_file(tensors, file, metadata={"format": "pt"})
        assert verify(run).problems == (
            f"model '{model}' is not the one that was evaluated: its content has another hash",
        )
        assert "a sample of the answers" in verify(run, sample=2).unchecked[0]
    finally:
        file.write_bytes(original)


def damaged(folder, name):
    file = folder / name
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda folder: damaged(folder, "model.safetensors"), "its safetensors are truncated or damaged"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"{}"), "its safetensors are truncated or damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "the folder contains no *.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "the folder has no config.json"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "the folder contains only pickled weights",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
            "model.safetensors is a Git LFS pointer",
        ),
    ],
)
def test_a_model_that_is_here_and_damaged_is_a_problem(run, model, damage, what) -> None:
    aside = shutil.copytree(model, model.with_name("aside"))
    try:
        damage(model)
        found = verify(run)
    finally:
        shutil.rmtree(model)
        aside.rename(model)
    (problem,) = found.problems
    assert problem.startswith(f"not the model that was evaluated: model '{model}': {what}")
    assert found.unchecked == ()


def test_a_lost_hash_of_a_model_is_found(compared) -> None:
    run, _ = compared
    path = run / "study.json"
    content = path.read_bytes()
    try:
        forged(path, lambda document: document["identity"]["model_content"].pop("standard:decoder"))
        assert verify(run).problems == ("study.json lacks the hash of model 'standard:decoder'",)
        forged(path, lambda document: document["identity"]["model_content"].clear())
        assert len(verify(run).problems) == 3
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"\n", b"\x0b", 1),
        lambda content: content.replace(b"\n", b"\r"),
        lambda content: content[:-1],
        lambda _: b"",
        lambda content: b"".join(line for line in content.splitlines(keepends=True) if b"report.html" not in line),
        lambda content: content.upper(),
        lambda content: b"".join(line for line in content.splitlines(keepends=True) if b"methods.tex" not in line),
        lambda content: b"".join(line for line in content.splitlines(keepends=True) if b"run.sha256" not in line),
    ],
)
def test_an_altered_list_of_checksums_is_found(copy, change) -> None:
    path = copy / "report.sha256"
    path.write_bytes(change(path.read_bytes()))
    assert verify(copy).problems


def test_cells_that_failed_are_not_checked(tmp_path) -> None:
    run = tmp_path / "run"
    study = {"models": ["standard:decoder"], "recipes": [PRUNED], "tasks": ["facts:templates=0"]}
    forgetmeter.run({**study, "evaluation.limit": 1, "output": str(run)}, time_limit=1e-6)
    found = verify(run)
    assert found.problems == ()
    said = "2 cells without answers, after an error: baseline (standard:decoder) on facts:templates=0, and others"
    assert found.unchecked == (said,)


def test_a_changed_chat_template_is_found(model, tmp_path) -> None:
    here, run = shutil.copytree(model, tmp_path / "chat"), tmp_path / "run"
    template = here / "chat_template.jinja"
    template.write_text("{% for each in messages %}<{{ each['role'] }}>{{ each['content'] }}{% endfor %}", "utf-8")
    study = {"models": [str(here)], "recipes": ["baseline"], "tasks": ["piqa"], "output": str(run)}
    forgetmeter.run({**study, "evaluation.limit": 2, "evaluation.chat_template": True})
    assert verify(run).problems == ()
    template.write_text(template.read_text("utf-8").replace("<", "["), "utf-8")
    assert verify(run).problems == (f"model '{here}' is not the one that was evaluated: its content has another hash",)


def test_a_report_of_another_run_is_found(copy, tmp_path) -> None:
    study = {"models": ["standard:encoder"], "recipes": [PRUNED], "tasks": ["facts:templates=0"]}
    forgetmeter.run({**study, "evaluation.limit": 3, "output": str(tmp_path / "other")})
    write_report(make_report(forgetmeter.open_run(tmp_path / "other")), str(copy))
    (problem,) = verify(copy).problems
    assert problem.startswith("report.html shows another run, or an earlier state of this one (items/divergence.parq")


def test_a_report_that_does_not_say_what_it_was_made_from_is_not_said_to_be_of_the_run(copy) -> None:
    # As an earlier version wrote it.
    (copy / "run.sha256").unlink()
    page = (copy / "report.html").read_bytes()
    page = re.sub(rb'<meta name="forgetmeter-files"[^>]*>', b"", page)
    (copy / "report.html").write_bytes(page)
    stated = [line for line in (copy / "report.sha256").read_text("utf-8").splitlines() if "run.sha256" not in line]
    digest = hashlib.sha256(page).hexdigest()
    lines = [f"{digest}  report.html" if line.endswith("  report.html") else line for line in stated]
    (copy / "report.sha256").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    found = verify(copy)
    assert found.problems == ()
    assert found.unchecked == ("whether report.html is of this run's answers: it does not say what it was made from",)


def test_missing_and_strange_files_are_named(copy) -> None:
    outcomes_of(copy, PRUNED).unlink()
    (copy / "notes.txt").write_text("mine")
    (copy / "tables" / "results.tex").unlink()
    (items, *_) = (copy / "items").iterdir()
    items.unlink()
    found = verify(copy)
    problems = "\n".join(found.problems)
    assert f"the answers of {PRUNED} ({forgetmeter.open_run(copy).run.study.models[0]}) on facts" in problems
    assert found.unchecked == ("notes.txt: not part of the run, nor of a report with checksums",)
    assert "tables/results.tex is missing from the report" in problems
    assert "the items of" in problems


def test_a_missing_noise_floor_is_named(copy) -> None:
    noise = sorted(copy.glob("variants/*/*.noise.json"))
    assert len(noise) == 2
    noise[0].unlink()
    (problem,) = verify(copy).problems
    assert problem.startswith("the noise floor of ")
    assert problem.endswith(" on divergence is missing")


def test_a_noise_floor_measured_later_is_recorded(tmp_path) -> None:
    study = {"models": ["standard:decoder"], "tasks": ["facts:templates=0"], "evaluation": {"limit": 1}}
    study |= {"recipes": [PRUNED], "output": str(tmp_path / "run")}
    forgetmeter.run(study)
    assert not forgetmeter.open_run(tmp_path / "run").run.study.has_noise_floor
    forgetmeter.run({**study, "evaluation": {"limit": 1, "noise_floor": True}})
    forgetmeter.run(study)
    assert verify(tmp_path / "run").problems == ()
    next((tmp_path / "run").glob("variants/*/*.noise.json")).unlink()
    assert "the noise floor of" in verify(tmp_path / "run").problems[0]


def test_answers_of_a_variant_or_a_task_that_the_study_does_not_name_are_found(copy) -> None:
    path = copy / "study.json"
    document = read_record(path.read_bytes(), has_digest=lambda _: True)
    gone = next(each for each in document["variants"] if each["recipe"] == PRUNED)
    document["variants"].remove(gone)
    document["identity"]["recipes"].remove(PRUNED)
    document["identity"]["tasks"].remove("divergence")
    path.write_bytes(record_json(document))
    found = verify(copy).problems
    assert f"variants/{gone['id']} is of no variant in study.json" in found
    assert "divergence has items or answers, and is not a task in study.json" in found


def test_a_model_that_is_not_here_is_said_not_to_be_checked(run, model) -> None:
    aside = model.rename(model.with_name("aside"))
    try:
        found, sampled = verify(run), verify(run, sample=2)
    finally:
        aside.rename(model)
    assert (found.problems, found.is_sampled) == ((), True)
    assert found.unchecked[0].startswith(f"model '{model}', which is not here: ")
    assert (sampled.problems, sampled.is_sampled) == ((), False)
    assert sampled.unchecked[1:] == ("a sample of the answers: none of the run's models is available on this machine",)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A run with two candidates, and the folder of the first, which is gone."""
    folder = tmp_path_factory.mktemp("compared")
    for name, level in (("gone", 0.3), ("here", 0.5)):
        compress_checkpoint("standard:decoder", f"l1_unstructured:overall:{level}", folder / name)
    study = {
        "models": ["standard:decoder"],
        "candidates": [str(folder / "gone"), str(folder / "here")],
        "tasks": ["facts:relations=country_capital:templates=0"],
        "evaluation.limit": 5,
        "output": str(folder / "run"),
    }
    forgetmeter.run(study)
    assert verify(folder / "run", sample=2).holds[-1].startswith("6 answers asked again are the same")
    shutil.rmtree(folder / "gone")
    return folder / "run", folder / "gone"


def test_a_candidate_that_is_gone_is_not_asked_and_the_others_are(compared) -> None:
    run, gone = compared
    found = verify(run, sample=2)
    assert (found.problems, found.is_sampled) == ((), False)
    assert found.holds[-1].startswith("4 answers asked again are the same")
    assert [each.partition(":")[0] for each in found.unchecked] == [
        f"model '{gone}', which is not here",
        f"a sample of the answers of candidate({gone}) (standard",
    ]


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--sample", 1), 2)])
def test_the_command_says_that_not_everything_was_checked(compared, options, code) -> None:
    run, gone = compared
    done = command(run, *options)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        code,
        f"{run}: verified, except for what was not checked",
    )
    assert f"not checked: model '{gone}', which is not here: " in done.stdout
    assert json.loads(command(run, "--json", *options).stdout)["is_sampled"] == (code == 0)


def test_a_plain_candidate_has_one_size(tmp_path) -> None:
    plain, run = tmp_path / "plain", tmp_path / "run"
    compress_checkpoint("standard:decoder", "round_to_nearest:overall:4", plain)
    study = {"models": ["standard:decoder"], "candidates": [str(plain)], "tasks": ["facts:templates=0"]}
    forgetmeter.run({**study, "evaluation.limit": 1, "output": str(run)})
    assert verify(run).problems == ()
    recipe = f"candidate({plain})"
    (original,) = (each for each in forgetmeter.open_run(run).run.variants if each.recipe == "baseline")
    (own,) = (each for each in forgetmeter.open_run(run).run.variants if each.recipe == recipe)
    assert own.reached.smallest_bytes == own.reached.quantized_bytes == original.reached.dense_bytes
    for sizes in ({"smallest_bytes": 400_000}, {"smallest_bytes": 400_000, "quantized_bytes": 400_000}):
        forged(variant_of(run, recipe), lambda document, sizes=sizes: document["reached"].update(sizes))
        assert verify(run).problems == (f"{recipe} (standard:decoder): its sizes are not those of one model",)


def test_a_packed_candidates_size_is_that_of_its_files(tmp_path) -> None:
    pytest.importorskip("compressed_tensors")
    packed, run = tmp_path / "packed", tmp_path / "run"
    compress_checkpoint("standard:decoder", "round_to_nearest:overall:4", packed, format="compressed-tensors")
    study = {"models": ["standard:decoder"], "candidates": [str(packed)], "tasks": ["facts:templates=0"]}
    forgetmeter.run({**study, "evaluation.limit": 1, "output": str(run)})
    assert verify(run, sample=1).problems == ()
    forged(run / "study.json", lambda document: document["sources"][str(packed)].update(bytes=1000))
    (problem,) = verify(run).problems
    assert problem.endswith("its size is not that of its files")
    said = {"bits": {"attention": 2.0}, "reading": "plain", "maker": "somebody", "format": "nf4"}
    forged(run / "study.json", lambda document: document["sources"][str(packed)].update(said))
    sizes = {"smallest_bytes": 1000, "quantized_bytes": 1000}
    recipe = f"candidate({packed})"
    forged(variant_of(run, recipe), lambda document: document["reached"].update(sizes))
    assert verify(run).problems == ()
    stored, *others, again = verify(run, sample=1).problems
    assert stored.endswith(" bytes, and 1000 are stated")
    assert [each.partition(": its ")[2].partition(" is ")[0] for each in others] == list(said)[::-1]
    assert again.endswith("compressing it again gives other numbers of zeros or bytes")


def test_changed_items_are_found_by_reading_them_again(copy) -> None:
    (path,) = (each for each in (copy / "items").iterdir() if each.name.startswith("facts"))

    def change(table, facts):
        return with_column(table, "before", ["The town of ", *table["before"].to_pylist()[1:]]), {
            **facts,
            "official_size": 10**6,
        }

    rewritten(path, change)
    holds_but_for_the_report(copy)
    changed, size = verify(copy, sample=1).problems
    assert changed.endswith("the texts, answers or facts of its items are not those of its data")
    assert size.endswith("its official_size is 1000000, and not 145")


def test_divergences_that_were_forged_consistently_are_found_by_asking_again(copy) -> None:
    def change(table, facts):
        values = [[value / 2 for value in each] for each in table["token_values"].to_pylist()]
        means = [value / 2 for value in table["metric.divergence"].to_pylist()]
        metrics = {
            name: value / 2 if name.startswith("divergence") else value for name, value in facts["metrics"].items()
        }
        table = with_column(with_column(table, "token_values", values), "metric.divergence", means)
        return table, {**facts, "metrics": metrics}

    rewritten(outcomes_of(copy, PRUNED, is_judged=False), change)
    holds_but_for_the_report(copy)
    assert "3 of 3 answers differ when asked again" in verify(copy, sample=3).problems[0]


def test_numbers_of_a_perplexity_follow_from_the_texts(tmp_path) -> None:
    (tmp_path / "text.txt").write_text("The cat sat.\n\nEin  Bär saß\nauf der Matte.\n")
    task = f"perplexity:file={tmp_path / 'text.txt'}"
    forgetmeter.run(
        {"models": ["standard:decoder"], "recipes": [PRUNED], "tasks": [task], "output": str(tmp_path / "run")}
    )
    assert verify(tmp_path / "run", sample=1).problems == ()
    path = outcomes_of(tmp_path / "run", "baseline", is_judged=False)
    for name in ("metric.words", "metric.bytes", "metric.bits_per_byte"):
        content = path.read_bytes()
        rewritten(
            path,
            lambda table, facts, name=name: (
                with_column(table, name, [value * 2 for value in table[name].to_pylist()]),
                {**facts, "metrics": {}},
            ),
        )
        assert "text" in verify(tmp_path / "run").problems[0] or "bits_per_byte" in verify(tmp_path / "run").problems[0]
        path.write_bytes(content)


@pytest.mark.parametrize("name", sorted(path.stem for path in EARLIER.glob("*.zip")))
def test_runs_of_earlier_versions_hold(tmp_path, name) -> None:
    with zipfile.ZipFile(EARLIER / f"{name}.zip") as archive:
        archive.extractall(tmp_path)
    assert verify(tmp_path).problems == ()


def extracted(name, folder):
    with zipfile.ZipFile(EARLIER / f"{name}.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("name", ["schema_1_first", "schema_1_with_methods", "schema_2_first"])
def test_files_without_digests_are_not_said_to_be_as_they_were_written(tmp_path, name) -> None:
    count = len(files(extracted(name, tmp_path)))
    found = verify(tmp_path)
    assert [each for each in found.holds if "written" in each] == []
    (said,) = (each for each in found.unchecked if "digest" in each)
    assert said == (f"whether {count} files are as they were written: an earlier version wrote them without digests")


def test_footers_that_digests_leave_out_are_not_said_to_be_as_they_were_written(tmp_path) -> None:
    found = verify(extracted("schema_3_first", tmp_path))
    assert found.holds[0] == "what has a digest is as it was written"
    assert found.unchecked[0] == "the footers of 4 tables: an earlier version's digests leave them out"


@pytest.mark.parametrize("seed", range(FLIPS))
def test_a_flipped_byte_of_a_file_without_a_digest_is_a_problem_or_is_not_checked(tmp_path, seed) -> None:
    extracted("schema_2_first", tmp_path)
    chance = random.Random(seed)
    file = chance.choice([path for path in files(tmp_path) if path.suffix == ".parquet"])
    content = bytearray(file.read_bytes())
    # Most flips in a header of a page make the file unreadable.
    place = chance.randrange(4, 200) if seed % 2 else chance.randrange(len(content))
    content[place] ^= chance.randrange(1, 256)
    file.write_bytes(content)
    found = verify(tmp_path)
    assert found.problems or any("without digests" in each for each in found.unchecked)


@pytest.mark.parametrize("folder", ["items", "variants"])
def test_a_table_without_a_digest_that_cannot_be_read_is_one_problem(tmp_path, folder) -> None:
    extracted("schema_2_first", tmp_path)
    file = next((tmp_path / folder).rglob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[4:40] = bytes(36)
    file.write_bytes(content)
    problems = verify(tmp_path).problems
    (problem,) = (each for each in problems if str(file.relative_to(tmp_path)) in each)
    assert "cannot be checked (" in problem


@pytest.mark.parametrize(
    ("name", "is_judged"),
    [
        ("correct", True),
        ("prediction", True),
        ("gold", True),
        ("item_id", True),
        ("recipe", True),
        ("loglikelihoods", True),
        ("loglikelihoods", False),
        ("token_values", False),
    ],
)
@pytest.mark.parametrize("recipe", ["baseline", PRUNED])
@pytest.mark.parametrize("is_inside", [False, True])
def test_missing_values_are_problems(copy, recipe, name, is_judged, is_inside) -> None:
    def change(table, facts):
        first, *others = table[name].to_pylist()
        value = [None, *first[1:]] if is_inside and isinstance(first, list) else None
        return with_column(table, name, [value, *others]), facts

    rewritten(outcomes_of(copy, recipe, is_judged=is_judged), change)
    assert verify(copy).problems


@pytest.mark.parametrize("task", ["facts", "divergence"])
@pytest.mark.parametrize("name", [*(field.name for field in ITEMS_SCHEMA)])
def test_missing_values_of_items_are_problems(copy, task, name) -> None:
    (path,) = (each for each in (copy / "items").iterdir() if each.name.startswith(task))
    rewritten(path, lambda table, facts: (with_column(table, name, [None, *table[name].to_pylist()[1:]]), facts))
    assert any(name in problem or "is not as it was written" in problem for problem in verify(copy).problems)


@pytest.mark.parametrize("is_judged", [True, False])
def test_answers_that_are_said_to_be_of_another_kind_of_task_are_problems(copy, is_judged) -> None:
    path = outcomes_of(copy, PRUNED, is_judged=is_judged)
    rewritten(path, lambda table, facts: (table, {**facts, "judged": not is_judged}))
    assert verify(copy).problems


@pytest.mark.parametrize("value", ["x", [1], {}, -1, True])
@pytest.mark.parametrize("name", ["cut", "dropped", "metrics", "precision", "not_numbers", "judged", "rows"])
def test_facts_of_another_kind_end_in_no_traceback(copy, name, value) -> None:
    rewritten(outcomes_of(copy, PRUNED), lambda table, facts: (table, {**facts, name: value}))
    verify(copy)


@pytest.mark.parametrize("name", ["gold", "choices"])
def test_an_unexpected_value_is_a_problem_of_its_file(copy, name) -> None:
    (path,) = (each for each in (copy / "items").iterdir() if each.name.startswith("facts"))

    def change(table, facts):
        values = table[name].to_pylist()
        return with_column(table, name, [[10**6] if name == "gold" else [] for _ in values]), facts

    rewritten(path, change)
    found = verify(copy).problems
    assert any("cannot be checked" in each for each in found) or name == "choices"


def test_a_cell_that_did_not_stop_early_cannot_state_that_it_did(copy) -> None:
    def change(table, facts):
        table = table.filter(table["correct"])
        return table, {**facts, "rows": len(table), "metrics": {}, "precision": 0.03}

    rewritten(outcomes_of(copy, PRUNED), change)
    (problem,) = verify(copy).problems
    assert problem.endswith("its answers are not those of the items that were asked first")


def test_a_cell_with_all_answers_cannot_state_that_it_stopped_early(copy) -> None:
    rewritten(outcomes_of(copy, PRUNED), lambda table, facts: (table, {**facts, "precision": 0.01}))
    (problem,) = verify(copy).problems
    assert "it states that its drop is known to ±0.01, and its answers give ±" in problem


@pytest.mark.parametrize(("recipe", "is_judged"), [("baseline", True), (PRUNED, False)])
def test_a_cell_that_never_stops_early_cannot_state_that_it_did(copy, recipe, is_judged) -> None:
    path = outcomes_of(copy, recipe, is_judged=is_judged)
    rewritten(path, lambda table, facts: (table, {**facts, "precision": 0.03}))
    (problem,) = verify(copy).problems
    assert problem.endswith("it states that asking stopped early, which it never does there")


def test_deleted_sizes_are_found(copy) -> None:
    forged(variant_of(copy, PRUNED), lambda document: document.pop("reached"))
    (problem,) = verify(copy).problems
    assert problem.startswith(f"the record of {PRUNED} (")
    assert problem.endswith(" lacks its counts of weights and its sizes")


def test_a_deleted_list_of_variants_is_found(copy) -> None:
    forged(copy / "study.json", lambda document: document.pop("variants"))
    assert verify(copy).problems == ("study.json lists no variants",)


def test_a_run_that_may_be_unfinished_is_said_to_be(copy) -> None:
    assert verify(copy).notes == ()
    for recipe in ("baseline", PRUNED):
        outcomes_of(copy, recipe).unlink()
    found = verify(copy)
    (note,) = found.notes
    assert "`forgetmeter run`" in note
    done = command(copy)
    assert done.returncode == 1
    assert f"note: {note}" in done.stdout
    assert json.loads(command(copy, "--json").stdout)["notes"] == [note]


@pytest.mark.parametrize("model", ["encoder", "encoder-decoder"])
def test_other_architectures_and_runs_that_stopped_early_hold(tmp_path, model) -> None:
    recipes = ["drop_layers:overall:0.4+dynamic_int8:overall", "l1_unstructured:cross_attention:0.5", "svd:head:0.5"]
    study = {
        "models": [f"standard:{model}"],
        "recipes": [*recipes[:: 1 if model == "encoder-decoder" else 2], "l1_unstructured:layers[0]/attention:0.5"],
        "tasks": ["facts:relations=country_capital:templates=0"],
        "evaluation": {"noise_floor": True, "precision": 0.3},
        "output": str(tmp_path / "run"),
    }
    forgetmeter.run(study)
    assert any(cell.precision is not None for cell in forgetmeter.open_run(tmp_path / "run").run.cells)
    assert verify(tmp_path / "run").problems == ()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run with a cell that stopped early, whose study has no precision."""
    location = tmp_path_factory.mktemp("stopped") / "run"
    study = {"models": ["standard:decoder"], "recipes": [PRUNED], "output": str(location)}
    study |= {"tasks": ["facts:relations=country_capital:templates=0"]}
    forgetmeter.run({**study, "evaluation.precision": 0.3})
    assert [cell.precision for cell in forgetmeter.open_run(location).run.cells] == [None, 0.3]
    assert verify(location).problems == ()
    return location


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"margin": 0.1}, "a margin of 0.1 and a precision of 0.3, which must be equal"),
        ({"precision": 0.2, "margin": 0.2, "checks": 0}, "its drop is certain to be at most 0.2, and its answers give"),
    ],
)
def test_a_margin_that_the_answers_do_not_decide_is_found(stopped, tmp_path, facts, what) -> None:
    copy = shutil.copytree(stopped, tmp_path / "run")
    rewritten(outcomes_of(copy, PRUNED), lambda table, before: (table, {**before, **facts}))
    assert any(what in problem for problem in verify(copy).problems)


def test_a_cell_that_stopped_at_a_margin_holds(tmp_path) -> None:
    study = {"models": ["standard:decoder"], "recipes": ["l1_unstructured:overall:0.7"]}
    study |= {"tasks": ["facts:relations=country_capital:templates=0"], "output": str(tmp_path / "run")}
    forgetmeter.run({**study, "evaluation.margin": "5pt"})
    run = forgetmeter.open_run(tmp_path / "run").run
    assert [(cell.margin, cell.checks) for cell in run.cells] == [(None, 0), (0.05, 1)]
    assert verify(tmp_path / "run").problems == ()
    for checks, what in ((None, "at most 0.05"), (0, "at most 0.05"), (-5, "above 0.05"), (10**10, "above 0.05, for")):
        copy = shutil.copytree(tmp_path / "run", tmp_path / f"checks={checks}")
        rewritten(
            outcomes_of(copy, run.cells[1].recipe),
            lambda table, facts, checks=checks: (table, {**facts, "checks": checks}),
        )
        assert f"its drop is certain to be {what}" in " ".join(verify(copy).problems)


@pytest.mark.parametrize(
    ("forge", "what"),
    [
        (lambda table: table.filter(table["correct"]), "not those of the items that were asked first"),
        (lambda table: table.slice(1), "not those of the items that were asked first"),
        (lambda table: table, "and its answers give ±0."),
    ],
)
def test_answers_deleted_from_a_cell_that_stopped_early_are_found(stopped, tmp_path, forge, what) -> None:
    copy = shutil.copytree(stopped, tmp_path / "run")

    def change(table, facts):
        forged_table = forge(table)
        precision = facts["precision"] / (10 if len(forged_table) == len(table) else 1)
        return forged_table, {**facts, "rows": len(forged_table), "metrics": {}, "precision": precision}

    rewritten(outcomes_of(copy, PRUNED), change)
    assert any(what in problem for problem in verify(copy).problems)


def test_a_study_that_cannot_be_read_is_a_problem(copy) -> None:
    (copy / "study.json").write_text("{")
    found = verify(copy)
    assert len(found.problems) == 2
    assert found.holds == ()


def test_no_run_is_a_wrong_request(tmp_path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        verify(tmp_path)


def command(*arguments):
    return subprocess.run(
        [quick_command(), "verify", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=120
    )


def test_the_command(copy) -> None:
    done = command(copy)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{copy}: verified")
    (copy / "report.html").write_text("nothing is forgotten")
    done = command(copy)
    assert done.returncode == 1
    assert "WRONG: report.html is not as the report was written" in done.stdout
    document = json.loads(command(copy, "--json").stdout)
    assert document["problems"] == ["report.html is not as the report was written"]
    (copy / "report.sha256").unlink()
    assert "WRONG: report.html has no report.sha256 beside it" in command(copy).stdout
    assert command(Path(copy) / "items").returncode == 2


def imported(folder, text, *more):
    (folder / "answers.csv").write_text(text)
    options = ["--item", "item", "--variant", "variant", "--correct", "correct", "--out", str(folder / "run"), *more]
    done = subprocess.run(
        [quick_command(), "import", "table", str(folder / "answers.csv"), *options],
        check=False,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_an_imported_candidate_may_lack_a_task(tmp_path) -> None:
    answered = [("baseline", "x"), ("baseline", "y"), ("four", "x"), ("six", "x"), ("six", "y")]
    rows = [f"{variant},{task},{item},1\n" for variant, task in answered for item in "ab"]
    run = imported(tmp_path, "variant,task,item,correct\n" + "".join(rows), "--task", "task")
    assert verify(run).problems == ()
    cell = next(each for each in forgetmeter.open_run(run).run.cells if "six" in each.recipe and each.task == "y")
    (run / cell.path).unlink()
    assert verify(run).problems == (f"the answers of {cell.recipe} ({cell.model}) on y are missing",)


def test_imported_answers_have_no_models_to_check(tmp_path) -> None:
    run = imported(tmp_path, "variant,item,correct\nbaseline,a,1\nbaseline,b,0\nfour,a,0\nfour,b,0\n")
    found = verify(run)
    assert (found.problems, found.unchecked) == ((), ("models: the answers were imported",))
