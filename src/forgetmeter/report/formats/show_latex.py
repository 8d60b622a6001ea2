"""A summary as LaTeX tables with booktabs rules."""

from __future__ import annotations

import re

from forgetmeter.basics.visible_text import visible_line
from forgetmeter.report.table import Table, TableRow
from forgetmeter.report.tables import DAGGER, STAR, legend, remarks, tables
from forgetmeter.report.words.numbers import MISSING
from forgetmeter.results.summary import Summary

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    MISSING: "---",
    DAGGER: r"$^{\dagger}$",
    "…": r"\dots{}",
}
_NEGATIVE = re.compile(r"(?<![\w.])-(?=\d)")


def show_latex(summary: Summary) -> str:
    """Return, for each model, the tables of its variants, tasks and candidates, each with a caption and a label."""
    parts = [r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}."]
    parts += [_table(table) for table in tables(summary)]
    parts += [f"% {visible_line(remark)}" for remark in remarks(summary)]
    parts.append("\n".join(f"% {term.name}: {term.meaning}" for term in legend(summary)))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    caption = ", ".join(map(escaped_latex, (f"{table.name} of {table.model}", *table.facts)))
    label = re.sub(r"[^A-Za-z0-9]+", "-", f"{table.model}-{table.name}").strip("-")
    heading = " & ".join(map(escaped_latex, (table.key, *table.columns)))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{l{''.join('l' if name in table.texts else 'r' for name in table.columns)}}}",
            r"\toprule",
            rf"{heading} \\",
            r"\midrule",
            *(_row(row, len(table.columns)) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _row(row: TableRow, columns: int) -> str:
    recipe = rf"\texttt{{{escaped_latex(row.recipe)}}}"
    if row.note:
        return rf"{recipe} & \multicolumn{{{columns}}}{{l}}{{{escaped_latex(row.note)}}} \\"
    return rf"{' & '.join([recipe, *map(_value, row.cells)])} \\"


def _value(text: str) -> str:
    number = text.removesuffix(f" {STAR}")
    star = "" if number == text else r"$^{*}$"
    return _NEGATIVE.sub("$-$", escaped_latex(number)) + star


def escaped_latex(text: str) -> str:
    """Return a text on one line, with LaTeX's special characters escaped."""
    return "".join(_SPECIAL.get(character, character) for character in visible_line(text))
