"""Sizes of variants, and of the models they were made from."""

from __future__ import annotations

from forgetmeter.results.summary import Summary, VariantSummary
from forgetmeter.specs.recipe import BASELINE, stored_recipe


def original_bytes(model: str, summary: Summary) -> int | None:
    """Return the size of a model's weight files; ``None`` if it is unknown."""
    if model in summary.study.sources:
        return summary.study.sources[model].bytes
    baseline = _variant(model, BASELINE, summary)
    return None if baseline is None else baseline.dense_bytes


def variant_bytes(model: str, recipe: str, summary: Summary) -> int | None:
    """Return the size of a variant: for a candidate, of its weight files, else with each matrix in its smallest form.

    Returns:
        Bytes; ``None`` if the size is unknown, as an engine's is.
    """
    if recipe == BASELINE:
        return original_bytes(model, summary)
    parsed = stored_recipe(recipe)
    if parsed is not None and not parsed.steps and str(parsed.candidate) in summary.study.sources:
        return summary.study.sources[str(parsed.candidate)].bytes
    variant = _variant(model, recipe, summary)
    return None if variant is None else variant.smallest_bytes


def _variant(model: str, recipe: str, summary: Summary) -> VariantSummary | None:
    return next((each for each in summary.variants if (each.model, each.recipe) == (model, recipe)), None)
