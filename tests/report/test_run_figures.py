"""Charts: data match the counts, text is escaped, every chart has its table.

Covers ``report.figures.drawer``, ``report.figures.drawing``, ``report.figures.drawing_process``,
``report.figures.figure``, ``report.figures.heat_figure``, ``report.figures.recipes_figure``,
``report.figures.retained_figure``, ``report.figures.theme`` and ``results.relation_shares``.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from altair.utils.schemapi import debug_mode
from hostile_run import HALF, INT8, MOST, RELATION, write_hostile_run

from forgetmeter.report.figures.drawer import Drawer
from forgetmeter.report.figures.drawing import draw, file_name
from forgetmeter.report.figures.drawing import drawn as drawn_by_process
from forgetmeter.report.figures.heat_figure import HeatGrid, heat_figure
from forgetmeter.report.run_figures import run_figures
from forgetmeter.results.relation_shares import relation_shares
from forgetmeter.results.results import open_run

KNOWN = [True] * 30 + [False] * 6
ALL = {"baseline": KNOWN, HALF: [False] * 6 + KNOWN[6:], MOST: [False] * 36, INT8: KNOWN}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return open_run(write_hostile_run(str(tmp_path_factory.mktemp("figures") / "run"), ALL))


@pytest.fixture(scope="module")
def figures(run):
    return run_figures(run.run, run.summary, run.retained_curves)


def marks(svg):
    root = ElementTree.fromstring(svg)
    return [
        each.get("aria-label") for each in root.iter() if each.get("aria-roledescription") in ("point", "rect mark")
    ]


def drawn(figures, kind):
    return draw(getattr(figures, kind)[0].figures)[0]


def test_every_chart_is_valid_by_vega_lites_schema(figures):
    with debug_mode(True):
        for figure in figures.all():
            figure.chart.to_dict()


def test_curves_show_every_level_with_its_share(figures):
    shown = drawn(figures, "level")
    points = marks(shown.svg)
    assert ": both from 80.0% at 50.0% pruned to 0.0% at 90.0%. " in shown.figure.alternative
    assert any(text.startswith("both, 50.0% pruned: 80.0% retained") for text in points)
    assert any(text.startswith("both, 90.0% pruned: 0.0% retained") for text in points)
    assert [row[:3] for row in shown.figure.table.rows] == [("both", "50.0%", "10"), ("both", "90.0%", "18")]
    assert shown.png.startswith(b"\x89PNG")


def test_points_are_drawn_at_their_values(figures):
    root = ElementTree.fromstring(drawn(figures, "level").svg)
    places = {
        each.get("aria-label").split(":")[0]: [float(n) for n in re.findall(r"[\d.]+", each.get("transform"))]
        for each in root.iter()
        if each.get("aria-roledescription") == "point"
    }
    (x0, y0), (x50, y50), (x90, y90) = (places[f"both{at}"] for at in ("", ", 50.0% pruned", ", 90.0% pruned"))
    assert (x50 - x0) / (x90 - x0) == pytest.approx(5 / 9)
    # Retained is 1, 0.8 and 0; y grows downwards in SVG.
    assert (y50 - y0) / (y90 - y0) == pytest.approx(0.2)


def test_recipes_on_no_curve_have_their_own_chart(figures):
    (figure,) = figures.recipes[0].figures
    assert [row[0] for row in figure.table.rows] == ["both: 8-bit"]
    assert " under 1 recipe: 100.0%. " in figure.alternative


def test_the_heat_map_shows_what_each_relation_forgets(figures, run):
    shown = drawn(figures, "relations")
    assert shown.figure.table.columns[1:] == (f"{RELATION} 0 (15)", f"{RELATION} 1 (15)")
    assert [row[1:] for row in shown.figure.table.rows] == [("20.0%", "20.0%"), ("100.0%", "100.0%"), ("0.0%", "0.0%")]
    assert f"both: 50% pruned, {RELATION} 0: 20.0% of 15 forgotten" in marks(shown.svg)
    assert "<b>" not in shown.svg


def test_shares_by_relation_are_those_counted_by_hand(run):
    shares = relation_shares(run.run.answers[0])
    rows = run.outcomes.merge(run.items[["item_id", "fields"]], on="item_id")
    rows["relation"] = [dict(fields)["relation"] for fields in rows["fields"]]
    known = set(rows[(rows["recipe"] == "baseline") & rows["correct"]]["item_id"])
    for recipe, values in zip(shares.recipes, shares.forgotten, strict=True):
        for relation, value in zip(shares.relations, values, strict=True):
            asked = rows[(rows["recipe"] == recipe) & (rows["relation"] == relation) & rows["item_id"].isin(known)]
            assert value == pytest.approx(1 - asked["correct"].mean())
    assert shares.known.tolist() == [15, 15]
    assert not np.isnan(shares.forgotten).any()


def test_the_frontier_names_undominated_variants(figures):
    by_name = {figure.name: figure for figure in figures.frontier[0].figures}
    assert set(by_name) == {"frontier-bitmask-org-tiny-lama-trex", "frontier-quantized-org-tiny-lama-trex"}
    note = by_name["frontier-bitmask-org-tiny-lama-trex"].note
    # With a bitmask, int8 is as large as the baseline and retains as much: neither beats the other.
    assert note == (
        "Pareto-optimal, from small to large: 1 both: 90% pruned · 2 both: 50% pruned · 3 baseline · 4 both: 8-bit."
    )


def test_file_names_are_safe_for_any_file_system():
    assert file_name("retained", "./models/X Y", "bear:relations=P1+P2") == "retained-models-x-y-bear-relations-p1-p2"
    assert len(file_name("a" * 300)) <= 60


def test_figures_of_the_same_name_get_a_number(tmp_path):
    location = str(tmp_path / "run")
    write_hostile_run(location, {"baseline": [True] * 9, HALF: [False] * 9, MOST: [False] * 9})
    run = open_run(location)
    curves = run.retained_curves
    names = [figure.name for figure in run_figures(run.run, run.summary, [*curves, *curves]).all()]
    assert len(names) == len(set(names))


def test_methods_in_one_scope_share_a_figure_and_are_distinguished(tmp_path):
    recipes = [f"{method}:head:0.5" for method in ("l1_unstructured", "random_unstructured")]
    location = write_hostile_run(
        str(tmp_path / "run"),
        {"baseline": [True] * 9, recipes[0]: [True] * 6 + [False] * 3, recipes[1]: [False] * 9},
        recipes=("baseline", *recipes),
    )
    run = open_run(location)
    (group,) = run_figures(run.run, run.summary, run.retained_curves).level
    (figure,) = group.figures
    assert figure.title == "org/tiny: head"
    # One level is described as such, and has neither an average nor a steepest fall.
    assert figure.alternative == (
        "Line chart of what org/tiny retains of lama/trex with head pruned, by share of the scope's weights pruned: "
        "l1_unstructured 66.7% at 50.0% pruned; random_unstructured 0.0% at 50.0% pruned. The table has all values."
    )
    assert figure.note == ""
    assert [row[0] for row in figure.table.rows] == ["l1_unstructured", "random_unstructured"]
    assert {"l1_unstructured: baseline", "random_unstructured: baseline"} < set(marks(draw([figure])[0].svg))


def test_a_chart_of_hundreds_of_recipes_is_drawn():
    # Altair refuses more than 5,000 marks by default.
    columns, recipes = tuple((f"relation {one}", 9) for one in range(41)), tuple(f"recipe {one}" for one in range(125))
    (found,) = draw([heat_figure(HeatGrid("model", "facts", "relation", columns, recipes, ((0.5,) * 41,) * 125))])
    assert found.svg.count("of 9 forgotten") == 41 * 125


def test_a_chart_that_cannot_be_drawn_gives_the_reason():
    failed = r"(?s)drawing the charts failed: .*Vega-Lite to SVG conversion failed"
    with Drawer() as drawer, pytest.raises(RuntimeError, match=failed):
        drawn_by_process(["figure"], [{"mark": "no such mark", "data": {"url": "https://example.org/x.csv"}}], drawer)


def test_an_unused_drawer_ends():
    with Drawer() as drawer:
        pass
    assert drawer._process.returncode is not None


def test_a_curves_average_and_knee_are_stated_once(figures):
    by_level = [figure for group in figures.level for figure in group.figures]
    assert by_level
    for figure in by_level:
        assert figure.note.startswith("On average over the levels: ")
        assert "% [" in figure.note
    assert [figure.note for group in figures.removed for figure in group.figures if figure.note] == []
