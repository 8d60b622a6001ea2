"""Perplexity of a text file, against explicit arithmetic.

Covers ``probes.on_text.text_file``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from forgetmeter.errors import UserError
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task, task_problems
from forgetmeter.records.item import TextAnswer
from forgetmeter.scoring.engine import Engine


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "made up.txt"
    path.write_text("\n One two\nthree. \n \n\nvier fünf\n\n\n", encoding="utf-8")
    return path


def test_paragraphs_are_items(text: Path) -> None:
    task = load_task(f"perplexity:file={text}")
    assert [(item.id, item.asks.text) for item in task.items] == [
        ("perplexity/0", "One two\nthree."),
        ("perplexity/1", "vier fünf"),
    ]
    assert len({item.content_hash for item in task.items}) == 2
    assert (task.description.official_size, len(load_task(f"perplexity:file={text}", limit=1).items)) == (2, 1)


def test_lines_of_jsonl_are_items(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in ("a\n\nb", " ", "c")))
    assert [item.asks.text for item in load_task(f"perplexity:file={path}").items] == ["a\n\nb", "c"]


@pytest.mark.parametrize("line", ["{}", '{"text": null}', '{"text": 3}', '{"text": ["a"]}', '{"words": "a"}'])
def test_a_line_without_text_is_left_out_counted_and_named(tmp_path: Path, line: str, llama_folder: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join([json.dumps({"text": "The one."}), line, json.dumps({"text": "The other."})]))
    task = load_task(f"perplexity:file={path}")
    assert [item.problem for item in task.items] == [None, "line without text", None]
    assert task.description.official_size == 3
    judgement = task.judge([TextAnswer(-6.0, 4), None, TextAnswer(-4.0, 6)])
    assert [outcome.item_id for outcome in judgement.outcomes] == ["perplexity/0", "perplexity/2"]
    prepared = Engine(load(llama_folder)).prepare(task.items)
    assert prepared.dropped == {"line without text": 1}
    assert prepared.first_dropped() == {"line without text": "perplexity/1"}


def test_a_file_without_any_text_or_with_a_line_that_is_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": null}\n{"words": "a"}\n')
    with pytest.raises(UserError, match="contains no text"):
        load_task(f"perplexity:file={path}")
    path.write_text('{"text": "a"}\n{"text": "b')
    with pytest.raises(UserError, match="line 2: not valid JSON"):
        load_task(f"perplexity:file={path}")


def test_another_window_is_another_question(text: Path) -> None:
    (short, _), (whole, _) = (load_task(f"perplexity:file={text}{more}").items for more in (":window=8", ""))
    assert (short.asks.window, whole.asks.window) == (8, None)
    assert short.content_hash != whole.content_hash


def test_metrics_by_hand(text: Path) -> None:
    judgement = load_task(f"perplexity:file={text}").judge([TextAnswer(-6.0, 4), TextAnswer(-4.0, 6)])
    assert judgement.metrics == pytest.approx(
        {
            "word_perplexity": math.exp(10 / 5),
            "byte_perplexity": math.exp(10 / 24),
            "token_perplexity": math.exp(10 / 10),
            "bits_per_byte": 10 / 24 / math.log(2),
        }
    )
    second = judgement.outcomes[1]
    assert (second.correct, second.loglikelihoods) == (None, (-4.0,))
    assert second.metrics == {"words": 2, "bytes": 10, "tokens": 6, "bits_per_byte": 0.4 / math.log(2)}


def test_overflowing_perplexity_is_infinite(text: Path) -> None:
    assert (
        load_task(f"perplexity:file={text}").judge([TextAnswer(-1e6, 4), None]).metrics["word_perplexity"] == math.inf
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("perplexity", "needs a text file: write perplexity:file=PATH"),
        ("perplexity:file=no/such", "text file 'no/such' does not exist"),
        ("perplexity:file=a:window=0", "must be a positive integer, not '0'"),
        ("perplexity:file=a:window=many", "must be a positive integer, not 'many'"),
        ("perplexity:file=C:/a", "malformed"),
        ("perplexity:text=a", "no option 'text' .allowed: file, window"),
    ],
)
def test_wrong_names_give_a_reason(name: str, says: str) -> None:
    (problem,) = task_problems(name)
    with pytest.raises(UserError, match=says):
        raise UserError(problem)


@pytest.mark.parametrize("name", ["marked.txt", "marked.jsonl"])
def test_a_byte_order_mark_is_not_text_and_elsewhere_it_is(tmp_path: Path, name: str) -> None:
    texts = ("The inn", "in \ufeff it")
    content = "\n\n".join(texts if name.endswith(".txt") else [json.dumps({"text": text}) for text in texts])
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    plain = load_task(f"perplexity:file={path}").items
    path.write_text(content, encoding="utf-8-sig")
    assert load_task(f"perplexity:file={path}").items == plain
    assert tuple(item.asks.text for item in plain) == texts


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n \n"])
@pytest.mark.parametrize(("name", "says"), [("bad.txt", "contains no text"), ("bad.jsonl", "is empty")])
def test_a_byte_order_mark_alone_is_an_empty_file(tmp_path: Path, name: str, says: str, mark: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(mark)
    with pytest.raises(UserError, match=says):
        load_task(f"perplexity:file={path}")


@pytest.mark.parametrize(("content", "says"), [(b"\n \n", "contains no text"), (b"\xff\xfe", "not UTF-8")])
def test_files_without_text_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        load_task(f"perplexity:file={path}")
