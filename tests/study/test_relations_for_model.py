"""Counts of the items of a probe's relations that a model can be scored on."""

from __future__ import annotations

from forgetmeter.probes.by_relation import RelationCounts
from forgetmeter.records.item import Cloze, Item, Problem
from forgetmeter.study.relations_for_model import relations_for_model


def test_every_reason_that_leaves_an_item_out_is_counted() -> None:
    cloze = Cloze("The capital of France is ", ".", "candidates")
    items = [
        Item("x/0", "", cloze, ("☃", "Paris", "☂"), (0,), {"relation": "r"}),
        Item("x/1", "", cloze, ("☃", "Paris", "☂"), (1,), {"relation": "r"}),
        Item("x/2", "", Cloze("[MASK] is ", ".", "candidates"), ("Paris", "Rome"), (1,), {"relation": "r"}),
    ]
    (counts,) = relations_for_model([RelationCounts("r", "", "", 3, {})], items, "standard:encoder")
    assert counts.dropped == {
        "answer is not one token of the vocabulary": 0,
        "longer than the model reads": 0,
        "right and wrong answers are the same tokens": 1,
        "text contains the token that marks the blank": 1,
    }
    assert counts.items == 1


def test_an_item_without_a_relation_belongs_to_none() -> None:
    items = [
        Item("x/0", "", Problem("relation is missing"), ("Paris", "Rome"), (0,)),
        Item(
            "x/1", "", Cloze("The capital of France is ", ".", "candidates"), ("Paris", "Rome"), (0,), {"relation": "r"}
        ),
    ]
    (counts,) = relations_for_model([RelationCounts("r", "", "", 1, {})], items, "standard:encoder")
    assert counts.items == 1
