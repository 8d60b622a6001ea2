"""The answer first: may it ship, what was forgotten, what it saves."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from made_up_run import MODEL, MadeUpTask, write_made_up_run

import forgetmeter
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.cli.commands.report_command import report_command
from forgetmeter.report.formats.model_card import model_card
from forgetmeter.report.words.decision import apart, decisions, overview, undecided
from forgetmeter.report.words.numbers import points_interval
from forgetmeter.results.gate.gating import gate
from forgetmeter.results.ledger import surest_first
from forgetmeter.results.results import open_run

PRUNED, ROUNDED = "l1_unstructured:overall:0.5", "round_to_nearest:overall:4"


def right(task, recipe, random):
    known = np.arange(task.items) % 10 < 8
    return known & (np.arange(task.items) % 5 != 0) if recipe == PRUNED else known


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    location = str(tmp_path_factory.mktemp("decision") / "run")
    return write_made_up_run(location, recipes=[PRUNED, ROUNDED], right=right, tasks=[MadeUpTask("plain", 400)])


def test_relations_that_pass_share_a_line_and_failures_come_first(tmp_path) -> None:
    def known(task, recipe, random):
        # A relation of eight is lost.
        return (task.relation != 3) | (recipe != PRUNED)

    tasks = [MadeUpTask("related", 1600, relations=8)]
    results = open_run(write_made_up_run(str(tmp_path / "run"), recipes=[PRUNED], right=known, tasks=tasks))
    policy = tmp_path / "gate.yaml"
    policy.write_text("version: 1\nconditions:\n  - drop: {max: 10pt, by: relation}\n  - drop: {max: 20pt}\n")
    (decision,) = decisions(results, gate(results, policy=policy))
    said = [(check.verdict, check.text) for check in decision.checks]
    assert said == [
        ("FAIL", "drop ≤ 10 points (related, R3)"),
        ("INCONCLUSIVE", "drop ≤ 20 points (related)"),
        ("PASS", "drop ≤ 10 points (related, 7 relations)"),
    ]


def test_what_a_reader_needs(run) -> None:
    results = open_run(run)
    pruned, rounded = decisions(results, gate(results, margin="2pt", max_size="60%"))
    assert (pruned.verdict, pruned.answer, rounded.answer) == ("FAIL", "Do not ship it.", "Do not ship it.")
    assert pruned.saves == "0.011 MB instead of 0.018 MB: 41.3% smaller"
    assert [check.verdict for check in pruned.checks] == ["FAIL", "PASS"]
    assert pruned.checks[0].seen.endswith("] points on 400 items")
    assert pruned.checks[0].text == "drop ≤ 2 points (plain)"
    assert pruned.checks[0].seen.startswith("observed 20.0 [")
    said = (
        "It forgot 80 of the 320 items that the original gets right (25.0%). 3 of them, those that the original was "
        "surest of:"
    )
    assert pruned.forgotten == said
    ledger = results.ledgers(PRUNED)[0]
    surest = max((each for each in ledger.entries if each.status == "forgotten"), key=lambda each: each.margin_before)
    assert pruned.examples[0] == (surest.statement, surest.gold, surest.after)
    assert (rounded.forgotten, rounded.examples) == (
        "It forgot none of the 320 items that the original gets right.",
        (),
    )


def test_examples_are_of_what_the_original_knows_from_each_task_in_turn(tmp_path) -> None:
    def some(task, recipe, random):
        known = right(task, recipe, random)
        return np.arange(task.items) % task.choices == (recipe == PRUNED) if task.name == "guessed" else known

    tasks = [MadeUpTask("plain", 400), MadeUpTask("guessed", 400), MadeUpTask("other", 400)]
    results = open_run(write_made_up_run(str(tmp_path / "run"), recipes=[PRUNED], right=some, tasks=tasks))
    assert results.summary.guessed(MODEL) == {"guessed"}
    (decision,) = decisions(results, gate(results, margin="2pt"))
    assert decision.forgotten.startswith("It forgot 160 of the 640 items that the original gets right (25.0%).")
    plain, _, other = results.ledgers(PRUNED)
    firsts = [surest_first(each for each in of.entries if each.status == "forgotten") for of in (plain, other)]
    expected = [firsts[0][0], firsts[1][0], firsts[0][1]]
    assert decision.examples == tuple((each.statement, each.gold, each.after) for each in expected)
    card = model_card(results, MODEL, PRUNED)
    assert "On guessed, the original is not better than guessing, so it has nothing to forget there." in card
    assert "Forgotten of plain" in card
    assert "Forgotten of guessed" not in card
    row = next(line for line in card.splitlines() if line.startswith("| guessed |"))
    assert row.split(" | ")[4] == "—"
    metrics = yaml.safe_load(card.split("---")[1])["model-index"][0]["results"]
    names = {each["dataset"]["name"]: [metric["type"] for metric in each["metrics"]] for each in metrics}
    assert names == {"plain": ["retained"], "guessed": ["accuracy"], "other": ["retained"]}


def test_long_answers_are_shown_from_where_they_differ() -> None:
    right = "To keep your jewelry organized in your suitcase, store small pieces of jewelry in a pill organizer."
    shown = apart(right, right.replace("organizer", "bottle"))
    assert shown == ("… pieces of jewelry in a pill organizer.", "… pieces of jewelry in a pill bottle.")
    assert apart("Angola", "Indonesia") == ("Angola", "Indonesia")
    one, other = apart("word " * 60, "other " * 60)
    assert (one[:9], other[:11], one[-6:]) == ("word word", "other other", "word …")
    assert max(len(one), len(other)) <= 92
    assert apart("the same", "the same") == ("the same", "the same")


@pytest.mark.parametrize(
    ("right", "now"),
    [
        ("答案: " + "甲" * 120, "答案: " + "乙" * 120),
        ("see https://example.org/" + "a" * 100, "see https://example.org/" + "b" * 100),
        ("首都是" + "甲" * 130 + "乙" * 5, "首都是" + "甲" * 130 + "丙" * 5),
        ("word " * 40 + "one", "word " * 40 + "two"),
        ("word " * 40, "word " * 40 + "more"),
        ("", "something"),
    ],
)
def test_shortened_answers_differ_if_the_answers_do(right, now) -> None:
    shown = apart(right, now)
    assert shown[0] != shown[1]
    assert max(map(len, shown)) <= 95


def test_how_many_may_ship(run) -> None:
    results = open_run(run)
    assert overview(gate(results, margin="2pt")) == f"1 of 2 variants may ship: {ROUNDED}. 1 may not."
    assert overview(gate(results, margin="2pt", max_size="60%")) == "None of 2 variants may ship. 2 may not."
    assert overview(gate(results, margin="2pt", recipes=[ROUNDED])) == ""
    both = overview(gate(results, margin="50pt"))
    assert both.startswith(f"2 of 2 variants may ship; the smallest is {PRUNED} (0.011 MB, 58.7% of the original's")
    unknown = overview(gate(results, margin="20pt"))
    assert unknown == f"1 of 2 variants may ship: {ROUNDED}. 1 undecided."


def test_the_report_begins_with_it_on_request(run, tmp_path) -> None:
    report_command(run, out=str(tmp_path / "gated"), margin="2pt")
    page = (tmp_path / "gated" / "report.html").read_text("utf-8")
    assert page.index("Do not ship it.") < page.index('class="answers"')
    assert page.count('class="decision ') == 2
    assert "1 of 2 variants may ship" in page
    assert "beyond the limit, corrected for the number of checks (2)." in page
    assert r"Bonferroni's method for 2 checks" in (tmp_path / "gated" / "tables" / "methods.tex").read_text("utf-8")
    assert "<summary>" not in page[page.index('id="answer"') : page.index('class="answers"')]
    assert "Relations are" not in page
    report_command(run, out=str(tmp_path / "plain"))
    assert 'class="decision ' not in (tmp_path / "plain" / "report.html").read_text("utf-8")


def test_a_candidate_without_a_limit_has_all_but_a_verdict(tmp_path) -> None:
    candidate, run = tmp_path / "candidate", tmp_path / "run"
    compress_checkpoint("standard:decoder", "l1_unstructured:overall:0.5", candidate)
    study = {"models": ["standard:decoder"], "candidates": [str(candidate)], "tasks": ["facts:templates=0"]}
    forgetmeter.run({**study, "recipes": [PRUNED], "evaluation.limit": 10, "output": str(run)})
    (decision,) = undecided(open_run(str(run)))
    assert (decision.name, decision.verdict, decision.answer) == (str(candidate), None, "No limit was given.")
    assert decision.saves == "Saves nothing: 1.10 MB, as the original"
    (line,) = decision.checks
    drop = next(each for each in open_run(str(run)).summary.cells if each.recipe == f"candidate({candidate})").drop
    assert (line.verdict, line.text, line.seen) == (None, "drop (facts)", f"{points_interval(drop)} points")
    assert len(decision.examples) == 3
    report_command(str(run))
    page = (run / "report.html").read_text("utf-8")
    assert page.count('class="decision open"') == 1
    assert "give forgetmeter report a limit, with --margin 1pt" in page
    report_command(str(run), margin="1pt", out=str(tmp_path / "gated"))
    assert "Relations are groups of facts of one kind" in (tmp_path / "gated" / "report.html").read_text("utf-8")
