"""Calibration data for methods that need activations: true statements that ship with the package."""

from __future__ import annotations

from collections.abc import Iterable

from forgetmeter.compression.applying.recipe_problems import needs_activations
from forgetmeter.compression.calibrated.activations import Calibration
from forgetmeter.models.loaded import Loaded
from forgetmeter.probes.loading import load_task
from forgetmeter.specs.recipe import Recipe

_TASK = "facts:templates=0"
_FACTS_PER_RELATION = 10


def calibration_for(loaded: Loaded, recipes: Iterable[Recipe]) -> Calibration:
    """Return the inputs of each calibration call; empty if no recipe needs activations.

    They are the first ten built-in facts of each relation in their first phrasing, one call per statement. An
    encoder-decoder gets the statement as both input and labels.
    """
    if not any(needs_activations(recipe) for recipe in recipes):
        return ()
    calls = []
    for item in load_task(_TASK, limit=_FACTS_PER_RELATION).items:
        statement = item.cloze.filled(item.choices[item.gold[0]])
        ids = loaded.tokenizer(statement, return_tensors="pt")["input_ids"]
        calls.append({"input_ids": ids, "labels": ids} if loaded.family == "encoder-decoder" else {"input_ids": ids})
    return calls
