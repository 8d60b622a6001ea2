"""Answers in tables of each format, and tables that are wrong.

Covers ``importing.table.values``, ``importing.table.answer``, ``importing.imported_run``,
``cli.commands.import_command``, ``records.imported`` and ``report.words.origin_words``.
"""

from __future__ import annotations

import csv
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from quick_commands import forgetmeter

from forgetmeter.errors import UserError
from forgetmeter.importing.imported_run import write_imported
from forgetmeter.importing.table.table import TableColumns, import_table
from forgetmeter.report.formats.ledger_text import ledger_text
from forgetmeter.report.formats.show_text import show_text
from forgetmeter.report.written_report import make_report
from forgetmeter.results.results import Results, open_run

COLUMNS = TableColumns(item="id", variant="model", correct="ok")

Row = Mapping[str, Any]


def row(item: object, model: str, ok: object, **more: object) -> Row:
    return {"id": item, "model": model, "ok": ok, **more}


def write_table(path: Path, rows: Sequence[Row]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            names = list(dict.fromkeys(name for each in rows for name in each))
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(
                {name: json.dumps(value) if isinstance(value, (list, bool)) else value for name, value in each.items()}
                for each in rows
            )
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def imported(path: Path, columns: TableColumns = COLUMNS, **options: Any) -> Results:
    write_imported(import_table(path, columns, **options), str(path.parent / "run"))
    return open_run(path.parent / "run")


def refused(path: Path, columns: TableColumns = COLUMNS, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        imported(path, columns, **options)
    assert "\n" not in str(error.value)
    assert not (path.parent / "run").exists()
    return str(error.value).replace(str(path), path.name)


FOUR = [
    row(1, "baseline", True, prediction="Paris", gold="Paris", rel="capital", q="Capital of France?"),
    row(2, "baseline", True, prediction="Rome", gold="Rome", rel="capital", q="Capital of Italy?"),
    row(3, "baseline", False, prediction="10", gold="12", rel="sum", q="5 + 7?"),
    row(4, "baseline", False, prediction="1", gold="2", rel="sum", q="1 + 1?"),
    row(2, "int4", False, prediction="Paris", gold="Rome", rel="capital", q="Capital of Italy?"),
    row(1, "int4", True, prediction="Paris", gold="Paris", rel="capital", q="Capital of France?"),
    row(4, "int4", True, prediction="2", gold="2", rel="sum", q="1 + 1?"),
    row(3, "int4", False, prediction="12 or 13", gold="12", rel="sum", q="5 + 7?"),
]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_run(tmp_path: Path, suffix: str) -> None:
    path = write_table(tmp_path / f"mine.{suffix}", FOUR)
    columns = TableColumns(
        item="id", variant="model", correct="ok", prediction="prediction", gold="gold", relation="rel", question="q"
    )
    results = imported(path, columns)
    (cell,) = [cell for cell in results.summary.cells if cell.recipe != "baseline"]
    assert (cell.model, cell.recipe, cell.task) == ("answers:baseline", "candidate(answers:int4)", "mine")
    assert (cell.items, cell.forgotten, cell.gained) == (4, 1, 1)
    assert cell.prediction_flips == 0.75
    ledger = results.forgotten("candidate(answers:int4)")
    assert ledger["status"].tolist() == ["kept", "forgotten", "wrong", "gained"]
    assert ledger["statement"].tolist()[1] == "Capital of Italy?"
    assert (ledger["gold"][1], ledger["before"][1], ledger["after"][1]) == ("Rome", "Rome", "Paris")
    assert ledger["relation"].tolist() == ["capital", "capital", "sum", "sum"]
    assert f"Imported from a table (mine.{suffix}): answers:baseline; answers:int4." in show_text(results.summary)
    assert "Variants · sizes" not in show_text(results.summary)
    assert b"SHA-256" in make_report(results)["report.html"]
    assert len(results.outcomes) == 8


def test_only_right_or_wrong_is_enough(tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "a.csv", [row(1, "baseline", 1), row(1, "b", 0), row(2, "baseline", 1), row(2, "b", 1)]
    )
    results = imported(path, TableColumns(item="id", variant="model", correct="ok", task="trivia"))
    cell = results.summary.cells[1]
    assert (cell.task, cell.forgotten, cell.retained and cell.retained.value) == ("trivia", 1, 0.5)
    # Nothing is known of the predictions, so their share of changes is unknown, not zero.
    assert (cell.prediction_flips, cell.p_chance) == (None, None)
    text = ledger_text(results.ledgers("answers:b")[0], [], status="forgotten", total=0, width=100).plain
    assert "to determine this takes more than 10 choices, or a second phrasing" in text
    (entry,) = [entry for entry in results.ledgers("answers:b")[0].entries if entry.status == "forgotten"]
    lines = ledger_text(results.ledgers("answers:b")[0], [entry], status="forgotten", total=1, width=100).plain
    assert lines.splitlines()[-3:] == ["question", "────────", "1"]


def test_log_likelihoods_give_ranks_margins_and_guessing(tmp_path: Path) -> None:
    rows = [
        row(1, "baseline", True, ll=[-1.0, -2.0, -3.0], gold=0),
        row(2, "baseline", True, ll=[-1.0, -2.0], gold=0),
        row(1, "b", False, ll=[-2.0, -1.5, -3.0], gold=0),
        # Right by another measure than these: no rank follows.
        row(2, "b", True, ll=[-2.0, -1.0], gold=0),
    ]
    columns = TableColumns(item="id", variant="model", correct="ok", loglikelihoods="ll", gold="gold")
    for suffix in ("csv", "jsonl"):
        (tmp_path / suffix).mkdir()
        results = imported(write_table(tmp_path / suffix / f"a.{suffix}", rows), columns)
        outcomes = results.outcomes
        assert outcomes["rank"].fillna(0).tolist() == [1, 1, 2, 0]
        assert outcomes["margin"].fillna(9).tolist() == [1.0, 1.0, -0.5, 9]
        assert outcomes["prediction"].tolist() == ["0", "0", "1", ""]
        cell = results.summary.cells[1]
        assert cell.p_chance is not None
        assert cell.divergence == pytest.approx(_divergence(rows), rel=1e-4)
        assert results.summary.cells[0].chance == pytest.approx((1 / 3 + 1 / 2) / 2)


def _divergence(rows: Sequence[Row]) -> float:
    """Mean Kullback-Leibler divergence of the first two rows from the last two, by definition."""
    found = []
    for before, after in zip(rows[:2], rows[2:], strict=True):
        one, other = ([math.exp(value) for value in each["ll"]] for each in (before, after))
        found.append(
            sum(a / sum(one) * math.log((a / sum(one)) / (b / sum(other))) for a, b in zip(one, other, strict=True))
        )
    return sum(found) / 2


def test_the_place_of_the_right_answer_may_be_a_decimal_as_pandas_writes_it(tmp_path: Path) -> None:
    rows = [row(1, name, True, ll=[-2.0, -1.0], gold="1.0") for name in ("baseline", "b")]
    columns = TableColumns(item="id", variant="model", correct="ok", loglikelihoods="ll", gold="gold")
    results = imported(write_table(tmp_path / "a.csv", rows), columns)
    assert results.outcomes["rank"].tolist() == [1, 1]
    assert results.summary.cells[0].chance == 0.5


def test_ones_and_zeros_may_be_decimals(tmp_path: Path) -> None:
    rows = [row(1, "baseline", "1.00"), row(1, "b", "0.00"), row(2, "baseline", "1"), row(2, "b", "1.")]
    assert imported(write_table(tmp_path / "t.csv", rows)).summary.cells[1].forgotten == 1
    rows[1]["ok"] = "0.50"
    (tmp_path / "half").mkdir()
    assert "'ok' is '0.50' (allowed: true and false, or 1 and 0)" in refused(write_table(tmp_path / "half/t.csv", rows))


def test_places_of_right_answers_that_start_at_1_are_refused(tmp_path: Path) -> None:
    columns = TableColumns(item="id", variant="model", correct="ok", loglikelihoods="ll", gold="gold")
    lists = [[-1.0, -2.0, -3.0], [-2.0, -1.0, -3.0], [-2.0, -1.0, -3.0], [-3.0, -2.0, -1.0]]
    rows = [
        row(item, name, place == best, ll=lists[best], gold=place + 1)
        for name, bests in (("baseline", (0, 1, 1)), ("b", (0, 0, 1)))
        for item, (place, best) in enumerate(zip((0, 1, 1), bests, strict=True))
    ]
    said = refused(write_table(tmp_path / "a.csv", rows), columns)
    assert "line 2: the index of the right answer is 1, but the column that says whether answers are right" in said
    assert said.endswith("number them from 0")
    from_0 = [each | {"gold": each["gold"] - 1} for each in rows]
    assert imported(write_table(tmp_path / "a.csv", from_0), columns).outcomes["rank"].notna().all()


@pytest.mark.parametrize(
    ("places", "says"),
    [
        (
            (0, 2),
            "line 3: 'gold' is '2', which is not an index of its 2 log-likelihoods, unlike 0 in 't.csv' line 2 ",
        ),
        ((1, -1), "line 3: 'gold' is '-1', which is not an index"),
        (
            (1, "B"),
            "line 3: 'gold' is 'B', which is not an index of its 2 log-likelihoods, unlike 1 in 't.csv' line 2",
        ),
        (("B", 0), "line 2: 'gold' is 'B', which is not an index"),
        ((7, 9), "line 2: 'gold' is '7', which is not an index of its 2 log-likelihoods (allowed: 0 to 1); write"),
        (("Rome", "1945"), None),
        (("Rome", 2), None),
        ((0, ""), None),
    ],
)
def test_a_right_answer_that_is_no_place_is_refused(
    tmp_path: Path, places: tuple[object, object], says: str | None
) -> None:
    rows = [
        row(item, name, name == "b", ll=[-1.0, -2.0], gold=place)
        for name in ("baseline", "b")
        for item, place in enumerate(places)
    ]
    columns = TableColumns(item="id", variant="model", correct="ok", loglikelihoods="ll", gold="gold")
    path = write_table(tmp_path / "t.csv", rows)
    if says is not None:
        assert says in refused(path, columns)
    else:
        assert imported(path, columns).summary.cells[1].items == 2


def test_answers_that_are_right_by_another_measure_are_counted(tmp_path: Path) -> None:
    rows = [row(item, name, True, ll=[-1.0, -2.0], gold=0) for name in ("baseline", "b") for item in range(4)]
    rows[5] = rows[5] | {"ok": False}
    rows[6] = rows[6] | {"ll": [math.nan, -2.0]}
    columns = TableColumns(item="id", variant="model", correct="ok", loglikelihoods="ll", gold="gold")
    results = imported(write_table(tmp_path / "t.jsonl", rows), columns)
    assert {name: said["notes"] for name, said in results.study["imported"].items()} == {
        "answers:baseline": [],
        "answers:b": [
            "t: right and wrong do not follow from the log-likelihoods in 1 of 3 answers (first: item 1); these "
            "have no rank or margin"
        ],
    }


def test_an_answer_that_is_not_a_number_is_wrong(tmp_path: Path) -> None:
    rows = [row(each, model, True, ll=[-1.0, -2.0], gold=0) for model in ("baseline", "b") for each in (1, 2)]
    rows[3] = rows[3] | {"ll": [math.nan, -2.0]}
    columns = TableColumns(item="id", variant="model", correct="ok", loglikelihoods="ll", gold="gold")
    cell = imported(write_table(tmp_path / "a.jsonl", rows), columns).summary.cells[1]
    assert (cell.right, cell.not_numbers) == (1, 1)


def test_items_of_only_some_variants_are_counted(tmp_path: Path) -> None:
    rows = [row(each, "full", True) for each in range(5)] + [row(each, "b", True) for each in (3, 4, 5, 6, 7)]
    path = write_table(tmp_path / "a.csv", rows)
    results = imported(path, baseline="full")
    assert results.summary.cells[1].items == 2
    said = " ".join(show_text(results.summary, width=200).split())
    assert "answers:b: a: no answer to 3 of the baseline's 5 items." in said
    assert "answers:b: a: 3 answers to items that the baseline did not answer are left out." in said


def test_several_tasks(tmp_path: Path) -> None:
    rows = [row(1, name, True, task=task) for name in ("baseline", "b") for task in ("one", "two")]
    rows += [row(1, "baseline", True, task="three"), row(1, "b", True, task="four")]
    path = write_table(tmp_path / "a.parquet", rows)
    results = imported(path, TableColumns(item="id", variant="model", correct="ok", task="task"))
    assert [task.task for task in results.summary.tasks] == ["one", "two"]
    notes = [note for said in results.study["imported"].values() for note in said["notes"]]
    assert notes == [
        "tasks left out, since the baseline did not answer them: four",
        "tasks left out, since no other variant answered them: three",
    ]


@pytest.mark.parametrize(("column", "name"), [("task", "Task"), ("Task", "task"), ("task", "tasks")])
def test_a_misspelled_column_of_tasks_is_not_the_name_of_one(tmp_path: Path, column: str, name: str) -> None:
    rows = [row(each, model, True, **{column: "ab"[each]}) for model in ("baseline", "b") for each in range(2)]
    columns = TableColumns(item="id", variant="model", correct="ok", task=name)
    said = refused(write_table(tmp_path / "t.csv", rows), columns)
    assert said == f"'t.csv' has no column '{name}'; write --task {column}, or give the task another name"


def test_tasks_that_would_share_a_file_are_refused(tmp_path: Path) -> None:
    rows = [row(1, name, True, task=task) for name in ("baseline", "b") for task in ("a:x/y", "a:x%2Fy")]
    path = write_table(tmp_path / "t.jsonl", rows)
    columns = TableColumns(item="id", variant="model", correct="ok", task="task")
    assert refused(path, columns) == (
        "tasks 'a:x/y' and 'a:x%2Fy' would be stored in the same file; rename one of them"
    )


def test_a_column_without_a_name_is_not_the_task(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,model,ok,\n1,baseline,1,\n1,b,0,\n")
    assert [cell.right for cell in imported(path).summary.cells] == [1, 0]


def test_a_run_gains_candidates_and_nothing_else(tmp_path: Path) -> None:
    rows = [row(1, name, True) for name in ("baseline", "a", "b")]
    path = tmp_path / "t.csv"
    imported(write_table(path, rows[:2]))
    assert len(imported(write_table(path, rows)).summary.cells) == 3
    with pytest.raises(UserError, match="holds a run of another study"):
        imported(write_table(path, [row(1, "baseline", False), *rows[1:]]))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [row(1, "a", True), row(1, "b", True)],
            "no variant named 'baseline'; name the baseline with --baseline (allowed: a,",
        ),
        ([row(1, "baseline", True)], "there is nothing to compare the baseline with"),
        (
            [row(1, "baseline", True), row(1, "b", True), row(1, "b", False)],
            "line 4: a second answer by 'b' to item '1' (the first is in 't.csv' line 3); keep one",
        ),
        (
            [row(1, "baseline", True), row(1, "b", 1)],
            "line 3: 'ok' is 1, but true in 't.csv' line 2; write either true and false or 1 and 0",
        ),
        ([row(1, "baseline", 0), row(1, "b", 2)], "line 3: 'ok' is '2' (allowed: true and false, or 1 and 0"),
        ([row(1, "baseline", "yes")], "line 2: 'ok' is 'yes' (allowed"),
        ([row(1, "baseline", True), row("", "b", True)], "line 3: 'id' is missing; fill it in"),
        ([row(1, "baseline", True), row(1, " ", True)], "line 3: 'model' is missing"),
        ([row(1, "baseline", True), row(1, "b", "")], "line 3: 'ok' is missing"),
        ([row(1, "baseline", True), row(2, "b", True)], "'b' answered none of the baseline's items"),
    ],
)
def test_wrong_tables_are_refused_with_the_line(tmp_path: Path, rows: Sequence[Row], says: str) -> None:
    assert says in refused(write_table(tmp_path / "t.csv", rows))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"gold": ("a", "b")}, "line 2: 'gold' is 'b', but 'a' in 't.jsonl' line 1, which is for the same item"),
        ({"rel": ("a", None)}, "line 2: 'rel' is '', but 'a' in 't.jsonl' line 1"),
        ({"ll": ([-1.0], [-1.0, -2.0])}, "line 2: 2 log-likelihoods, but 1 in 't.jsonl' line 1"),
        ({"ll": ([-1.0], "high")}, "line 2: 'll' is 'high'; write the log-likelihood of each choice as a list"),
        ({"ll": ([-1.0], [True])}, "line 2: 'll' is [True]"),
        ({"ll": ([-1.0], [10**400])}, "line 2: 'll' is [1000"),
        ({"ll": ([-1.0], [0.7])}, "line 2: 'll' has 0.7, but a log-likelihood cannot be above 0; write the nat"),
        ({"rel": ("a", ["a"])}, "line 2: 'rel' is ['a'], which is neither text nor a number"),
    ],
)
def test_rows_about_one_item_agree(tmp_path: Path, more: Mapping[str, tuple[object, object]], says: str) -> None:
    rows = [
        row(1, name, True, **{column: values[place] for column, values in more.items()})
        for place, name in enumerate(("baseline", "b"))
    ]
    (column,) = more
    option = {"gold": "gold", "rel": "relation", "ll": "loglikelihoods"}[column]
    columns = TableColumns(item="id", variant="model", correct="ok", **{option: column})
    assert says in refused(write_table(tmp_path / "t.jsonl", rows), columns)


