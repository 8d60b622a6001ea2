"""Checks that the counts of weights, zeros and bytes of a variant agree with each other and with its original's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import get_args

from forgetmeter.basics.json_text import read_json
from forgetmeter.records.variant import Reached
from forgetmeter.results.checks.table_checks import or_error
from forgetmeter.runs import layout
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import StoredVariant
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe, stored_recipe
from forgetmeter.specs.role import Component, Matrix, Role

_ZEROING = {"unstructured", "semi_structured", "structured", "heads"}
"""Kinds of methods that set weights to zero and change no others."""
_WIDEST = 8
"""Bytes of a float64."""


def size_problems(run: Run) -> Iterator[str]:
    """Yield which counts and sizes of a variant contradict one another, one sentence per kind."""
    recipes = {each.id: recipe for each in run.variants if (recipe := stored_recipe(each.recipe)) is not None}
    originals = {
        (each.model, recipes[each.id].candidate): each.reached
        for each in run.variants
        if each.id in recipes and not recipes[each.id].steps
    }
    for variant in run.variants:
        own = partial(_problems, run, variant, recipes.get(variant.id), originals)
        yield from or_error(layout.variant_path(variant.id), own)


def _problems(
    run: Run,
    variant: StoredVariant,
    recipe: Recipe | None,
    originals: Mapping[tuple[str, ModelReference | None], Reached | None],
) -> Iterator[str]:
    reached = variant.reached
    if reached is None:
        return
    stored = read_json(run.read(layout.variant_path(variant.id)))["reached"]
    if stored.get("sparsity", reached.sparsity) != reached.sparsity:
        yield f"{variant.recipe} ({variant.model}): its sparsity is not that of its counts of weights"
    wrong = {**_alone(reached), **({} if recipe is None else _of_recipe(reached, recipe, run.study))}
    source = None if recipe is None or recipe.steps else run.study.sources.get(str(recipe.candidate))
    if source is not None and reached.smallest_bytes is not None:
        wrong["size is not that of its files"] = reached.smallest_bytes != source.bytes
    if recipe is not None and (original := originals.get((variant.model, recipe.candidate))) is not None:
        wrong |= _beside(reached, original)
    yield from (f"{variant.recipe} ({variant.model}): its {what}" for what, is_wrong in wrong.items() if is_wrong)


def _alone(reached: Reached) -> dict[str, bool]:
    """Return what of a variant's own numbers contradicts others of them, by a phrase."""
    weights, zeros = _total(reached)
    chosen, chosen_zeros = reached.selected_weights, reached.selected_zeros
    pairs = [(role.zeros, role.weights) for role in reached.roles.values()]
    pairs += [(chosen_zeros, chosen), (chosen_zeros, zeros), (zeros - chosen_zeros, weights - chosen)]
    saved = reached.dense_bytes - reached.bitmask_bytes
    sizes = (reached.dense_bytes, reached.bitmask_bytes, reached.quantized_bytes, reached.smallest_bytes)
    return {
        "counts of zeros and weights contradict one another": any(not 0 <= few <= many for few, many in pairs),
        "sizes contradict one another": any(size is not None and size < 0 for size in sizes)
        or not 0 <= saved <= _WIDEST * zeros
        or (reached.smallest_bytes is not None and reached.smallest_bytes > reached.quantized_bytes),
    }


def _of_recipe(reached: Reached, recipe: Recipe, study: StudyRecord) -> dict[str, bool]:
    """Return what contradicts the recipe: counts of its scopes, or sizes of a model that it leaves, or sets to zero."""
    wrong = {}
    if (chosen := _selected(reached, recipe)) is not None:
        counts = [reached.roles[role] for role in chosen]
        stated = (reached.selected_weights, reached.selected_zeros)
        wrong["counts contradict the scopes of its recipe"] = stated != (
            sum(each.weights for each in counts),
            sum(each.zeros for each in counts),
        )
    if recipe.is_baseline:
        smallest = reached.bitmask_bytes if reached.smallest_bytes is None else reached.smallest_bytes
        wrong["sizes are not those of a model without a change"] = (
            reached.quantized_bytes != reached.dense_bytes or smallest != reached.bitmask_bytes or reached.simulated
        )
    elif not recipe.steps:
        # Both are the bytes of a candidate's files, or of its tensors if they are numbers in floating point.
        is_plain = str(recipe.candidate) not in study.sources
        wrong["sizes are not those of one model"] = reached.smallest_bytes != reached.quantized_bytes or (
            is_plain and reached.quantized_bytes < reached.dense_bytes
        )
    elif all(step.method in study.methods and study.methods[step.method].kind in _ZEROING for step in recipe.steps):
        # A lossless format stores all of the others.
        least = reached.bitmask_bytes - _total(reached)[0] / 8
        wrong["sizes are not those of zeros"] = reached.quantized_bytes != reached.dense_bytes or (
            reached.smallest_bytes is not None and reached.smallest_bytes < least
        )
    return wrong


def _beside(reached: Reached, original: Reached) -> dict[str, bool]:
    """Return what contradicts the counts of the model that the recipe's steps were applied to."""
    weights = {role: each.weights for role, each in reached.roles.items()}
    added = _total(reached)[1] - _total(original)[1]
    return {
        "counts of weights are not those of its original": weights
        != {role: each.weights for role, each in original.roles.items()},
        "zeros are not those of its original and those that were added": added != reached.removed_weights,
        # A compressed head that was tied is stored beside the embedding.
        "plain size is smaller than its original's": reached.dense_bytes < original.dense_bytes,
    }


def _selected(reached: Reached, recipe: Recipe) -> list[str] | None:
    """Return the roles in a recipe's scopes; ``None`` if roles do not decide what it selects."""
    scopes = [step.scope for step in recipe.steps]
    is_of_roles = all(
        scope.stack is None
        and scope.layers is None
        and scope.pattern is None
        # Roles as text do not say whether attention is self- or cross-attention, nor of which architecture it is.
        and not scope.selector.startswith(("self_", "cross_", "paper/"))
        for scope in scopes
    )
    return [role for role in reached.roles if recipe.selects(_matrix(role))] if is_of_roles else None


def _matrix(role: str) -> Matrix:
    component, _, part = role.partition(".")
    known = component if component in get_args(Component) else "unknown"
    return Matrix("", Role(known, part or None), (), "decoder")  # type: ignore[arg-type]


def _total(reached: Reached) -> tuple[int, int]:
    """Return the numbers of weights and zeros of all roles."""
    counts = reached.roles.values()
    return sum(each.weights for each in counts), sum(each.zeros for each in counts)
