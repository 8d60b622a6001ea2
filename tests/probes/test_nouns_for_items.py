"""The nouns by which sentences and tables call a task's items.

Covers ``probes.registry``.
"""

from __future__ import annotations

from forgetmeter.probes.registry import counted_things, things


def test_items_are_called_facts_if_each_is_asked_once() -> None:
    assert [things("lama/trex", 2), things("facts:templates=0", 1), things("piqa", 1)] == ["facts", "fact", "item"]
    assert [things("facts", 2), things("bear:templates=0+1", 1), things("facts:odd=1", 2)] == [
        "questions",
        "question",
        "items",
    ]
    assert [counted_things("lama/trex", 1_000), counted_things("piqa", 1)] == ["1,000 facts", "1 item"]
