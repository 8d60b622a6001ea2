"""Bad lines in a task's own files are refused by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval.json_files import refuse_bad_lines

GOOD = '{"q": "A", "label": 1}\n'


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("[1, 2]", "changed from object to array"),
        ('{"q": "A", "q": "B"}', "was specified twice"),
        ('{"q": "\\ud800"}', "surrogate pair in string is invalid"),
        ('{"q": "A"', "Missing a comma"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "[{}]", "{test}"])
def test_a_bad_line_is_named(tmp_path: Path, bad: str, says: str, form: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(f"{GOOD}\n{bad}\n{GOOD}")
    files = {"{}": str(path), "[{}]": [str(path)], "{test}": {"test": [str(path)]}}[form]
    with pytest.raises(
        UserError, match=rf"^task 'own': '{path}' line 3 cannot be read \(.*{says}.*\); fix or remove it$"
    ):
        refuse_bad_lines("own", {"data_files": files})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n", "is empty; write a JSON object in each line"),
        (b'{"q": "\xe9"}\n', "line 1 cannot be read .'utf-8' codec"),
    ],
)
def test_a_file_that_is_empty_or_not_utf_8_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^task 'own': '{path}' {says}"):
        refuse_bad_lines("own", {"data_files": str(path)})


def test_other_files_pass(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_text(GOOD * 2)
    (tmp_path / "list.json").write_text(f"[\n{GOOD},\n{GOOD}]")
    refuse_bad_lines(
        "own", {"data_files": [str(tmp_path / name) for name in ("lines.jsonl", "list.json", "none.json")]}
    )
    refuse_bad_lines("own", {})


@pytest.mark.parametrize("text", ['{"q": "A", "q": "B"}', '[{"q": "A"}, {"q": {"a": 1, "a": 2}}]'])
def test_a_duplicate_key_in_a_single_document_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"^task 'own': '{path}' cannot be read \(duplicate key '[qa]'\); fix it$"):
        refuse_bad_lines("own", {"data_files": str(path)})
