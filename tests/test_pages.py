"""The tutorial and the guides run as they are and show what their commands and their Python print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from quick_commands import quick_command

from run_pages import PAGES, PREPARATIONS, printed_by, with_outputs

_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")
_TIME = re.compile(r"\d+(?:\.\d+)? (?:s|min)\b")


def words(text: str) -> list[str]:
    """Return the text's words, without times, numbers and column widths."""
    return re.sub(r"─+", "─", _NUMBER.sub("N", _TIME.sub("TIME", text))).split()


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in _NUMBER.findall(_TIME.sub("", text))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_runs_and_shows_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("run_pages.COMMANDS", Path(quick_command()).parent)
    PREPARATIONS.get(path, lambda: None)()
    page = path.read_text()
    current = with_outputs(page)
    hint = "run python tools/run_pages.py --write, and read what changed"
    assert words(current) == words(page), hint
    # An answer or two may differ between processors.
    for now, shown in zip(numbers(current), numbers(page), strict=True):
        assert now == pytest.approx(shown, rel=0.03, abs=1), hint


def test_a_command_that_fails_is_not_an_output() -> None:
    with pytest.raises(Exception, match="exit status 3"):
        printed_by("echo half; exit 3")


def test_only_outputs_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = '```json title="a.json"\n{"a":\n1}\n```\n\n```console\n$ cat a.json\n{"a":\n1}\n```\n\n'
    page += "A\n\n```console\n$ echo one > a; \\\n  cat a\nstale\n$ cat a\n```\n\nB\n\n```python\nx = 1\n```\n\n"
    page += "```python\nprint(x + 1)\n```\n\n```text\nstale\n```\n\nC\n"
    current = with_outputs(page)
    assert current == page.replace("cat a\nstale\n$ cat a\n", "cat a\none\n$ cat a\none\n").replace("stale", "2")
