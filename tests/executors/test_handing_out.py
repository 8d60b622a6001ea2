"""Which cells workers run next, and what they report."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from forgetmeter.executors.handing_out import HandingOut, Taken, ToldProgress
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

TASKS = ("one", "two")
RECIPES = ("baseline", "l1_unstructured:overall:0.5", "round_to_nearest:overall:4")


def cells(model: str = "org/model") -> list[Cell]:
    variants = [Variant(recipe, parse_model_reference(model), parse_recipe(recipe)) for recipe in RECIPES]
    return [Cell(variant, task) for variant in variants for task in TASKS]


def handing_out(given: list[Cell], *, workers: int = 1, precision: float | None = None) -> HandingOut:
    work: Any = SimpleNamespace(cells=given, evaluation=SimpleNamespace(precision=precision))
    return HandingOut(work, workers)


def test_variants_are_taken_whole_and_the_last_ones_by_task() -> None:
    given = cells()
    alone = handing_out(given)
    assert [alone.next(()) for _ in range(4)] == [given[:2], given[2:4], given[4:], None]
    shared = handing_out(given, workers=2)
    assert [shared.next(()) for _ in range(5)] == [given[:2], given[2:4], given[4:5], given[5:], None]


def test_with_a_precision_variants_wait_for_the_baseline_of_their_model() -> None:
    given, other = cells(), cells("org/other")[2:]
    units = handing_out([*given, *other], precision=0.05)
    first, second = units.next(()), units.next(given[:1])
    assert (first, second) == (given[:1], given[1:2])
    # The other model's baseline is stored already.
    assert units.next(given[:2]) == other[:2]
    assert units.next(given[1:2]) == other[2:]
    assert units.next(given[1:2]) is None
    assert len(units) == 2
    assert units.next(()) == given[2:4]


def test_what_a_lost_worker_had_taken_comes_first() -> None:
    given = cells()
    units = handing_out(given)
    units.next(())
    units.put_back(given[:2])
    assert units.cells == tuple(given)
    assert units.next(()) == given[:1]


def test_a_cell_whose_workers_are_lost_is_given_up_after_three() -> None:
    given = cells()[:2]
    units = handing_out(given)
    assert [units.put_back(given), units.put_back(given[:1]), units.put_back(given[:1])] == [[], [], given[:1]]
    # One that hangs is not tried again, and what the worker had not started yet is not to blame.
    assert units.put_back(given, hopeless=given[0]) == given[:1]
    assert units.put_back(given[1:]) == []


def test_if_three_workers_are_lost_in_a_row_without_a_cell_all_are_given_up() -> None:
    given = cells()
    units = handing_out(given)
    assert [units.put_back([]), units.put_back([])] == [[], []]
    assert units.next(()) == given[:2]
    assert [units.put_back([]), units.put_back([]), units.put_back([])] == [[], [], given[2:]]
    assert len(units) == 0


def test_a_worker_has_time_from_one_cell_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("forgetmeter.executors.handing_out.monotonic", lambda: now)
    taken = Taken()
    assert (taken.current, taken.left(10)) == (None, math.inf)
    taken.take(cells()[:2])
    now += 4
    taken.told("cell_started")
    assert (taken.current, taken.left(10), taken.left(None)) == (cells()[0], 6, math.inf)
    taken.told("cell_finished")
    assert (taken.current, taken.left(10)) == (cells()[1], 10)
    taken.told("cell_failed")
    assert (taken.current, taken.left(10)) == (None, math.inf)


def test_every_call_of_a_listener_is_passed_on() -> None:
    told: list[tuple[Any, ...]] = []
    progress = ToldProgress(lambda *call: told.append(call))
    progress.stage("loading")
    progress.cell_finished(cells()[0], seconds=1.5)
    assert told == [("stage", ("loading",), {}), ("cell_finished", (cells()[0],), {"seconds": 1.5})]
