"""What methods that look at activations are calibrated on in a run: true statements that ship with the package."""

from __future__ import annotations

from collections.abc import Iterable

from forgetmeter.compression.block_influence import Calibration
from forgetmeter.compression.recipe_problems import needs_activations
from forgetmeter.models.loaded import Loaded
from forgetmeter.probes.loading import load_task
from forgetmeter.specs.recipe import Recipe

_TASK = "facts:templates=0"
_FACTS_PER_RELATION = 10


def calibration_for(loaded: Loaded, recipes: Iterable[Recipe]) -> Calibration:
    """Return what to call a model with; nothing where no recipe needs it.

    That is the first ten built-in facts of each relation in their first phrasing, each statement a call of its own. An
    encoder-decoder reads and writes the statement.

    Args:
        loaded: The model with its tokenizer.
        recipes: What it will be compressed by.
    """
    if not any(needs_activations(recipe) for recipe in recipes):
        return ()
    calls = []
    for item in load_task(_TASK, limit=_FACTS_PER_RELATION).items:
        statement = item.cloze.filled(item.choices[item.gold[0]])
        ids = loaded.tokenizer(statement, return_tensors="pt")["input_ids"]
        calls.append({"input_ids": ids, "labels": ids} if loaded.family == "encoder-decoder" else {"input_ids": ids})
    return calls
