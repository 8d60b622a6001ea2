"""The items of a ledger: which of them ask for the same fact."""

from __future__ import annotations

import pytest
from made_up_run import RunBuilder

from forgetmeter.records.item import Cloze, Item
from forgetmeter.records.outcome import Outcome
from forgetmeter.runs.run import read_run

PRUNED = "l1_unstructured:overall:0.5"


@pytest.mark.parametrize(
    ("facts", "keys"),
    [
        ([{}, {}], [("R", "Ur"), ("R", "Ur")]),
        # Two entities with the same label.
        ([{"fact": "R/0"}, {"fact": "R/1"}], [("R", "R/0"), ("R", "R/1")]),
    ],
)
def test_the_phrasings_of_a_fact(tmp_path, facts, keys) -> None:
    run = RunBuilder(str(tmp_path / "run"), models=["org/m"], recipes=["baseline", PRUNED], tasks=["t"])
    about = {"relation": "R", "subject": "Ur"}
    run.items(
        "t",
        [
            Item(
                f"t/{place}",
                "",
                Cloze("Ur is ", ".", "candidates"),
                ("a", "b"),
                (0,),
                {**about, "template": str(place), **each},
            )
            for place, each in enumerate(facts)
        ],
    )
    for recipe in ("baseline", PRUNED):
        answers = [Outcome(f"t/{place}", True, "a", "a", 1, 1.0, (-1.0, -2.0)) for place in range(len(facts))]
        run.outcomes(recipe, "t", answers)
    found = read_run(str(tmp_path / "run")).ledger_items("org/m", PRUNED, "t")
    assert [each.fact for each in found] == keys
