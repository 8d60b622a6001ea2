"""Items as lines of text.

Covers ``runs.content.statement`` and ``runs.tables.items_table``.
"""

from forgetmeter.records.item import Cloze, Item, Request, Requests, TaskDescription
from forgetmeter.runs.content.item_texts import read_item_texts
from forgetmeter.runs.tables.items_table import items_parquet


def texts(*items):
    return read_item_texts(items_parquet(TaskDescription("t", "1", "s", "acc", 1), list(items)))


def item(place, *, requests=(), cloze=None, choices=("a", "b"), **fields):
    return Item(f"t/{place}", f"h{place}", cloze or Requests(requests), choices, (0,), fields)


def test_a_cloze_is_its_sentence_with_a_blank():
    read = texts(item(0, cloze=Cloze("A is ", ".", "candidates"), relation="P1", relation_label="kind"))
    assert read.statements == ["A is ___."]
    assert (read.relations, read.relation_labels) == (["kind"], {"P1": "kind"})
    assert (read.ids, read.hashes) == (["t/0"], ["h0"])


def test_a_question_is_its_context_or_a_shared_ending():
    asked = item(0, requests=(Request("Q?", " a"), Request("Q?", " b")))
    ending = item(1, requests=(Request("Because a", " it fell"), Request("Because b", " it fell")))
    mixed = item(2, cloze=Cloze("A is ", ".", "candidates"))
    assert texts(asked, ending, mixed, item(3)).statements == ["Q?", "___ it fell", "A is ___.", ""]
    assert texts(asked).relations == [None]


def test_entities_with_the_same_label_are_different_facts() -> None:
    fields = [{"relation": "R", "subject": "Ur", "template": "0"}, {"relation": "R", "subject": "Ur", "template": "1"}]
    same = texts(*(item(place, **each) for place, each in enumerate(fields)))
    assert same.facts is not None
    assert same.facts.tolist() == [0, 0]
    named = [{**each, "fact": f"R/{place}"} for place, each in enumerate(fields)]
    assert texts(*(item(place, **each) for place, each in enumerate(named))).facts is None
