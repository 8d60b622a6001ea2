"""Which cells workers run next, and what they report."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from forgetmeter.executors.executor import CellUnit, Read
from forgetmeter.executors.handing_out import SHARE_READ, ForwardedProgress, HandingOut, Taken
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.stop_rule import StopRule
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

TASKS = ("one", "two")
RECIPES = ("baseline", "l1_unstructured:overall:0.5", "round_to_nearest:overall:4")


def cells(model: str = "org/model") -> list[Cell]:
    variants = [Variant(recipe, parse_model_reference(model), parse_recipe(recipe)) for recipe in RECIPES]
    return [Cell(variant, task) for variant in variants for task in TASKS]


class Units(HandingOut):
    """Takes and puts back whole cells."""

    def cells_of_next(self, taken: Any = ()) -> Any:
        unit = self.next(taken)
        return unit if unit is None else unit.cells

    def put_back_cells(self, cells: list[Cell], *, hopeless: Cell | None = None) -> list[Cell]:
        return self.put_back(CellUnit(cells), cells, hopeless=hopeless)[0]


def handing_out(given: list[Cell], *, workers: int = 1, precision: float | None = None, items: int = 1) -> Units:
    task = SimpleNamespace(items=[SimpleNamespace(asks=None)] * items)
    stop = None if precision is None else StopRule(precision)
    work: Any = SimpleNamespace(cells=given, stop=stop, tasks=dict.fromkeys(TASKS, task))
    return Units(work, workers)


def two_shares(units: HandingOut) -> tuple[CellUnit, CellUnit]:
    first, second = units.next(()), units.next(())
    assert first is not None
    assert second is not None
    return first, second


def test_variants_are_taken_whole_and_the_last_ones_by_task() -> None:
    given = cells()
    alone = handing_out(given)
    assert [alone.cells_of_next(()) for _ in range(4)] == [given[:2], given[2:4], given[4:], None]
    shared = handing_out(given, workers=2)
    assert [shared.cells_of_next(()) for _ in range(5)] == [given[:2], given[2:4], given[4:5], given[5:], None]


def test_with_a_precision_variants_wait_for_the_baseline_of_their_model() -> None:
    given, other = cells(), cells("org/other")[2:]
    units = handing_out([*given, *other], precision=0.05)
    first, second = units.cells_of_next(()), units.cells_of_next(given[:1])
    assert (first, second) == (given[:1], given[1:2])
    # The other model's baseline is stored already.
    assert units.cells_of_next(given[:2]) == other[:2]
    assert units.cells_of_next(given[1:2]) == other[2:]
    assert units.cells_of_next(given[1:2]) is None
    assert len(units) == 2
    assert units.cells_of_next(()) == given[2:4]


def test_what_a_lost_worker_had_taken_comes_first() -> None:
    given = cells()
    units = handing_out(given)
    units.cells_of_next(())
    units.put_back_cells(given[:2])
    assert units.cells == tuple(given)
    assert units.cells_of_next(()) == given[:1]


def test_a_cell_whose_workers_are_lost_is_given_up_after_three() -> None:
    given = cells()[:2]
    units = handing_out(given)
    assert [units.put_back_cells(given), units.put_back_cells(given[:1]), units.put_back_cells(given[:1])] == [
        [],
        [],
        given[:1],
    ]
    # One that hangs is not tried again, and what the worker had not started yet is not to blame.
    assert units.put_back_cells(given, hopeless=given[0]) == given[:1]
    assert units.put_back_cells(given[1:]) == []


def test_if_three_workers_are_lost_in_a_row_without_a_cell_all_are_given_up() -> None:
    given = cells()
    units = handing_out(given)
    assert [units.put_back_cells([]), units.put_back_cells([])] == [[], []]
    assert units.cells_of_next(()) == given[:2]
    assert [units.put_back_cells([]), units.put_back_cells([]), units.put_back_cells([])] == [[], [], given[2:]]
    assert len(units) == 0


def test_workers_that_are_lost_while_they_start_do_not_end_the_work_of_others() -> None:
    given = cells()
    units = handing_out(given, workers=2)
    for lost in range(1, 5):
        assert units.put_back(CellUnit(()), [], others=1) == ([], [])
        assert units.start_in_vain == (lost >= 3)
    assert units.cells_of_next(()) == given[:2]
    assert not units.start_in_vain
    # Of a lost worker's cells, the one whose failure was reported is not tried again.
    units.note_report("cell_failed", given[:1])
    assert units.put_back(CellUnit(given[:2]), given[:2], others=1) == ([], given[1:2])
    for _ in range(2):
        units.put_back(CellUnit(()), [], others=1)
    assert units.put_back(CellUnit(()), [], others=0) == (given[1:], [])


def test_at_the_end_cells_are_split_by_batches() -> None:
    given = cells()[:2]
    units = handing_out(given, workers=4, items=1000)
    assert units.most_workers == 14
    # Two units are left, then one.
    taken = [units.next(()) for _ in range(11)]
    shares = [CellUnit(given[:1], (number, 4)) for number in range(4)]
    shares += [CellUnit(given[1:], (number, 7)) for number in range(7)]
    assert taken == shares
    assert units.next(()) is None
    # The second one is known once all its shares are.
    read = [Read({str(number): number}, 1.5) for number in range(7)]  # type: ignore[dict-item]
    for unit, each in zip(taken[4:], read, strict=True):
        assert units.next(()) is None
        assert units.note_report(SHARE_READ, (unit, each))
    assert units.next(()) == CellUnit(given[1:], None, sum(read, Read()))


def test_small_cells_and_those_with_a_precision_are_not_split() -> None:
    given = cells()
    for units in (handing_out(given, workers=9, items=200), handing_out(given, workers=9, precision=0.1, items=1000)):
        assert units.most_workers == 6
        assert units.next(()) == CellUnit(given[:1])


def test_a_lost_share_is_read_again_and_a_known_one_is_not() -> None:
    given = cells()[:1]
    units = handing_out(given, workers=1, items=1000)
    first, second = two_shares(units)
    units.note_report(SHARE_READ, (first, Read()))
    assert units.put_back(first, given)[0] == []
    assert units.next(()) is None
    assert units.put_back(second, given)[0] == []
    assert units.next(()) == second
    units.note_report(SHARE_READ, (second, Read()))
    assert units.put_back(second, given)[0] == []
    whole = units.next(())
    assert whole == CellUnit(given, None, Read())
    # Nothing is split twice, although nothing was read.
    assert units.put_back(whole, given)[0] == []
    assert [units.next(()), units.next(())] == [whole, None]


def test_a_cell_of_which_a_share_fails_is_given_up() -> None:
    given = cells()[:1]
    units = handing_out(given, workers=1, items=1000)
    first, second = two_shares(units)
    assert not units.note_report("cell_failed", given)
    assert units.next(()) is None
    units.note_report(SHARE_READ, (second, Read()))
    assert units.put_back(first, given)[0] == []
    assert units.next(()) is None


def test_a_worker_has_time_from_one_cell_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("forgetmeter.executors.handing_out.monotonic", lambda: now)
    taken = Taken()
    assert (taken.current, taken.left(10)) == (None, math.inf)
    taken.take(CellUnit(cells()[:2]))
    now += 4
    taken.note_call("cell_started")
    assert (taken.current, taken.left(10), taken.left(None)) == (cells()[0], 6, math.inf)
    taken.note_call("cell_finished")
    assert (taken.current, taken.left(10)) == (cells()[1], 10)
    taken.note_call("cell_failed")
    assert (taken.current, taken.left(10)) == (None, math.inf)


def test_every_call_of_a_listener_is_passed_on() -> None:
    told: list[tuple[Any, ...]] = []
    progress = ForwardedProgress(lambda *call: told.append(call))
    progress.stage("loading")
    progress.cell_finished(cells()[0], seconds=1.5)
    assert told == [("stage", ("loading",), {}), ("cell_finished", (cells()[0],), {"seconds": 1.5})]
