"""Questions with choices from one's own file: items, judging, and files that cannot be read.

Covers ``probes.choice_problems``, ``probes.from_file.columns``, ``probes.from_file.questions``,
``probes.from_file.rows`` and ``probes.from_file.task``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.by_relation import CountsRelations
from forgetmeter.probes.loading import load_task, task_problems
from forgetmeter.records.item import Item, RequestScore, RequestScores
from forgetmeter.runs.run_store import RunStore
from forgetmeter.runs.tables.items_table import items_hash

QUESTIONS: list[dict[str, Any]] = [
    {"prompt": "Tea is", "choices": ["wet", "dry, mostly"], "answer": 0, "group": "drinks", "popularity": 7},
    {"prompt": "Ink is", "choices": ["green", "blue", "black"], "answer": ["blue", "black"], "group": "colours"},
    {"prompt": "Ice is", "choices": ["hot", "cold"], "answer": "cold", "group": "drinks", "popularity": 2.5},
]
"""Made up, like all questions below."""
ONE = {"prompt": "Tea is", "choices": ["wet", "dry"], "answer": 0}


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        columns = dict.fromkeys(key for row in rows for key in row)
        pq.write_table(pa.table({key: [row.get(key) for row in rows] for key in columns}), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            cells = [
                {key: json.dumps(each) if isinstance(each, list) else each for key, each in r.items()} for r in rows
            ]
            writer.writerows(cells)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def items_of(path: Path) -> Sequence[Item]:
    return load_task(f"file:{path}").items


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_task(f"file:{path}")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_each_choice_is_a_continuation_of_the_prompt_as_in_lm_eval(tmp_path: Path) -> None:
    task = load_task(f"file:{write(tmp_path / 'own.jsonl', QUESTIONS)}")
    assert [(item.id, item.gold) for item in task.items] == [("file/1", (0,)), ("file/2", (1, 2)), ("file/3", (1,))]
    first = task.items[0]
    assert [(one.context, one.continuation) for one in first.requests] == [
        ("Tea is", " wet"),
        ("Tea is", " dry, mostly"),
    ]
    assert first.choices == ("wet", "dry, mostly")
    assert first.fields == {"relation": "drinks", "popularity": "7"}
    assert task.items[1].fields == {"relation": "colours"}
    described = task.description
    assert (described.name, described.source, described.primary_metric) == (
        f"file:{tmp_path}/own.jsonl",
        "own.jsonl",
        "acc",
    )
    assert (described.official_size, described.remarks) == (3, ())


def test_the_formats_give_the_same_items(tmp_path: Path) -> None:
    questions = [
        {**each, "answer": each["choices"].index("wet") if "wet" in each["choices"] else 1} for each in QUESTIONS
    ]
    jsonl, table, parquet = (
        items_of(write(tmp_path / f"own{suffix}", questions)) for suffix in (".jsonl", ".csv", ".parquet")
    )
    assert jsonl == table
    rows = csv.reader((tmp_path / "own.csv").read_text(encoding="utf-8").splitlines())
    with (tmp_path / "own.tsv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t").writerows(rows)
    assert items_of(tmp_path / "own.tsv") == table
    # A column of Parquet has one type.
    assert [item.content_hash for item in parquet] == [item.content_hash for item in jsonl]


def test_a_limit_takes_the_first_of_each_group_with_unchanged_items(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", QUESTIONS)
    assert list(load_task(f"file:{path}", limit=1).items) == list(items_of(path)[:2])
    ungrouped = write(tmp_path / "plain.jsonl", [{k: v for k, v in q.items() if k != "group"} for q in QUESTIONS])
    assert [item.id for item in load_task(f"file:{ungrouped}", limit=1).items] == ["file/1"]


def test_groups_are_counted_as_relations_are(tmp_path: Path) -> None:
    bad = {**QUESTIONS[0], "answer": 5}
    task = load_task(f"file:{write(tmp_path / 'own.jsonl', [*QUESTIONS, bad])}")
    assert isinstance(task, CountsRelations)
    assert [(each.relation, each.read, dict(each.dropped)) for each in task.relations] == [
        ("drinks", 3, {"right answer not among the choices": 1}),
        ("colours", 1, {}),
    ]
    assert not isinstance(load_task(f"file:{write(tmp_path / 'plain.jsonl', [ONE])}"), CountsRelations)


def scores(*values: float) -> RequestScores:
    return RequestScores(RequestScore(value, is_greedy=False) for value in values)


def test_the_likeliest_choice_is_the_answer_and_metrics_are_those_of_lm_eval(tmp_path: Path) -> None:
    task = load_task(f"file:{write(tmp_path / 'own.jsonl', QUESTIONS)}")
    judgement = task.judge([scores(-2.0, -3.0), scores(-4.0, -3.0, -2.0), None])
    first, second = judgement.outcomes
    assert (first.correct, first.prediction, first.gold, first.rank, first.margin) == (True, "wet", "wet", 1, 1.0)
    assert (second.correct, second.prediction, second.gold, second.rank, second.margin) == (
        True, "black", "blue / black", 1, 2.0,
    )  # fmt: skip
    # -2/3 is less than -3/11.
    assert [each.metrics for each in judgement.outcomes] == [
        {"acc": 1.0, "acc_norm": 0.0},
        {"acc": 1.0, "acc_norm": 1.0},
    ]
    assert judgement.metrics == {"acc": 1.0, "acc_macro": 1.0, "acc_norm": 0.5, "acc_norm_macro": 0.5}


def test_the_best_right_choice_is_ranked_and_a_tie_goes_to_the_first(tmp_path: Path) -> None:
    task = load_task(f"file:{write(tmp_path / 'own.jsonl', QUESTIONS)}")
    lost, tied, nothing = (
        task.judge([None, answer, None]).outcomes[0]
        for answer in (scores(-1.0, -3.0, -2.0), scores(-2.0, -2.0, -2.0), scores(float("nan"), -1.0, -1.0))
    )
    assert (lost.correct, lost.prediction, lost.rank, lost.margin) == (False, "green", 2, -1.0)
    assert (tied.correct, tied.prediction, tied.rank, tied.margin) == (False, "green", 2, 0.0)
    assert (nothing.correct, nothing.prediction, nothing.rank, nothing.metrics["acc_norm"]) == (False, "", None, 0.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "damp"}, "right answer not among the choices"),
        ({"answer": 3}, "right answer not among the choices"),
        ({"answer": -1}, "right answer not among the choices"),
        ({"answer": [0, 1]}, "no choice is wrong"),
        ({"choices": ["wet", "dry", "wet"]}, "right answer is also one of the wrong choices"),
        ({"choices": ["wet", " "]}, "a choice is empty"),
        ({"choices": ["wet"]}, "fewer than two choices"),
        ({"choices": None}, "fewer than two choices"),
        ({"answer": None}, "answer is missing"),
        ({"answer": float("nan")}, "answer is missing"),
        ({"prompt": "  "}, "prompt is missing"),
        ({"prompt": None}, "prompt is missing"),
    ],
)
def test_one_bad_question_is_left_out_and_a_file_of_them_is_refused(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    items = items_of(write(tmp_path / "own.jsonl", [ONE, {**ONE, **change}, {**ONE, "prompt": "Fire is"}]))
    assert [item.problem for item in items] == [None, reason, None]
    said = refusal(write(tmp_path / "bad.jsonl", [{**ONE, **change}] * 2))
    assert said.endswith(f"bad.jsonl' line 1: {reason}, and no other item of the file is valid either")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prompt": 3}, "line 2: 'prompt' is 3, not text"),
        ({"choices": "wet, dry"}, "line 2: 'choices' is 'wet, dry', not a list of texts"),
        ({"choices": [1, 2]}, r"line 2: 'choices' is \[1, 2\], not a list of texts"),
        ({"answer": {"text": "wet"}}, "line 2: 'answer' is {'text': 'wet'}, not a text or an integer"),
        ({"answer": True}, "line 2: 'answer' is True, not a text or an integer"),
        ({"answer": 0.5}, "line 2: 'answer' is 0.5, not a text or an integer"),
        ({"popularity": "many"}, "line 2: 'popularity' is 'many', not a number"),
        ({"popularity": float("inf")}, "line 2: 'popularity' is inf, not a number"),
        ({"popularity": 10**400}, "line 2: 'popularity' is 1000000.*, not a number"),
        ({"id": "q\ud83d"}, r"line 2: id 'q\\ud83d' is not valid Unicode; change it"),
        ({"x\ud83d": 1}, r"line 2: column 'x\\ud83d' is not valid Unicode; rename it"),
        ({"group": "drinks"}, "line 1: 'group' is missing, but other questions have one"),
        ({"group": ["drinks"]}, r"line 2: 'group' is \['drinks'\], not text"),
        ({}, "line 2: it repeats the question in .* line 1, which would count twice; remove one of them"),
        ({"id": 7}, "line 2: it repeats the question in .* line 1, which would count twice"),
        ({"id": 1}, "line 2: id '1' is a duplicate .first in .* line 1."),
        ({"anwser": 0, "answer": ...}, "line 2: unknown column 'anwser'; did you mean 'answer'"),
        ({"popularty": 0}, "line 2: unknown column 'popularty'; did you mean 'popularity'"),
        ({"Group": "drinks"}, "line 2: unknown column 'Group'; did you mean 'group'"),
    ],
)
def test_values_of_another_type_and_misspelled_columns_are_refused_with_their_line(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    second = {key: value for key, value in {**ONE, **change}.items() if value is not ...}
    path = write(tmp_path / "own.jsonl", [ONE, second])
    with pytest.raises(UserError, match=says.replace("?", r"\?")):
        load_task(f"file:{path}")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": "b', "line 2: not valid JSON"),
        ("a.jsonl", b'{"answer": "a", "answer": "b"}\n', "line 1: duplicate key 'answer'; write"),
        ("a.jsonl", b'{"prompt": "a"}\n\n["b"]\n', "line 3: not a JSON object"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": "b", "prompt": "c"}\n', "line 2: duplicate key 'prompt'; write"),
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", '{"prompt": "a"}'.encode("utf-16"), "line 1: not valid JSON .not UTF-8.; write .* in UTF-8"),
        ("a.jsonl", b'{"prompt": "\xff"}', "line 1: not valid JSON .not UTF-8.; write .* in UTF-8"),
        ("a.csv", "prompt".encode("utf-16"), "is not UTF-8; save it as UTF-8"),
        ("a.csv", b"", "has no rows"),
        ("a.csv", b"prompt,choices,answer\n", "has no rows"),
        ("a.csv", b"prompt,prompt\na,b\n", "line 1: duplicate column 'prompt'"),
        ("a.csv", b"prompt;choices;answer\na;b;c\n", "line 1: columns must be separated by commas, not by ';'"),
        ("a.tsv", b"prompt,choices,answer\na,b,c\n", "line 1: columns must be separated by tabs, not by ','"),
        ("a.tsv", b"prompt\tchoices\tanswer\na\tb\n", "line 2: 2 values for 3 columns; put a value with tabs"),
        ("a.csv", b"prompt,choices,answer\na,b, c,d\n", "line 2: 4 values for 3 columns; put a value with commas"),
        ("a.csv", b"prompt,choices,answer\n\na,b\n", "line 3: 2 values for 3 columns"),
        ("a.csv", b"prompt,choices,answer\n" + b"a" * 200_000 + b",b,c\n", "field limit .* as JSON Lines"),
        ("a.csv", b'prompt,choices,answer\na,["b", "c"],b\n', "line 2: not valid CSV .* put a value with commas"),
        ("a.csv", b'prompt,choices,answer\n"a\nb",c,d\n"e', "line 4: not valid CSV"),
        ("a.csv", b'prompt,choices,answer\n"a\nb",c,d\n', "line 2: 'choices' is 'c', not a JSON list of texts"),
        ("a.csv", b'prompt,choices,answer\na,"[""b"", ",b\n', "line 2: 'choices' is '.\"b\", ', not a JSON list"),
        ("a.parquet", b"PAR1", "cannot be read as Parquet"),
        ("a.tab", b"prompt", "must have one of these suffixes: .jsonl, .ndjson, .csv,"),
        ("a.jsonl", b'{"question": "a"}\n', "lacks the columns 'prompt', 'choices' and 'answer'"),
        (
            "a.jsonl",
            b'{"prompt": "a", "choises": [], "answer": 0}\n',
            "lacks the column 'choices'; rename column 'choises' if it is meant to be 'choices' .questions need",
        ),
        (
            "a.csv",
            b"prompt,choices,answr\na,b,c\n",
            "lacks the column 'answer'; rename column 'answr' if it is meant to be 'answer' .questions need",
        ),
        ("a.jsonl", b'{"subject": "a", "object": "b"}\n', "lacks the column 'relation' .*facts need subject, relation"),
        (
            "a.jsonl",
            b'{"subject": "", "relation": "", "object": "", "prompt": "", "choices": [], "answer": 0}\n',
            "has the columns of both questions .*; put them into two files",
        ),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        load_task(f"file:{path}")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_byte_order_mark_windows_lines_and_empty_lines_change_nothing(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"own{suffix}", QUESTIONS[1:2])
    plain = items_of(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_bytes("\r\n\r\n".join(["", *lines, ""]).encode("utf-8-sig"))
    assert items_of(path) == plain


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [ONE, {**ONE, "prompt": "Fire is", "idx": 3, "year": None}])
    assert load_task(f"file:{path}").description.remarks == ("columns of own.jsonl that are not used: idx, year",)


def test_an_id_names_the_item_and_belongs_to_its_content(tmp_path: Path) -> None:
    named, numbered, other = (
        items_of(write(tmp_path / "own.jsonl", [{**ONE, **more}]))[0] for more in ({"id": "tea/1"}, {}, {"id": 7})
    )
    assert [item.id for item in (named, numbered, other)] == ["file/tea/1", "file/1", "file/7"]
    assert len({item.content_hash for item in (named, numbered, other)}) == 3


@pytest.mark.parametrize(
    ("choices", "answer", "gold"),
    [
        (["wet", "dry"], "1", (1,)),
        (["1788", "1789"], "1789", (1,)),
        (["3", "1", "2"], "1", (1,)),
        (["3", "1", "2"], "[0]", (0,)),
        (["3", "1", "2"], '["2"]', (2,)),
        (["wet", "dry", "damp"], '["wet", "damp"]', (0, 2)),
        (["[wet]", "dry"], "[wet]", (0,)),
        (["wet", "dry"], "1.0", (1,)),
        (["1788", "1789"], "1789.0", (1,)),
        (["None", "dry"], "dry", (1,)),
    ],
)
def test_an_answer_in_csv_is_a_text_or_an_index(
    tmp_path: Path, choices: list[str], answer: str, gold: tuple[int, ...]
) -> None:
    assert items_of(write(tmp_path / "own.csv", [{**ONE, "choices": choices, "answer": answer}]))[0].gold == gold


def test_an_answer_that_could_be_a_text_or_an_index_is_refused(tmp_path: Path) -> None:
    for answer in ("2", "2.0"):
        said = refusal(write(tmp_path / "own.csv", [{**ONE, "choices": ["2", "1", "0"], "answer": answer}]))
        assert (
            f"answer '{answer}' could be choice 0 or, as an index from 0, '0'; write [\"2\"] for the text, [2]" in said
        )


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("answer", "1" * 5_000, "right answer not among the choices"),
        ("answer", "[" * 100_000, "starts like a JSON list but is not valid JSON"),
        ("popularity", "1" * 5_000, "not a number"),
        ("popularity", "[" * 100_000, "not a number"),
    ],
)
def test_values_beyond_all_measure_have_a_reason(tmp_path: Path, column: str, value: str, reason: str) -> None:
    assert reason in refusal(write(tmp_path / "own.csv", [{**ONE, column: value}]))


def test_a_damaged_list_in_csv_is_refused(tmp_path: Path) -> None:
    said = refusal(write(tmp_path / "own.csv", [{**ONE, "answer": '["wet"'}]))
    assert "line 2: 'answer' is '[\"wet\"', which starts like a JSON list but is not valid JSON; put a text" in said
    path = tmp_path / "facts.csv"
    path.write_text('subject,relation,object\nItaly,capital,"[""Rome"",""Roma"""\nNorway,capital,Oslo\n')
    path.with_suffix(".yaml").write_text("templates: {capital: 'The capital of [X] is [Y].'}")
    assert "line 2: 'object' is '[\"Rome\",\"Roma\"', which starts like a JSON list but is not valid" in refusal(path)
    path.write_text('subject,relation,object\nItaly,capital,"[""[Rome""]"\nNorway,capital,Oslo\n')
    assert set(items_of(path)[0].choices) == {"[Rome", "Oslo"}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_indices_that_start_at_1_are_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"own{suffix}", [{**ONE, "answer": place} for place in (1, 2, 1)])
    line = 3 if suffix == ".csv" else 2
    assert f"line {line}: answer equals the number of choices, and no answer is 0; indices start at 0" in refusal(path)
    assert items_of(write(path, [{**ONE, "answer": place} for place in (1, 2, 0)]))[1].problem


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("file", "needs a file of questions or facts: write file:PATH"),
        ("file:", "malformed"),
        ("file:no/such.csv", "'no/such.csv' does not exist or is not a file"),
        ("file:a.txt", "must have one of these suffixes"),
        ("file:a.csv:templates=x y", "must be a list of names"),
        ("file:a.csv:ranking=all", "unknown value 'all' .allowed: statements, answers"),
        ("file:a.csv:b.csv", "given twice"),
        ("file:a.csv:templtes=0", "did you mean 'templates'"),
    ],
)
def test_wrong_names_give_a_reason(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says.replace("?", r"\?")):
        raise UserError("; ".join(task_problems(name)))


def test_options_for_facts_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", [ONE])
    with pytest.raises(UserError, match="templates and ranking are options for facts, but '.*' has questions"):
        load_task(f"file:{path}:ranking=answers")


def test_changed_groups_are_noticed_when_a_run_is_extended(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "choices": ["a", "b"], "answer": "a", "group": f"g{n % 2}"} for n in range(4)]
    path, store = write(tmp_path / "own.jsonl", rows), RunStore(str(tmp_path / "run"))
    task = load_task(f"file:{path}")
    store.write_items(task.description, task.items)
    store.check_items(task.description, task.items)
    write(path, [{**row, "group": "g0"} for row in rows])
    changed = load_task(f"file:{path}")
    assert items_hash(changed.items) == items_hash(task.items)
    with pytest.raises(UserError, match="the definition of task 'file:.*' changed since the run"):
        store.check_items(changed.description, changed.items)
    write(path, [{key: value for key, value in row.items() if key != "group"} for row in rows])
    without = load_task(f"file:{path}")
    with pytest.raises(UserError, match="hash of its metrics, filters and groups: .*; now: none"):
        store.check_items(without.description, without.items)
