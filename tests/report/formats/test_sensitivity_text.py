"""Sensitivities as text and JSON.

Covers ``report.formats.sensitivity_json``, ``report.sensitivity_grid`` and ``report.sensitivity_table``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from forgetmeter.report.formats.sensitivity_json import sensitivity_json
from forgetmeter.report.formats.sensitivity_text import sensitivity_text
from forgetmeter.report.sensitivity_grid import decimals_for, sensitivity_grid
from forgetmeter.results.sensitivity import PartSensitivity, Sensitivity
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.statistics.paired import Estimate

Drops = Mapping[str, tuple[float, float, float]]
LOSSES: Drops = {
    "layers[0]/feed_forward.up": (0.4, 0.3, 0.5),
    "layers[0]/attention.query": (0.1, 0.05, 0.2),
    "layers[1-2]/attention.query": (0.01, -0.01, 0.03),
}


def sensitivity(drops: Drops, method: str = "l1_unstructured:{}:0.5", *, removed: int = 500_000) -> Sensitivity:
    steps = {scope: parse_recipe(method.format(scope)).steps[0] for scope in drops}
    parts = tuple(
        PartSensitivity(str(step), step.scope, 1_000_000, removed, 2_000_000, Estimate(*drops[scope]), 300)
        for scope, step in steps.items()
    )
    first = next(iter(steps.values()))
    return Sensitivity("org/model", "quiz", first.method, first.level, first, "per_megabyte", parts)


def lines(found: Sensitivity, *, width: int = 140) -> list[str]:
    return sensitivity_text([found], FOR_EARLIER_RUNS, width=width).plain.splitlines()


def test_the_grid_has_roles_by_layers_with_shades() -> None:
    assert lines(sensitivity(LOSSES))[:7] == [
        "org/model · quiz · 50% pruned (l1_unstructured:0.5)",
        "Points lost per MB saved, by layer; · no loss seen",
        "",
        "                    0    1–2",
        "attention.query   5.0 ▒    ·",
        "feed_forward.up  20.0 █",
        "",
    ]


def test_the_table_says_where_no_loss_was_seen() -> None:
    shown = lines(sensitivity(LOSSES))
    rows = {line.split()[0]: line for line in shown if line.startswith("layers")}
    assert list(rows) == list(LOSSES)
    assert "40.0 [30.0, 50.0]" in rows["layers[0]/feed_forward.up"]
    assert "20.0 [15.0, 25.0]" in rows["layers[0]/feed_forward.up"]
    assert rows["layers[0]/feed_forward.up"].split()[-7:] == ["seen", "1.0", "M", "500.0", "k", "2.00", "80.0"]
    assert ["none seen" in row for row in rows.values()] == [False, False, True]
    assert not any("removed" in line for line in lines(sensitivity(LOSSES, "round_to_nearest:{}:4", removed=0)))


def test_a_narrow_terminal_has_fewer_columns() -> None:
    shown = lines(sensitivity(LOSSES), width=110)
    assert any("per million removed" in line for line in shown)
    shown = lines(sensitivity(LOSSES), width=80)
    assert max(map(len, shown)) <= 80
    assert not any("per million removed" in line for line in shown)
    # A grid that is too wide is left out.
    many = {f"layers[{layer}]/attention": (0.2, 0.1, 0.3) for layer in range(30)}
    assert not any("by layer" in line for line in lines(sensitivity(many), width=100))
    assert any("by layer" in line for line in lines(sensitivity(many), width=300))


def test_parts_of_all_layers_have_no_grid() -> None:
    drops = {"attention": (0.2, 0.1, 0.3), "feed_forward": (0.1, 0.05, 0.2)}
    assert sensitivity_grid(sensitivity(drops), FOR_EARLIER_RUNS) is None
    assert lines(sensitivity(drops))[1].startswith("part")


def test_encoders_come_before_decoders_and_roles_are_in_one_order() -> None:
    scopes = [
        f"{stack}/layers[{layer}]/{role}"
        for stack in ("decoder", "encoder")
        for role in ("feed_forward.down", "attention.query", "attention")
        for layer in (1, 0)
    ]
    grid = sensitivity_grid(sensitivity(dict.fromkeys(scopes, (0.2, 0.1, 0.3))), FOR_EARLIER_RUNS)
    assert grid is not None
    names = ("attention", "attention.query", "feed_forward.down")
    assert grid.rows == tuple(f"{stack}/{name}" for stack in ("encoder", "decoder") for name in names)
    assert grid.columns == ("0", "1")


@pytest.mark.parametrize(
    ("values", "decimals"),
    [([], 1), ([0.0], 1), ([512.3, 2.0], 0), ([-51.2], 1), ([5.0], 2), ([0.05], 4), ([99999], 0)],
)
def test_three_digits_are_shown(values: list[float], decimals: int) -> None:
    assert decimals_for(values) == decimals


def test_json_has_every_number() -> None:
    document = json.loads(sensitivity_json("runs/one", [sensitivity(LOSSES)]))
    assert (document["schema_version"], document["run"]) == (1, "runs/one")
    (found,) = document["sensitivities"]
    assert {name: found[name] for name in ("model", "task", "method", "level", "unit")} == {
        "model": "org/model",
        "task": "quiz",
        "method": "l1_unstructured",
        "level": 0.5,
        "unit": "per_megabyte",
    }
    first, _, last = found["parts"]
    assert first["drop"] == {"value": 0.4, "low": 0.3, "high": 0.5}
    assert first["per_megabyte"] == {"value": 0.2, "low": 0.15, "high": 0.25}
    assert first["per_million_removed"]["value"] == pytest.approx(0.8)
    assert (first["recipe"], first["role"], first["layers"]) == (
        "l1_unstructured:layers[0]/feed_forward.up:0.5",
        "feed_forward.up",
        [0, 0],
    )
    assert (last["layers"], last["stack"], last["is_loss"], last["items"]) == ([1, 2], None, False, 300)
