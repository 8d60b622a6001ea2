"""Where a run's time went, for the terminal."""

from __future__ import annotations

from rich.text import Text

from forgetmeter.report.columns import Column, in_columns
from forgetmeter.report.words.numbers import MISSING, count, percent
from forgetmeter.report.words.run_facts import model_times
from forgetmeter.results.profile import Profile, TaskTime

_COLUMNS = ("task", "cells", "items", "prepare", "score", "judge", "tokens/s", "padding", "of product")
_NOTE = (
    "Times are in seconds. prepare: tokenizing and batching, once for all variants; judge: comparing the answers with\n"
    "the right ones. tokens/s: tokens read and written per second, only for variants computed in full; padding: share\n"
    "of computed positions that are padding. of product: arithmetic rate of the scoring as a share of that of a large\n"
    "matrix multiplication, which run --profile measures.\n"
)


def profile_text(profile: Profile, *, width: int) -> Text:
    """Return a profile as styled text, with a table per model; empty if no times are recorded."""
    text = Text()
    for model in dict.fromkeys(each.model for each in profile.tasks):
        if text:
            text.append("\n")
        text.append(" · ".join([model, *model_times(model, profile)]) + "\n", "bold")
        columns = [Column(name, align="left" if name == "task" else "right") for name in _COLUMNS]
        text.append_text(
            in_columns(columns, [_row(each) for each in profile.tasks if each.model == model], width=width)
        )
    if text:
        text.append(_NOTE, "dim")
    return text


def _row(time: TaskTime) -> tuple[str, ...]:
    return (
        time.task,
        count(time.cells),
        count(time.items),
        *(f"{seconds:,.1f}" for seconds in time.stages.values()),
        MISSING if time.tokens is None else f"{time.tokens:,.0f}",
        percent(time.padding),
        percent(time.product_share),
    )
