"""How well cheap numbers rank variants by what they retain, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

from rich.text import Text

from forgetmeter.report.columns import Column, in_columns
from forgetmeter.report.words.numbers import MISSING, correlation_interval
from forgetmeter.results.foretelling import Foretold

_HOW_TO_READ = (
    "Spearman's rank correlation with the share of the baseline's right answers that are still right, over variants, "
    "with its 95% interval. 1: the number ranks the variants as the retained share does; 0: it says nothing. At equal "
    "size: with the bytes of the variants held equal. Bits per weight: bits of a variant divided by the number of "
    "weights of the original. Variants are those of this run, so the interval says nothing of other methods."
)


def foretold_text(found: Sequence[Foretold], *, width: int) -> Text:
    """Return a table for each model and task; empty if there is none."""
    text = Text()
    for (model, task), group in groupby(found, key=lambda each: (each.model, each.task)):
        rows = [
            (
                each.number,
                each.source or MISSING,
                str(each.variants),
                correlation_interval(each.correlation),
                correlation_interval(each.at_equal_size),
            )
            for each in group
        ]
        text.append(f"{model} · retained of {task}\n", "bold")
        columns = [
            Column("number"),
            Column("measured on"),
            Column("variants", align="right"),
            Column("rank correlation [95%]", align="right"),
            Column("at equal size [95%]", align="right"),
        ]
        text.append_text(in_columns(columns, rows, width=width))
        text.append("\n")
    return text.append(textwrap.fill(_HOW_TO_READ, width) + "\n", "dim") if text else text