def test_a_json_line_that_breaks_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    line = json.dumps(row(1, "baseline", True))
    path.write_text(
        "".join(f'{{"id": {each}, "model": "baseline", "ok": true}}\n' for each in range(71_231)) + line[:20]
    )
    assert "t.jsonl' line 71232: not valid JSON" in refused(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", "id,model,ok\n1,baseline\n", "line 2: 2 values for 3 columns; put a value with commas"),
        ("t.csv", 'id,model,ok\n1,"base', "line 2: not valid CSV (unexpected end of data)"),
        ("t.csv", "id,model,okay\n1,a,1\n", "unknown column 'ok' in 't.csv'; did you mean 'okay'? (allowed: id, model"),
        ("t.csv", "id,model,ok,ok\n1,a,1,1\n", "line 1: duplicate column 'ok'"),
        ("t.csv", "id,model,ok\n", "'t.csv' has no rows"),
        ("t.csv", b"id,model,ok\n\xff,a,1\n", "'t.csv' is not UTF-8"),
        ("t.jsonl", "[1]\n", "line 1: not a JSON object"),
        ("t.parquet", "id,model,ok\n", "'t.parquet' cannot be read as Parquet"),
        ("t.xlsx", "", "must have one of these suffixes: .jsonl, .ndjson,"),
        ("t.csv", None, "'t.csv' does not exist"),
    ],
)
def test_unreadable_tables(tmp_path: Path, name: str, content: str | bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    assert says in refused(tmp_path / name)


def test_texts_that_utf_8_cannot_encode_are_escaped(tmp_path: Path) -> None:
    rows = [row("\ud800", name, True, p="\udfff") for name in ("baseline", "b\udcff")]
    results = imported(
        write_table(tmp_path / "t.jsonl", rows),
        TableColumns(item="id", variant="model", correct="ok", prediction="p"),
    )
    assert results.outcomes["prediction"].tolist() == ["\\udfff"] * 2
    assert results.summary.cells[1].recipe == "candidate(answers:b%5Cudcff)"


def test_line_breaks_in_values_do_not_shift_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,model,ok\n"a\nb",baseline,1\n\nc,baseline,maybe\n')
    assert "line 5: 'ok' is 'maybe'" in refused(path)


def test_the_baseline_must_be_in_the_table(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", FOUR)
    assert "unknown baseline 'int8' in column 'model'; did you mean 'int4'?" in refused(path, baseline="int8")


def test_nothing_heavy_is_imported_and_100_000_answers_take_seconds(tmp_path: Path) -> None:
    random.seed(0)
    path = tmp_path / "t.csv"
    lines = (f"{item},{name},{random.randrange(2)}" for name in ("baseline", "b") for item in range(50_000))
    path.write_text("id,model,ok\n" + "\n".join(lines) + "\n")
    program = (
        "import sys, time; from forgetmeter.cli.commands.import_command import import_app\n"
        "start = time.process_time(); import_app(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'lm_eval'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time() - start)"
    )
    options = ("--item", "id", "--variant", "model", "--correct", "ok", "--out", str(tmp_path / "run"))
    done = subprocess.run(
        [sys.executable, "-c", program, "table", str(path), *options], capture_output=True, text=True, check=True
    )
    heavy, _, seconds = done.stdout.splitlines()[-1].rpartition(" ")
    assert heavy == "[]"
    assert float(seconds) < 30
    start = time.process_time()
    assert open_run(tmp_path / "run").summary.cells[1].items == 50_000
    assert time.process_time() - start < 30


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", FOUR[:-1])
    arguments = ["import", "table", str(path), "--item", "id", "--variant", "model", "--correct", "ok"]
    out = str(tmp_path / "run")
    done = forgetmeter(*arguments, "--out", out)
    assert done.stdout.splitlines()[0] == f"imported 7 answers of 1 candidate and the baseline on 1 task: {out}"
    assert done.stderr == "int4: t: no answer to 1 of the baseline's 4 items\n"
    wrong = forgetmeter(*arguments, "--baseline", "none", "--out", f"{out}2", expect=2)
    assert len(wrong.stderr.splitlines()) == 1
    assert not Path(f"{out}2").exists()
