"""The ledger of changed answers, against a loop.

Covers ``results.open_ledgers`` and ``runs.content.ledger_items``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_run import write_hostile_run
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.errors import UserError
from forgetmeter.report.tables import remarks
from forgetmeter.results.ledger import Ledger, LedgerCount, make_ledger
from forgetmeter.results.results import open_run
from forgetmeter.runs.content.ledger_items import LedgerAnswer, LedgerItem

RECIPE = "dynamic_int8:overall"
OTHER = "l1_unstructured:overall:0.5"


def some(task: MadeUpTask, recipe: str, random: np.random.Generator) -> np.ndarray:
    known = np.random.default_rng(0).random(task.items) < 0.6
    return known if recipe == "baseline" else np.where(random.random(task.items) < 0.4, ~known, known)


def write(tmp_path: Path, **options: Any) -> str:
    return write_made_up_run(str(tmp_path / "run"), recipes=[OTHER, RECIPE], right=some, **options)


STATUS = {(True, True): "kept", (True, False): "forgotten", (False, True): "gained", (False, False): "wrong"}


def test_it_matches_a_loop(tmp_path: Path) -> None:
    task = MadeUpTask("facts", 90, relations=3, choices=20, popularity=True)
    run = open_run(write(tmp_path, tasks=[task]))
    (ledger,) = run.ledgers(RECIPE)
    rows = run.outcomes.set_index(["recipe", "item_id"])
    fields = {row["item_id"]: dict(row["fields"]) for row in run.items.to_dict("records")}
    expected: Counter[tuple[str, str]] = Counter()
    for entry in ledger.entries:
        before, after = (rows.loc[(recipe, entry.item_id)] for recipe in ("baseline", RECIPE))
        about = fields[entry.item_id]
        assert entry.status == STATUS[bool(before["correct"]), bool(after["correct"])]
        assert (entry.before, entry.after, entry.gold) == (before["prediction"], after["prediction"], after["gold"])
        assert (entry.rank_before, entry.rank_after) == (before["rank"], after["rank"])
        assert (entry.margin_before, entry.margin_after) == (before["margin"], after["margin"])
        assert (entry.subject, entry.relation) == (about["subject"], about["relation"])
        assert entry.popularity == float(about["popularity"])
        assert entry.statement == f"Thing {entry.item_id.split('/')[1]} is ___."
        fate = ("still near" if after["rank"] <= 5 else "lost") if entry.status == "forgotten" else None
        assert entry.fate == fate
        assert entry.popularity_tercile == tercile(entry.popularity, popularity_of(fields, entry.relation))
        expected[entry.relation, entry.status] += 1
    assert [entry.item_id for entry in ledger.entries] == list(run.items["item_id"])
    for count in ledger.by_relation:
        assert counts(count) == tuple(
            expected[count.group, status] for status in ("kept", "forgotten", "gained", "wrong")
        )
    assert [count.forgotten for count in ledger.by_relation] == sorted(
        (count.forgotten for count in ledger.by_relation), reverse=True
    )
    assert [count.group for count in ledger.by_popularity] == ["rare", "medium", "popular"]
    assert dict(ledger.fates) == Counter(entry.fate for entry in ledger.entries if entry.fate) | {"other phrasing": 0}


def popularity_of(fields: dict[str, dict[str, str]], relation: str | None) -> list[float]:
    return [float(each["popularity"]) for each in fields.values() if each["relation"] == relation]


def tercile(value: float, values: list[float]) -> str:
    return ("rare", "medium", "popular")[sum(each < value for each in values) * 3 // len(values)]


def counts(count: LedgerCount) -> tuple[int, int, int, int]:
    return count.kept, count.forgotten, count.gained, count.wrong


def test_margins_are_terciles_of_what_was_known(tmp_path: Path) -> None:
    (ledger,) = open_run(write(tmp_path)).ledgers(RECIPE)
    known = [entry for entry in ledger.entries if entry.status in ("kept", "forgotten")]
    margins = [entry.margin_before or 0.0 for entry in known]
    names = {"rare": "narrow", "medium": "medium", "popular": "wide"}
    assert [entry.margin_tercile for entry in known] == [names[tercile(each, margins)] for each in margins]
    assert {entry.margin_tercile for entry in ledger.entries if entry not in known} == {None}
    assert [count.group for count in ledger.by_margin] == ["narrow", "medium", "wide"]
    # With four choices, being among the first five means nothing.
    assert ledger.fates == ()
    assert ledger.by_relation == ledger.by_popularity == ()
    assert ledger.total.items == 200


RIGHT, WRONG = LedgerAnswer(True, "a", 1, 1.0), LedgerAnswer(False, "b", 40, -1.0)
ITEM = LedgerItem("t/0", "___", "Oz", "R", None, ("R", "Oz"), None, 60, "a", RIGHT, WRONG)


def ledger_of(*items: LedgerItem) -> Ledger:
    return make_ledger("m", RECIPE, "t", items)


def test_facts_right_in_another_phrasing_are_not_lost() -> None:
    lost = ledger_of(ITEM, replace(ITEM, item_id="t/1"))
    assert [entry.fate for entry in lost.entries] == ["lost", "lost"]
    back = ledger_of(ITEM, replace(ITEM, item_id="t/1", after=RIGHT))
    assert [entry.fate for entry in back.entries] == ["other phrasing", None]
    elsewhere = ledger_of(ITEM, replace(ITEM, item_id="t/1", fact=("R", "Ur"), after=RIGHT))
    assert [entry.fate for entry in elsewhere.entries] == ["lost", None]
    near = ledger_of(replace(ITEM, after=replace(WRONG, rank=5)), replace(ITEM, item_id="t/1", after=RIGHT))
    assert [entry.fate for entry in near.entries] == ["still near", None]


@pytest.mark.parametrize(
    ("choices", "rank", "fate"), [(10, 2, None), (11, 2, "still near"), (None, 5, "still near"), (None, None, "lost")]
)
def test_ranks_are_used_with_many_choices(choices: int | None, rank: int | None, fate: str) -> None:
    item = replace(ITEM, fact=None, choices=choices, after=replace(WRONG, rank=rank))
    assert ledger_of(item).entries[0].fate == fate


def test_no_item_and_one_item() -> None:
    assert ledger_of().total.retained is None
    assert ledger_of(ITEM).total.retained == 0
    assert ledger_of(replace(ITEM, before=WRONG)).total.retained is None


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"recipe": "baseline"}, "give another recipe"),
        ({"recipe": "dynamic_int8:overal"}, "unknown scope"),
        ({"recipe": "dynamic_int8:head"}, "unknown recipe 'dynamic_int8:head' in this run"),
        ({"recipe": RECIPE, "task": "bear"}, "unknown task 'bear' in this run"),
        ({"recipe": RECIPE, "model": "gpt"}, "unknown model 'gpt' in this run"),
    ],
)
def test_unknown_recipes_and_tasks_are_refused(tmp_path: Path, request_: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        open_run(write(tmp_path)).ledgers(**request_)


def test_a_task_is_found_without_its_options(tmp_path: Path) -> None:
    run = open_run(write(tmp_path, tasks=[MadeUpTask("bear:templates=0", 20), MadeUpTask("piqa", 20)]))
    assert [ledger.task for ledger in run.ledgers(RECIPE, task="bear")] == ["bear:templates=0"]
    assert len(run.ledgers(RECIPE)) == 2


def test_missing_parts_are_reported(full_run: str, write_run: Callable[..., str], tmp_path: Path) -> None:
    run = open_run(full_run)
    assert [ledger.task for ledger in run.ledgers(RECIPE)] == ["piqa"]
    with pytest.raises(UserError, match=r"no outcomes of 'dynamic_int8:overall' on lama/trex \(it failed\)"):
        run.ledgers(RECIPE, task="lama/trex")
    alone = write_run({(RECIPE, "piqa"): [True]}, location=str(tmp_path / "alone"))
    with pytest.raises(UserError, match="no outcomes of 'baseline' on piqa"):
        open_run(alone).ledgers(RECIPE)


def test_missing_items(tmp_path: Path) -> None:
    location = write(tmp_path)
    next((Path(location) / "items").glob("*.parquet")).unlink()
    (ledger,) = open_run(location).ledgers(RECIPE)
    assert ledger.total.items == 200
    assert ledger.entries[0].statement == ""
    # The number of competing answers is unknown, so being among the first five may mean nothing.
    assert not ledger.has_items
    assert ledger.total.forgotten > 0
    assert ledger.fates == ()
    summary = open_run(location).summary
    assert [task.has_items for task in summary.tasks] == [False]
    assert "its items are missing or damaged" in remarks(summary)[0]


def test_a_run_of_a_baseline_alone(tmp_path: Path) -> None:
    alone = write_hostile_run(str(tmp_path / "alone"), {"baseline": [True]}, recipes=("baseline",))
    with pytest.raises(UserError, match="no recipe except the baseline"):
        open_run(alone).ledgers("dynamic_int8:head")
