"""Samples against what their results file reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from importing.lm_eval.made_up_logs import choosing, imported, notes

_MEAN = {"metric_list": [{"metric": "acc", "aggregation": "mean"}]}


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"results": {"t": {"acc,none": 0.5}}, "configs": {"t": _MEAN}}, []),
        (
            {"results": {"t": {"acc,none": 0.75}}, "configs": {"t": _MEAN}},
            ["t: mean acc is 0.5 in the samples file, but 0.75 in the results file"],
        ),
        (
            {"results": {"t": {"acc,none": 0.75}}, "configs": {"t": _MEAN}, "n-samples": {"t": {"effective": 1838}}},
            ["t: 4 documents in the samples file, but 1,838 evaluated according to the results file"],
        ),
        # Another aggregation, another filter, and nothing.
        ({"results": {"t": {"acc,none": 0.75}}, "configs": {"t": {"metric_list": [{"metric": "acc"}]}}}, []),
        ({"results": {"t": {"acc,strict": 0.75}}, "configs": {"t": _MEAN}}, []),
        ({"results": {"t": {"acc,none": "N/A"}}, "configs": {"t": _MEAN}, "n-samples": {"t": 4}}, []),
        ({"results": {"t": []}, "configs": {"t": {"metric_list": "acc"}}}, []),
    ],
)
def test_what_the_results_file_reports_is_that_of_the_samples(
    tmp_path: Path, results: dict[str, Any], said: list[str]
) -> None:
    base = [choosing(each, [-1.0, -2.0], right=each % 2) for each in range(4)]
    other = [choosing(each, [-1.5, -2.0], right=each % 2) for each in range(4)]
    run = imported(tmp_path, base, other, results)
    assert notes(run, "a") == notes(run, "b") == said
    assert [cell.right for cell in run.summary.cells] == [2, 2]


def test_without_a_value_for_every_document_there_is_no_mean(tmp_path: Path) -> None:
    results = {"results": {"t": {"acc,none": 0.75}}, "configs": {"t": _MEAN}}
    logs = [[choosing(each, [value, -2.0], right=each % 2) for each in range(4)] for value in (-1.0, -1.5)]
    for each in logs:
        each[0]["acc"] = None
    (note,) = notes(imported(tmp_path, *logs, results), "a")
    assert "left out" in note
