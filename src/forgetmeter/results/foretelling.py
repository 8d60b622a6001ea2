"""How well cheap numbers rank variants by what they retain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from forgetmeter.results.compared.measured import MeasuredSummary, perplexity_names
from forgetmeter.results.sizes import variant_bytes
from forgetmeter.results.summary import Summary
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import Estimate
from forgetmeter.statistics.rank_correlation import FEWEST, rank_correlation

_DIVERGENCES = {
    "ln_perplexity_ratio": "ln of the perplexity ratio",
    "divergence": "mean KL",
    "divergence_p99_9": "99.9% KL",
    "agreement": "top-1 agreement",
}
_GROWS_WITH_KNOWLEDGE = ("agreement",)


@dataclass(frozen=True)
class Foretold:
    """A number that is cheap to measure, against what is retained, over the variants of a model.

    Attributes:
        task: The task whose retained share is ranked.
        number: Name of the number that ranks the variants.
        source: The task that it was measured on; empty for sizes.
        variants: Number of variants.
        correlation: Spearman's rank correlation of the number with the retained share; the sign is chosen so that 1
            means that the number ranks the variants as the retained share does. ``None`` for fewer than five variants,
            or if the number is the same for all.
        at_equal_size: The same with the variants' size held equal; ``None`` likewise, if a size is unknown, and for
            the size itself.
    """

    model: str
    task: str
    number: str
    source: str
    variants: int
    correlation: Estimate | None
    at_equal_size: Estimate | None


def foretold(summary: Summary) -> tuple[Foretold, ...]:
    """Return all cheap numbers of a run against all retained shares, by model and task, the best number first."""
    found: list[Foretold] = []
    for model, task in dict.fromkeys((cell.model, cell.task) for cell in summary.cells):
        retained = {
            cell.recipe: cell.retained.value
            for cell in summary.cells
            if (cell.model, cell.task) == (model, task) and cell.retained is not None and cell.recipe != BASELINE
        }
        if len(retained) < FEWEST:
            continue
        mine = [_against(model, task, retained, number, summary) for number in _numbers(model, summary)]
        found += sorted(mine, key=lambda each: -(each.correlation.value if each.correlation else -2.0))
    return tuple(found)


def _numbers(model: str, summary: Summary) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    """Yield name, source and values by recipe of each cheap number; larger values mean more knowledge."""
    for source in dict.fromkeys(cell.task for cell in summary.measured if cell.model == model):
        cells = [cell for cell in summary.measured if (cell.model, cell.task) == (model, source)]
        for name in perplexity_names(source, {key for cell in cells for key in cell.metrics})[:1]:
            yield "perplexity ratio", source, {each.recipe: -each.ratios[name] for each in cells if name in each.ratios}
        for name, words in _DIVERGENCES.items():
            if values := _metric(cells, name):
                yield words, source, values
    for other in dict.fromkeys(cell.task for cell in summary.cells if cell.model == model):
        drops = [cell for cell in summary.cells if (cell.model, cell.task) == (model, other)]
        yield "accuracy drop", other, {each.recipe: -each.drop.value for each in drops if each.drop is not None}
    recipes = [each.recipe for each in summary.variants if each.model == model]
    sizes = {recipe: variant_bytes(model, recipe, summary) for recipe in recipes if recipe != BASELINE}
    yield from _size(
        {recipe: size for recipe, size in sizes.items() if size is not None}, summary.parameters.get(model)
    )


def _size(sizes: Mapping[str, int], parameters: int | None) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    """Yield the size as bits per weight, with their range, if the number of weights is known."""
    if not sizes or not parameters:
        yield "size", "", sizes
        return
    bits = {recipe: 8 * size / parameters for recipe, size in sizes.items()}
    yield f"bits per weight ({min(bits.values()):.3g} to {max(bits.values()):.3g})", "", bits


def _metric(cells: list[MeasuredSummary], name: str) -> dict[str, float]:
    sign = 1 if name in _GROWS_WITH_KNOWLEDGE else -1
    return {each.recipe: sign * each.metrics[name] for each in cells if name in each.metrics}


def _against(
    model: str,
    task: str,
    retained: Mapping[str, float],
    number: tuple[str, str, Mapping[str, float]],
    summary: Summary,
) -> Foretold:
    name, source, values = number
    recipes = [recipe for recipe in retained if np.isfinite(values.get(recipe, np.nan))]
    one, other = (np.asarray([each[recipe] for recipe in recipes], dtype=np.float64) for each in (retained, values))
    sizes = [variant_bytes(model, recipe, summary) for recipe in recipes]
    alike = None
    if source and None not in sizes:
        alike = rank_correlation(one, other, given=np.asarray(sizes, dtype=np.float64))
    return Foretold(model, task, name, source, len(recipes), rank_correlation(one, other), alike)
