"""Counts of a probe's items that one model can be scored on, by relation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loaded import Loaded
from forgetmeter.probes.by_relation import RelationCounts
from forgetmeter.records.item import Item
from forgetmeter.scoring.asked import NOT_ONE_TOKEN, TOO_LONG
from forgetmeter.scoring.engine import Engine


def relations_for_model(relations: Sequence[RelationCounts], items: Sequence[Item], model: str) -> list[RelationCounts]:
    """Add the items that a model cannot be scored on to those dropped by a probe's own filters.

    The model's weights are not loaded.

    Raises:
        UserError: The model does not exist, or cannot be scored on any item.
    """
    checkpoint = open_checkpoint(model)
    shape = checkpoint.outline()
    if checkpoint.family == "decoder":
        raise UserError(
            f"model '{model}' is a decoder, which can rank candidates of any length and so leaves no items out; "
            "omit --model"
        )
    prepared = Engine(Loaded(shape, checkpoint.tokenizer, checkpoint.family, model)).prepare(items)
    found: dict[str, Counter[str]] = {relation.relation: Counter() for relation in relations}
    for item, reason in zip(items, prepared.reasons, strict=True):
        # A fact without a relation belongs to none.
        if reason is not None and (relation := item.fields.get("relation")):
            found[relation][reason] += 1
    reasons = dict.fromkeys((NOT_ONE_TOKEN, TOO_LONG, *prepared.dropped))
    return [
        replace(each, dropped={**each.dropped, **{reason: found[each.relation][reason] for reason in reasons}})
        for each in relations
    ]
