"""The paragraph on methods: it says what was run, and cites what it names."""

from __future__ import annotations

import re

import numpy as np
import pytest
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.report.formats.methods_latex import methods_latex, references_bibtex
from forgetmeter.results.results import open_run

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
