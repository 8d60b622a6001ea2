"""Names, texts and answers from outside neither act nor hide in any format: page, Markdown, LaTeX, CSV and JSON.

Covers ``report.formats.csv_text``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile_run import HALF, INT8, MOST, write_hostile_run
from typer.testing import CliRunner

from forgetmeter.cli.main import app
from forgetmeter.report.formats.csv_text import csv_text
from forgetmeter.report.written_report import make_report
from forgetmeter.results.results import open_run

MARKUP = "</script><script>hacked=1</script><img src=x onerror=alert(1)><!-- {{7*7}} &lt;"
LATEX = r"\input{/etc/passwd} $x_1$ ^^5cinput 50% #1 ~"
MARKDOWN = "a|b `c` [link](javascript:x)"
CONTROL = "\x1b[31m \x00 \x9b31m \u202eevil\u2066 \x7f"
LINES = "\n two\r\n three\u2028four\u2029five\x85six"
BAD = f"=cmd|'/C calc'!A1 {MARKUP} {LATEX} {MARKDOWN} {CONTROL} {LINES}"
# A model's name has one line.
MODEL = f"./{MARKUP.replace('/', '-')} {LATEX.replace('/', '-')} {MARKDOWN} {CONTROL}"
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("hostile_run.SCRIPT", BAD)
    monkeypatch.setattr("hostile_run.RELATION", BAD)
    right = {"baseline": [True] * 24, HALF: [False] * 24, INT8: [True] * 23 + [False]}
    return write_hostile_run(str(tmp_path / "run"), right, model=MODEL, words=BAD, failed={MOST: BAD})


class Scripts(HTMLParser):
    """Collects the content of the page's scripts and the names of its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.names: set[str] = set()
        self.events: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts[-1] += data


def test_the_report_shows_them_as_text(location: str) -> None:
    files = {path: content.decode() for path, content in make_report(open_run(location)).items() if "png" not in path}
    for path, text in files.items():
        assert not UNSEEN.search(text), path
        names_none = "figures" in path or path in ("tables/references.bib", "run.sha256")
        assert "\\x1b[31m" in text or "x1b" in text or names_none, path
    page = Scripts(files["report.html"])
    assert "img" not in page.names
    assert not page.events
    assert len(page.scripts) == 3
    (ledger,) = (json.loads(script) for script in page.scripts if script.strip().startswith("{"))
    assert any("</script>" in text and "\\u202e" in text for text in ledger["tasks"][0]["strings"])

    tables = files["tables/results.md"]
    assert not re.search(r"(?<!\\)[<$]", tables)
    bars = [len(re.findall(r"(?<!\\)\|", line)) for line in tables.splitlines() if line.startswith("|")]
    assert set(bars) == {8}, "only the tables' own bars separate cells"

    latex = files["tables/results.tex"]
    assert r"\textbackslash{}input" in latex
    for line in latex.splitlines():
        if not line.startswith("%"):
            assert r"\input" not in line
            assert not re.search(r"(?<!\\)(%|#|\$x)|\^\^|~", line)


def rows(text: str) -> list[list[str]]:
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert {len(row) for row in found} == {len(found[0])}
    return found


def is_number(cell: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.]+(e[-+]\d+)?", cell) is not None


@pytest.mark.parametrize("arguments", [["show"], ["forgotten", "--recipe", HALF]])
def test_a_spreadsheet_computes_nothing_of_csv(location: str, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [arguments[0], location, *arguments[1:], "--format", "csv"])
    assert result.exit_code == 0, result.output
    assert not UNSEEN.search(result.output)
    found = [cell for row in rows(result.output) for cell in row]
    assert not [cell for cell in found if re.match(r"\s*[=+\-@]|[\t\r]", cell) and not is_number(cell)]
    assert any(cell.startswith("'=cmd") for cell in found)
    assert [cell for cell in found if cell.startswith("-") and is_number(cell)], "numbers stay numbers"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        (" =1+1", "' =1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\tx", "'\tx"),
        ("＝1", "'＝1"),
        ("-5", "-5"),
        ("+0.25", "+0.25"),
        ("a=b", "a=b"),
        ("\r=1", "\\x0d=1"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_texts_in_csv(text: str, written: str) -> None:
    assert rows(csv_text(["=column"], [[text]])) == [["'=column"], [written]]


def test_numbers_in_csv_stay_as_they_are() -> None:
    assert csv_text(["a", "b", "c", "d"], [[-0.5, -3, None, True]]) == "a,b,c,d\n-0.5,-3,,True\n"


@pytest.mark.parametrize("format", ["latex", "markdown", "json", "table"])
def test_no_format_sends_control_characters(location: str, format: str) -> None:
    result = CliRunner().invoke(app, ["show", location, "--format", format])
    assert result.exit_code == 0, result.output
    assert not UNSEEN.search(result.output)
    if format == "latex":
        assert r"\x1b" not in result.output.replace("% ", "\0").split("\0")[0], "an undefined command"
