"""Chooses the bits of each part of a model by how sensitive it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from forgetmeter.checkpoints.predicted_size import SizePredictor
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.plan.allocation import Choice, least_loss
from forgetmeter.results.advice import Sized
from forgetmeter.results.results import open_run
from forgetmeter.results.sensitivity import Sensitivity
from forgetmeter.specs.ranges import merged
from forgetmeter.specs.recipe import Recipe, Step, parse_recipe
from forgetmeter.specs.scope import Scope
from forgetmeter.statistics.paired import Estimate
from forgetmeter.study.checked_study import CheckedStudy, Finished
from forgetmeter.study.measuring_sensitivity import SensitivityRequest, measure_sensitivity, step_of

if TYPE_CHECKING:
    from forgetmeter.study.advising import AdviceRequest

_METHOD = "round_to_nearest:{bits}:group_size=32:clip=mse"
_BITS = (2, 3, 4, 5, 6, 8)
_MEASURED_BITS = (2, 3, 4)
"""Bits that parts are asked with; an error of rounding shrinks fourfold with each further bit."""
_EMBEDDING = "cast:token_embedding:dtype=bfloat16"
_PRECISION = 0.005
"""Precision of the drops."""
_PRIOR = 0.02
"""Loss that is assumed of a model at 2 bits where nothing was measured, so that bytes that are left are used."""
_TRIES = 5


def measured_mixes(
    request: AdviceRequest,
    checkpoint: Checkpoint,
    most: int,
    *,
    limit: int,
    listener: Progress,
    complete: Callable[[CheckedStudy], Finished],
) -> list[Sized]:
    """Measure how sensitive the parts of a model are to fewer bits, and return mixes of bits that fit.

    Args:
        request: The model, its tasks, and the location of the run.
        checkpoint: The model.
        most: Limit in bytes.
        limit: Number of items of each group to ask.
        listener: Receives the stages.
        complete: Completes the cells of the run.
    """
    assert request.output is not None
    listener.stage("measuring the sensitivity of the model's parts")
    measure_sensitivity(
        SensitivityRequest(
            request.model,
            request.tasks,
            request.output,
            [_METHOD.format(bits=bits) for bits in _MEASURED_BITS],
            by="component",
            precision=_PRECISION,
            options={**(request.options or {}), "evaluation.limit": limit},
            data=request.data,
        ),
        listener=listener,
        complete=complete,
    )
    return mixes(open_run(request.output).sensitivities, SizePredictor(checkpoint), most)


def check_mixable(checkpoint: Checkpoint) -> None:
    """Check, before anything is measured, that fewer bits make a model's files smaller.

    Raises:
        UserError: They do not, because no format stores its integers.
    """
    recipe = Recipe((step_of(_METHOD.format(bits=4)), *parse_recipe(_EMBEDDING).steps))
    try:
        packs = SizePredictor(checkpoint).of(recipe).format != "dense"
    except UserError:
        # Some parts may still be stored in fewer bits.
        return
    if not packs:
        raise UserError(
            f"mixed bits cannot make {checkpoint.name} smaller, because no format stores the integers of this "
            "architecture; advise without --mixed compares the recipes that can"
        )


@dataclass(frozen=True)
class _Option:
    """A step over one part, or nothing, with what it costs."""

    step: Step | None
    saved: int
    value: float
    high: float


def mixes(found: Sequence[Sensitivity], sizes: SizePredictor, most: int) -> list[Sized]:
    """Return the recipes with the least expected loss within a size limit; an empty list if none fits.

    The losses of parts are assumed to add up. One recipe follows from the losses as measured, another from values
    halfway between these and their upper limits.

    Args:
        found: Sensitivities of all parts to ``_MEASURED_BITS``, over one task or several.
        sizes: Sizes of the model's recipes.
        most: Limit in bytes.
    """
    options = [*_parts(found, sizes), _embedding(sizes)]
    recipes: dict[str, Sized] = {}
    for caution in (0.0, 0.5):
        made = _within(options, sizes, most, caution)
        if made is not None:
            recipes[made.recipe] = made
    return list(recipes.values())


def _parts(found: Sequence[Sensitivity], sizes: SizePredictor) -> Iterator[list[_Option]]:
    """Yield the options of each part."""
    drops: dict[Scope, dict[int, list[Estimate]]] = {}
    steps: dict[Scope, Step] = {}
    weights: dict[Scope, int] = {}
    for each in found:
        for part in each.parts:
            assert each.level is not None
            drops.setdefault(part.scope, {}).setdefault(int(each.level), []).append(part.drop)
            steps[part.scope], weights[part.scope] = replace(each.step, scope=part.scope), part.weights
    whole = sum(weights.values())
    for scope, by_bits in drops.items():
        losses, options = _losses(by_bits), [_Option(None, 0, 0.0, 0.0)]
        for bits in _BITS:
            near = min(losses, key=lambda each, bits=bits: abs(each - bits))  # type: ignore[misc]
            value, high = losses[near]
            shrunk = 4.0 ** min(0, near - bits)
            prior = _PRIOR * 4.0 ** (2 - bits) * weights[scope] / whole
            step = replace(steps[scope], level=bits)
            saved = _saved(Recipe((step,)), sizes)
            options.append(_Option(step, saved, value * shrunk + prior, high * shrunk + prior))
        yield options


def _losses(drops: Mapping[int, Sequence[Estimate]]) -> dict[int, tuple[float, float]]:
    """Return a part's loss and its upper limit by bits, means over the tasks; neither is below that of more bits."""
    losses: dict[int, tuple[float, float]] = {}
    value = high = 0.0
    for bits in sorted(drops, reverse=True):
        value = max(value, fmean(drop.value for drop in drops[bits]))
        high = max(high, value, fmean(drop.high for drop in drops[bits]))
        losses[bits] = value, high
    return losses


