"""The paragraph on methods: it says what was run, and cites what it names."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.report.formats.methods_latex import methods_latex, references_bibtex
from forgetmeter.results.compared.measured import MeasuredSummary
from forgetmeter.results.gate.gating import gate
from forgetmeter.results.results import open_run
from forgetmeter.statistics.paired import Estimate

PRUNED = "l1_unstructured:overall:0.5"


def right(task, recipe, random):
    return np.arange(task.items) % 10 < (8 if recipe == "baseline" else 7)


def summary(tmp_path, *tasks):
    return open_run(write_made_up_run(str(tmp_path / "run"), recipes=[PRUNED], right=right, tasks=tasks)).summary


@pytest.mark.parametrize("relations", [0, 10])
def test_it_cites_its_references_and_no_others(tmp_path, relations) -> None:
    found = summary(tmp_path, MadeUpTask("a_b", 200, relations=relations), MadeUpTask("c", 50))
    text = methods_latex(found)
    references = references_bibtex(text)
    cited = set(re.findall(r"\\cite[t]?\{(\w+)\}", text))
    assert cited == set(re.findall(r"^@\w+\{(\w+),", references, re.MULTILINE))
    assert ("korn1998confidence" in cited) == bool(relations)
    assert references.count("{") == references.count("}")


def test_it_says_what_was_compared(tmp_path) -> None:
    text = methods_latex(summary(tmp_path, MadeUpTask("a_b", 200, relations=10), MadeUpTask("c", 50)))
    assert r"We compared 1 compressed variant of \texttt{org/made-up} with the original" in text
    assert r"\texttt{a\_b} (200 items in 10 relations) and \texttt{c} (50 items)" in text
    assert r"for 2 comparisons, is below 0.05" in text
    assert not re.search(r"(?<!\\)%", text)
    assert r"All of them answered the same items" in text


def test_it_says_which_items_were_not_answered(tmp_path) -> None:
    found = summary(tmp_path, MadeUpTask("a_b", 200), MadeUpTask("c", 50), MadeUpTask("d", 50))
    cells = [
        replace(cell, items=120) if (cell.recipe, cell.task) == (PRUNED, "a_b") else cell
        for cell in found.cells
        if (cell.recipe, cell.task) != (PRUNED, "c")
    ]
    text = methods_latex(replace(found, cells=tuple(cells)))
    assert "All of them answered" not in text
    assert r"each model answered 120 to 200 items of \texttt{a\_b}; 1 model answered 50 items of \texttt{c}." in text
    assert r"no model answered \texttt{d}" in methods_latex(replace(found, cells=tuple(cells[:2])))


def test_it_says_where_imported_answers_are_from(tmp_path) -> None:
    found = summary(tmp_path, MadeUpTask("c", 50))
    said = {"tool": "lm-eval 0.4", "files": {}, "settings": {}, "notes": []}
    study = replace(found.study, document={**found.study.document, "imported": {"answers:a": said, "answers:b": said}})
    assert "not computed by forgetmeter but imported from lm-eval 0.4." in methods_latex(replace(found, study=study))


def test_it_says_what_was_measured_on_texts(tmp_path) -> None:
    found = summary(tmp_path, MadeUpTask("c", 50))
    metrics = {"divergence": 0.1, "agreement": 0.9}
    intervals = {name: Estimate(value, value - 0.05, value + 0.05) for name, value in metrics.items()}
    cell = MeasuredSummary("org/made-up", PRUNED, "divergence", 10, metrics, intervals=intervals)
    text = methods_latex(replace(found, measured=(cell,)))
    assert "Kullback--Leibler" in text
    assert "Top-1 agreement" in text
    assert "korn1998confidence" in references_bibtex(text)
    assert "Kullback" not in methods_latex(found)
    assert "zero and beyond the share" in methods_latex(
        replace(found, cells=tuple(replace(each, noise_floor=0.01) for each in found.cells))
    )


def test_it_says_nothing_of_a_gate_without_one(tmp_path) -> None:
    assert "accepted" not in methods_latex(summary(tmp_path, MadeUpTask("c", 50)))


def test_it_says_how_variants_were_accepted(tmp_path) -> None:
    results = open_run(
        write_made_up_run(
            str(tmp_path / "run"),
            recipes=[PRUNED],
            right=right,
            tasks=[MadeUpTask("a_b", 200, relations=10), MadeUpTask("c", 50)],
        )
    )
    policy = tmp_path / "gate.yaml"
    policy.write_text(
        "version: 1\nconditions:\n- drop: {max: 1pt}\n- retained: {min: 98%, tasks: [a_b], by: relation}\n"
        "- accuracy: {min: 50%, by: all}\n- size: {max: 70%}\n"
    )
    text = methods_latex(results.summary, gate(results, policy=policy))
    assert (
        r"A variant was accepted only if the whole 95\% interval met each of these conditions: drop $\leq$ 1 point on "
        r"each task; retained $\geq$ 98\% in each relation of \texttt{a\_b}; accuracy $\geq$ 50\% on average over all "
        r"tasks; size $\leq$ 70\% of the original."
    ) in text
    assert "the whole interval, corrected by Bonferroni's method for 14 checks, was beyond the limit" in text
    assert "clopper1934use" in references_bibtex(text)
    assert "logarithm" not in text
    assert not re.search(r"(?<!\\)%", text)
