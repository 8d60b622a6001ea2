"""Heat maps of sensitivity: colours by rate, texts, and the first screen of a run of parts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from made_up_run import MODEL, MadeUpTask, RunBuilder, write_answers

from forgetmeter.records.variant import Reached, RoleCount
from forgetmeter.report.figures.figure import Figure
from forgetmeter.report.figures.sensitivity_figure import sensitivity_figure
from forgetmeter.report.run_figures import run_figures
from forgetmeter.report.written_report import make_report
from forgetmeter.results.results import Results, open_run
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS

TASK = MadeUpTask("quiz", 1000)
FORGOTTEN = {
    "attention": (90, 0, 40),
    "feed_forward": (1, 180, 20),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A run in which parts of equal size forget a known number of items."""
    location = str(tmp_path_factory.mktemp("parts") / "run")
    made = {
        f"l1_unstructured:layers[{layer}]/{role}:0.5": number
        for role, numbers in FORGOTTEN.items()
        for layer, number in enumerate(numbers)
    }
    run = RunBuilder(location, models=[MODEL], recipes=["baseline", *made], tasks=[TASK.name])
    for recipe, forgotten in {"baseline": 0, **made}.items():
        removed = 0 if recipe == "baseline" else 500
        roles = {"attention.query": RoleCount(1000, removed)}
        size = 10**7 - 2000 * removed
        reached = Reached(roles, 1000, removed, removed, 10**7, size, 10**7, simulated=False, smallest_bytes=size)
        run.reached(recipe, reached)
        right = np.arange(TASK.items) >= forgotten
        write_answers(run.store, run.cell(recipe, TASK.name), TASK, right, np.random.default_rng(0))
    return open_run(location)


@pytest.fixture(scope="module")
def figure(results: Results) -> Figure:
    (found,) = results.sensitivities
    figure = sensitivity_figure(found, FOR_EARLIER_RUNS)
    assert figure is not None
    return figure


def test_cells_are_as_dark_as_their_rate(figure: Figure) -> None:
    cells = next(iter(figure.chart.to_dict()["datasets"].values()))
    steps = {(cell["role"], cell["layers"]): (cell["step"], cell["rate"]) for cell in cells}
    # In ninths of the largest, 18 points per MB; the losses of 0 and 1 items are within noise.
    assert steps == {
        ("attention", "0"): (5, "9.0"),
        ("attention", "1"): (0, "·"),
        ("attention", "2"): (3, "4.0"),
        ("feed-forward", "0"): (0, "·"),
        ("feed-forward", "1"): (9, "18.0"),
        ("feed-forward", "2"): (2, "2.0"),
    }
    assert cells[0]["text"].startswith("attention, layers 0: drop of 9.0 [")
    assert cells[0]["text"].endswith("points, 9.0 per MB saved")
    assert cells[1]["text"].endswith("points, no loss seen")


def test_its_texts_say_how_much_was_seen(figure: Figure) -> None:
    assert figure.title == f"{MODEL}: 50% pruned (l1_unstructured:0.5)"
    assert "2 roles by 3 bands of layers. A loss was seen in 4 of 6 parts." in figure.alternative
    assert figure.note.startswith("Most: layers[1]/feed_forward, 18.0 [")
    assert [row[0] for row in figure.table.rows][:2] == ["layers[1]/feed_forward", "layers[0]/attention"]


def test_parts_are_in_no_other_chart(results: Results) -> None:
    """Curves of one point each, or a dot for each part, would show less."""
    figures = run_figures(results.run, results.summary, results.retained_curves)
    assert (figures.level, figures.removed, figures.recipes) == ((), (), ())
    assert [group.task for group in figures.sensitivity] == ["quiz"]


def test_the_report_begins_with_the_map(results: Results, tmp_path: Path) -> None:
    page = make_report(results)["report.html"].decode()
    first, *rest = page.split("<nav")
    assert "What is lost of quiz when one part is compressed" in first
    assert "Most: layers[1]/feed_forward, 18.0" in first
    assert "Most:" not in "".join(rest)
    assert 'href="#sensitivity"' not in page
    assert "The maps of its parts are at the top of the page" in page
    assert re.search(r'<text[^>]*fill="#ffffff"[^>]*>18.0</text>', page)