def _embedding(sizes: SizePredictor) -> list[_Option]:
    recipe = parse_recipe(_EMBEDDING)
    nothing = _Option(None, 0, 0.0, 0.0)
    saved = _saved(recipe, sizes)
    return [nothing, _Option(recipe.steps[0], saved, 1e-9, 1e-9)] if saved > 0 else [nothing]


def _saved(recipe: Recipe, sizes: SizePredictor) -> int:
    try:
        predicted = sizes.of(recipe)
    except UserError:
        return 0
    return max(0, sizes.bytes_before - predicted.bytes) if predicted.format else 0


def _within(options: Sequence[Sequence[_Option]], sizes: SizePredictor, most: int, caution: float) -> Sized | None:
    """Return the best recipe that fits; ``None`` if there is none, or all parts get the same bits."""
    parts = [
        [
            Choice(max(each.saved for each in some) - one.saved, one.value + caution * (one.high - one.value))
            for one in some
        ]
        for some in options
    ]
    smallest = _joined([max(some, key=lambda each: each.saved) for some in options])
    if not smallest.steps:
        return None
    # Parts share headers and files, so that together they take less than each alone; known of the smallest only.
    spare = most - sizes.of(smallest).bytes
    for _ in range(_TRIES):
        chosen = least_loss(parts, spare)
        if chosen is None:
            return None
        made = [some[place] for some, place in zip(options, chosen, strict=True)]
        # The last one is the embedding's.
        if len({each.step and each.step.level for each in made[:-1]}) < 2:
            return None
        predicted = sizes.of(recipe := _joined(made))
        if predicted.bytes <= most:
            return Sized(str(recipe), predicted.bytes, predicted.format)
        spare -= predicted.bytes - most
    return None


def _joined(options: Sequence[_Option]) -> Recipe:
    return Recipe(tuple(_merged(each.step for each in options if each.step is not None)))


def _merged(steps: Iterable[Step]) -> list[Step]:
    """Merge the steps of consecutive bands of layers that differ in nothing else, and sort them by scope."""
    bands: dict[Step, list[tuple[int, int]]] = {}
    for step in steps:
        layers = step.scope.layers
        anywhere = replace(step, scope=replace(step.scope, layers=None))
        bands.setdefault(anywhere, []).extend([] if layers is None else [(layers[0], layers[1] + 1)])
    found = [step for step, ranges in bands.items() if not ranges]
    found += [
        replace(step, scope=replace(step.scope, layers=(start, stop - 1)))
        for step, ranges in bands.items()
        for start, stop in merged(ranges)
    ]
    return sorted(found, key=lambda step: (step.scope.selector, step.scope.stack or "", step.scope.layers or ()))
