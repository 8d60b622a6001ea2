"""What planned items can resolve, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.text import Text

from forgetmeter.basics.plural import counted
from forgetmeter.report.columns import Column, in_columns
from forgetmeter.report.words.numbers import count, percent
from forgetmeter.results.gate.resolution import PlannedMargin, TaskResolution, joint_power

EARLY = (
    "All this is for a fixed number of items. Where a cell may stop early, its interval is wider: clear cases take "
    "fewer items, and close ones more."
)
_NOTABLE = 1.05
_COLUMNS = (
    Column("task"),
    Column("items", align="right"),
    Column("flips", align="right"),
    Column("resolution", align="right"),
)


def resolution_text(resolutions: Sequence[TaskResolution], *, width: int) -> Text:
    """Return the half-width of each task's interval."""
    text = Text("What these items can resolve\n", "bold")
    text.append_text(in_columns(_COLUMNS, [_cells(each) for each in resolutions], width=width))
    return text.append_text(_basis(resolutions, width))


def margin_text(margins: Sequence[PlannedMargin], *, width: int) -> Text:
    """Return whether the items of each task can decide its margin."""
    columns = [
        *_COLUMNS,
        Column("condition"),
        Column("passes if nothing is lost", align="right"),
        Column("items for 80%", align="right"),
    ]
    rows = [
        (
            *_cells(each.of),
            str(each.condition),
            f"{100 * each.power:.0f}%",
            _needed(each),
        )
        for each in margins
    ]
    text = in_columns(columns, rows, width=width)
    if len(margins) > 1:
        said = (
            f"Together, the {len(margins)} conditions pass with {100 * joint_power(margins):.0f}% if they are "
            "independent. items for 80%: with these, all conditions together pass with 80%."
        )
        text.append(textwrap.fill(said, width) + "\n")
    return text.append_text(_basis([each.of for each in margins], width))


def _cells(each: TaskResolution) -> tuple[str, ...]:
    return each.task, count(each.items), percent(each.expected.flips), f"±{100 * each.half_width:.1f} points"


def _needed(each: PlannedMargin) -> str:
    if each.needed is None:
        return "none"
    return count(each.needed) + ("" if each.has_enough else f" ({count(each.of.available)} exist)")


def _basis(resolutions: Sequence[TaskResolution], width: int) -> Text:
    said = (
        "resolution: half the width of the drop's 95% interval if nothing is lost. flips: share of answers that change "
        "from right to wrong or back"
    )
    seen = sorted({each.variants for each in resolutions if each.variants})
    assumed = any(not each.variants for each in resolutions)
    median = "the median of" if seen and seen[-1] > 1 else "as in"
    said += f", {median} {counted(seen[-1], 'variant')} evaluated earlier" if seen else ""
    said += (", else" if seen else "; here") + " assumed" if assumed else ""
    said += "."
    effects = sorted(each.expected.design_effect(each.items) for each in resolutions if each.expected.relations)
    if effects and effects[-1] >= _NOTABLE:
        span = " to ".join(dict.fromkeys(f"{each:.1f}" for each in (effects[0], effects[-1])))
        said += f" Relations differ, which multiplies the variance by {span}."
    return Text(textwrap.fill(said, width) + "\n", "dim")
