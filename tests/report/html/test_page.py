"""The report page on complete, unfinished and hostile runs."""

from __future__ import annotations

import html
import json
import re
from functools import partial
from html.parser import HTMLParser

import pytest
from hostile_run import HALF, INT8, MOST, RELATION, SCRIPT, TASK, write_hostile_run

from forgetmeter.errors import UserError
from forgetmeter.report.figures import theme
from forgetmeter.report.html import page as page_module
from forgetmeter.report.html.ledger_data import ledger_data
from forgetmeter.report.written_report import make_report
from forgetmeter.results.results import open_run
from forgetmeter.runs.record_json import record_json
from forgetmeter.runs.run_store import SCHEMA_VERSION, RunStore

KNOWN = [True] * 30 + [False] * 6
ALL = {"baseline": KNOWN, HALF: [False] * 6 + KNOWN[6:], MOST: [False] * 36, INT8: KNOWN}


class Tags(HTMLParser):
    """Collects a page's elements and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(location: str) -> str:
    return make_report(open_run(location))["report.html"].decode()


@pytest.fixture
def page(tmp_path) -> str:
    return page_of(write_hostile_run(str(tmp_path / "run"), ALL, failed={}))


def test_the_command_for_what_is_left_out_can_be_copied(tmp_path, monkeypatch):
    monkeypatch.setattr("forgetmeter.report.written_report.ledger_data", partial(ledger_data, most_entries=1))
    page = page_of(write_hostile_run(str(tmp_path / "my run"), ALL, failed={}))
    assert f"forgetmeter forgotten '{tmp_path}/my run' --recipe" in html.unescape(page)


def test_the_first_screen_has_the_answer_and_one_chart(page):
    screen = page[page.index("<main") : page.index("<nav")]
    text = " ".join(Tags(screen).text.split())
    # 6 of the 30 known facts are forgotten at 50%, all at 90%, none by int8.
    assert "It knows 83.3% of 36 facts of lama/trex (guessing: 12.5%)." in text
    assert "Pruning 90% of attention and feed-forward costs 100.0%." in text
    assert "8-bit (both) forgets 0.0% of that; the change in accuracy is not significant (drop 0.0 points, -" in text
    assert "1 of 3 recipes changes accuracy significantly." in text
    assert screen.count("<svg") == 1


def test_no_text_becomes_markup(page):
    tags = Tags(page)
    assert not tags.handlers
    assert "img" not in tags.tags
    assert tags.tags.count("script") == 3
    assert RELATION in tags.text
    assert "<i>1</i>" in tags.text


def test_the_data_match_the_stored_run(page):
    found = re.search(r'<script type="application/json" id="ledger-data">(.*?)</script>', page, re.DOTALL)
    data = json.loads(found.group(1))
    task = data["tasks"][0]
    assert any(SCRIPT in text for text in task["strings"])
    half = next(each for each in data["changes"] if (each["recipe"], each["kind"]) == (HALF, "forgotten"))
    assert half["total"] == len(half["item"]) == 6


def test_the_page_refers_to_nothing_external(page):
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*\"", page)
    assert "@import" not in page
    assert "default-src 'none'" in html.unescape(page)


def test_the_style_sheet_knows_every_colour_of_the_charts():
    style = page_module._resource("style.css")
    colours = {
        theme.INK,
        theme.MUTED,
        theme.RULE,
        theme.PAPER,
        theme.GUESSING,
        theme.NO_VALUE,
        *theme.SERIES,
        *theme.HEAT,
    }
    assert not [colour for colour in colours if f'="{colour}"]' not in style]


def test_a_baseline_alone_is_named_as_the_reason_that_nothing_is_compared(tmp_path):
    text = " ".join(
        Tags(page_of(write_hostile_run(str(tmp_path / "run"), {"baseline": KNOWN}, failed={}))).text.split()
    )
    for beginning in ("Nothing to draw", "Nothing to break down", "Nothing to compare", "Nothing to list"):
        assert f"{beginning}: the run has no outcomes of a recipe besides the baseline." in text
    assert "the run has one task" not in text
    # Nothing speaks of what was forgotten, or of variants beside each other.
    assert "What run knows" in text
    assert "Pareto-optimal" not in text.partition("Glossary")[0]
    assert "So what variants get right" not in text


def test_an_unfinished_run_lists_what_is_missing(tmp_path):
    page = page_of(write_hostile_run(str(tmp_path / "run"), {"baseline": KNOWN, HALF: KNOWN}))
    assert "Not finished: 2 of 4 cells done" in page
    assert f"missing: org/tiny, {TASK}" in page


def test_failed_cells_are_named_with_their_cause(tmp_path):
    failed = {INT8: f"RuntimeError: {SCRIPT}\nmore"}
    page = page_of(
        write_hostile_run(
            str(tmp_path / "run"), {recipe: ALL[recipe] for recipe in ("baseline", HALF, MOST)}, failed=failed
        )
    )
    text = Tags(page).text
    assert "1 cell failed" in text
    assert f"RuntimeError: {SCRIPT}" in text
    assert "img" not in Tags(page).tags


def test_a_run_without_a_baseline_says_so(tmp_path):
    page = page_of(write_hostile_run(str(tmp_path / "run"), {HALF: KNOWN, MOST: [False] * 36}))
    text = " ".join(Tags(page).text.split())
    assert "The baseline has no outcomes on lama/trex, so what was forgotten is unknown." in text
    assert "0.0% to 83.3% right" in text
    assert "<svg" not in page


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"baseline": [True], HALF: [False]}, "It knows 100.0% of 1 fact of lama/trex"),
        ({"baseline": [True] * 500, HALF: [True] * 500, INT8: [True] * 500}, "(both) costs nothing measurable"),
        ({"baseline": [False] * 9, HALF: [False] * 9}, "So there is nothing to forget."),
        ({"baseline": [False] * 9, HALF: [True] * 9}, "So there is nothing to forget."),
    ],
)
def test_extreme_tasks_are_shown(tmp_path, answers, said):
    text = " ".join(Tags(page_of(write_hostile_run(str(tmp_path / "run"), answers))).text.split())
    assert said in text
    assert "nan" not in text.lower().replace("nanos", "")


def test_a_run_without_outcomes_gives_a_one_line_error(tmp_path):
    run = open_run(write_hostile_run(str(tmp_path / "run"), {}, failed={HALF: "no room"}))
    with pytest.raises(
        UserError, match="has no outcomes to report: 1 cell failed; correct the cause and run the study again"
    ):
        make_report(run)


def test_a_run_of_a_newer_schema_gives_a_one_line_error(tmp_path):
    location = write_hostile_run(str(tmp_path / "run"), ALL)
    store = RunStore(location)
    store.folder.write("study.json", record_json({**store.read_study().document, "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(UserError, match="written by a newer forgetmeter"):
        open_run(location)
