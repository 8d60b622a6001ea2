"""The table of candidates, and the sentences about them.

Covers ``report.words.candidate_sizes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import pytest

from forgetmeter.records.packed_source import PackedSource
from forgetmeter.report.candidates_table import candidates_table
from forgetmeter.report.formats.show_markdown import show_markdown
from forgetmeter.report.formats.show_text import show_text
from forgetmeter.report.tables import remarks
from forgetmeter.report.words.headline import headlines
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.summary import Summary, TaskSummary, VariantSummary
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.statistics.paired import Estimate

MODEL, TASK = "org/tiny", "facts:templates=0"
BASELINE = CellSummary(MODEL, "baseline", TASK, 1000, Estimate(0.8, 0.77, 0.82), chance=0.05, p_chance=0.0)
GPTQ, PLAIN = "./base-GPTQ", "./base-pruned"
ENGINE = "engine:lm_eval/vllm,pretrained=some-organization/some-very-long-model-name-W4A16-Instruct,seed=0"
SOURCE = PackedSource("gptq, 4 bits, groups of 128", 300, 1200, "unpacked", "GPTQModel 5.6", {"feed_forward": 4.156})
NO_LOSS = Estimate(0.001, -0.002, 0.02)
LOSS = Estimate(0.2, 0.1, 0.3)


def summary_of(cells: Mapping[str, tuple[Estimate, float]], sizes: Mapping[str, int]) -> Summary:
    """Return a summary with the drop and the retained share of each recipe."""
    compared = [
        replace(
            BASELINE, recipe=recipe, drop=drop, p_holm=0.0 if drop is LOSS else 1.0, retained=Estimate(kept, kept, kept)
        )
        for recipe, (drop, kept) in cells.items()
    ]
    variants = [_variant("baseline", 1000), *(_variant(recipe, sizes.get(recipe)) for recipe in cells)]
    study = StudyRecord({"identity": {"models": [MODEL]}, "sources": {GPTQ: asdict(SOURCE)}})
    return Summary(study, tuple(variants), (TaskSummary(TASK, 1000),), (BASELINE, *compared), (), ())


def _variant(recipe: str, size: int | None) -> VariantSummary:
    return VariantSummary(MODEL, recipe, None, None, size, size, size, None, recipe, smallest_bytes=size)


THREE = summary_of(
    {f"candidate({GPTQ})": (LOSS, 0.7), f"candidate({PLAIN})": (NO_LOSS, 0.95), f"candidate({ENGINE})": (NO_LOSS, 0.9)},
    {f"candidate({PLAIN})": 900},
)


def sentences(summary: Summary) -> str:
    (only,) = headlines(summary, ())
    return " ".join(only.sentences)


def test_each_candidate_has_a_row_and_no_remark() -> None:
    table = candidates_table(MODEL, THREE)
    assert table is not None
    assert table.columns == ("MB", "of original", "read", "format", "made by", "bits per weight")
    assert [(row.recipe, *row.cells) for row in table.rows] == [
        (GPTQ, "0.000", "30.0%", "unpacked", "gptq, 4 bits, groups of 128", "GPTQModel 5.6", "feed-forward 4.16"),
        (PLAIN, "0.001", "90.0%", "plain", "floating-point numbers", "", "—"),
        (ENGINE, "—", "—", "engine", "—", "", "—"),
    ]
    assert remarks(THREE) == []


def test_a_run_without_candidates_has_no_table() -> None:
    assert candidates_table(MODEL, summary_of({"dynamic_int8:overall": (NO_LOSS, 0.9)}, {})) is None


@pytest.mark.parametrize("width", [80, 100, 140])
def test_long_names_do_not_break_the_table(width: int) -> None:
    text = show_text(THREE, width=width)
    (start,) = [place for place, line in enumerate(text.splitlines()) if line.startswith("Candidates")]
    table = text.splitlines()[start:][: text.splitlines()[start:].index("")]
    assert ENGINE in table
    # Only a name that is alone on its line may be longer.
    assert all(len(line) <= width or line == ENGINE for line in table)
    (line,) = [line for line in show_markdown(THREE).splitlines() if f"`{ENGINE}` | — | — | engine" in line]
    assert line.count(" | ") == show_markdown(THREE).split("| candidate")[1].splitlines()[0].count(" | ")


def test_the_headline_names_the_smallest_without_a_loss_and_the_one_that_forgot_most() -> None:
    assert sentences(THREE).endswith(
        "The smallest candidate without a significant loss of accuracy is ./base-pruned (0.001 MB, 90.0% of the "
        "original). It forgets 5.0% of that; the change in accuracy is not significant (drop 0.1 points, -0.2 to 2.0). "
        "./base-GPTQ forgets most: 30.0% of what the baseline gets right. 1 of 3 candidates changes accuracy "
        "significantly."
    )


def test_the_headline_where_every_candidate_loses_and_where_there_is_one() -> None:
    cells: Sequence[tuple[str, tuple[Estimate, float]]] = [
        (f"candidate({GPTQ})", (LOSS, 0.7)),
        (f"candidate({PLAIN})", (LOSS, 0.4)),
        ("dynamic_int8:overall", (LOSS, 0.1)),
    ]
    assert sentences(summary_of(dict(cells), {})).endswith(
        "8-bit (both) costs 90.0% of that. Every candidate loses accuracy significantly; ./base-GPTQ forgets least: "
        "30.0% of what the baseline gets right. ./base-pruned forgets most: 60.0% of what the baseline gets right. "
        "3 of 3 variants change accuracy significantly."
    )
    assert sentences(summary_of(dict(cells[:1]), {})).endswith(
        "./base-GPTQ costs 30.0% of that. 1 of 1 candidate changes accuracy significantly."
    )
