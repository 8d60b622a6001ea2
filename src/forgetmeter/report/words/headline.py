"""The result of a run in a few sentences per model and task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from forgetmeter.basics.plural import counted
from forgetmeter.probes.registry import things
from forgetmeter.report.words.candidate_sizes import Size, candidate_sizes
from forgetmeter.report.words.numbers import count, percent, points, share_or_all_but
from forgetmeter.report.words.recipe_words import (
    is_candidate,
    recipe_in_words,
    task_label,
    variant_name,
    variant_noun,
)
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.retained_curve import CurvePoint, RetainedCurve
from forgetmeter.results.summary import Summary, TaskSummary
from forgetmeter.results.treatments import ATTENTION, BOTH, FEED_FORWARD, treatments
from forgetmeter.specs.method_facts import Methods
from forgetmeter.specs.recipe import BASELINE

_AFFORDABLE = (0.01, 0.02, 0.05, 0.1)
_MUCH = 0.25
_NOTHING = 0.01
_SCOPES = (BOTH, FEED_FORWARD, ATTENTION)
_PLACES: Mapping[str, str] = {BOTH: "attention and feed-forward", FEED_FORWARD: "feed-forward", ATTENTION: "attention"}


@dataclass(frozen=True)
class Headline:
    """What compression cost one model on one task.

    Attributes:
        sentences: The sentences, most important first.
        has_knowledge: Whether the baseline has outcomes and is better than guessing.
    """

    model: str
    task: str
    sentences: tuple[str, ...]
    has_knowledge: bool


def headlines(summary: Summary, curves: Iterable[RetainedCurve]) -> list[Headline]:
    """Return one headline per model and task with outcomes, in the study's order."""
    curves, found = list(curves), []
    names = [task.task for task in summary.tasks]
    for model in dict.fromkeys(cell.model for cell in summary.cells):
        sizes = candidate_sizes(model, summary)
        for task in summary.tasks:
            cells = [cell for cell in summary.cells if (cell.model, cell.task) == (model, task.task)]
            mine = [curve for curve in curves if (curve.model, curve.task) == (model, task.task)]
            if cells:
                said = tuple(_sentences(task, task_label(task.task, names), cells, mine, summary.methods, sizes))
                found.append(Headline(model, task.task, said, _has_knowledge(cells)))
    return found


def _sentences(
    task: TaskSummary,
    label: str,
    cells: Sequence[CellSummary],
    curves: Sequence[RetainedCurve],
    methods: Methods,
    sizes: Mapping[str, Size],
) -> Iterable[str]:
    baseline = next((cell for cell in cells if cell.recipe == BASELINE), None)
    if baseline is None:
        best, worst = max(cell.accuracy.value for cell in cells), min(cell.accuracy.value for cell in cells)
        yield f"The baseline has no outcomes on {label}, so what was forgotten is unknown."
        yield f"{counted(len(cells), 'variant')} answered, with {percent(worst)} to {percent(best)} right."
        return
    known = baseline.right
    yield _known(task, label, baseline, known)
    if not known:
        yield "So there is nothing to forget."
        return
    if baseline.is_guessing:
        if len(cells) > 1:
            yield "So what variants get right says nothing about what they know."
        return
    yield from _pruned(curves)
    yield from _quantized([cell for cell in cells if cell.retained is not None], methods)
    compared = [cell for cell in cells if cell.drop is not None]
    yield from _candidates([cell for cell in compared if is_candidate(cell.recipe)], sizes)
    clear = sum(cell.is_significant for cell in compared)
    if compared:
        change = "changes" if clear == 1 else "change"
        noun = variant_noun(cell.recipe for cell in compared)
        yield f"{clear} of {counted(len(compared), noun)} {change} accuracy significantly."


def _has_knowledge(cells: Iterable[CellSummary]) -> bool:
    baseline = next((cell for cell in cells if cell.recipe == BASELINE), None)
    return baseline is not None and baseline.accuracy.value > 0 and not baseline.is_guessing


def _known(task: TaskSummary, label: str, baseline: CellSummary, known: int) -> str:
    noun = things(task.task, baseline.items)
    amount = share_or_all_but(known, baseline.items)
    of = "" if label.startswith(noun) else f" of {label}"
    whole = f"{amount} of {count(baseline.items)} {noun}{of}"
    said = f"It knows {whole}" if noun.startswith("fact") else f"It answers {whole} correctly"
    if known and baseline.is_guessing:
        return f"{said}, which is not significantly better than guessing ({percent(baseline.chance)})."
    return f"{said} (guessing: {percent(baseline.chance)})." if baseline.chance is not None else f"{said}."


def _pruned(curves: Sequence[RetainedCurve]) -> Iterable[str]:
    curve = _widest(curves)
    if curve is None:
        return
    place = _PLACES.get(curve.scope.removeprefix("paper/"), curve.scope)
    affordable = _affordable(curve.points)
    if affordable is not None:
        yield f"Pruning {affordable.level:.0%} of {place} costs {_lost(affordable)} of that."
    much = next((point for point in curve.points if 1 - point.retained.value >= _MUCH), None)
    if much is not None:
        already = " already" if much is curve.points[0] else ""
        yield f"Pruning {much.level:.0%} of {place}{already} costs {_lost(much)}."


def _widest(curves: Sequence[RetainedCurve]) -> RetainedCurve | None:
    for scope in _SCOPES:
        for curve in curves:
            if curve.scope.removeprefix("paper/") == scope and curve.points:
                return curve
    return next((curve for curve in curves if curve.points), None)


def _affordable(curve_points: Sequence[CurvePoint]) -> CurvePoint | None:
    """Return the highest level up to which at most 1% is lost; if there is none, the same for 2%, 5% and 10%."""
    for limit in _AFFORDABLE:
        found = None
        for point in curve_points:
            if 1 - point.retained.value > limit:
                break
            found = point
        if found is not None:
            return found
    return None


def _lost(point: CurvePoint) -> str:
    return percent(1 - point.retained.value)


def _quantized(cells: Sequence[CellSummary], methods: Methods) -> Iterable[str]:
    by_recipe = {cell.recipe: cell for cell in cells}
    found = [each for each in treatments(by_recipe, methods) if each.facts.quantizes]
    for method, level in dict.fromkeys((each.method, each.level) for each in found):
        places = {each.place: each.recipe for each in found if (each.method, each.level) == (method, level)}
        recipe = next((places[scope] for scope in _SCOPES if scope in places), None)
        if recipe is not None:
            yield _cost(recipe_in_words(recipe, methods), by_recipe[recipe])


def _candidates(cells: Sequence[CellSummary], sizes: Mapping[str, Size]) -> Iterable[str]:
    """Say which candidate is the smallest without a significant loss, and which one forgets most."""
    known = [(cell, cell.retained) for cell in cells if cell.retained is not None]
    if len(known) < 2:
        yield from (_outcome(variant_name(cell.recipe), cell) for cell, _ in known)
        return
    best: CellSummary | None = None
    kept = [cell for cell, _ in known if cell.verdict != "lost"]
    sized = [cell for cell in kept if variant_name(cell.recipe) in sizes]
    if sized:
        best = min(sized, key=lambda cell: sizes[variant_name(cell.recipe)].bytes)
        name = variant_name(best.recipe)
        size = sizes[name].in_words
        yield f"The smallest candidate without a significant loss of accuracy is {name} ({size})."
        yield _outcome("It", best)
    elif not kept:
        best, retained = max(known, key=lambda each: each[1].value)
        least = f"{percent(1 - retained.value)} of what the baseline gets right"
        yield f"Every candidate loses accuracy significantly; {variant_name(best.recipe)} forgets least: {least}."
    worst, retained = min(known, key=lambda each: each[1].value)
    if retained.value < 1 and worst is not best:
        gone = percent(1 - retained.value)
        yield f"{variant_name(worst.recipe)} forgets most: {gone} of what the baseline gets right."


def _cost(words: str, cell: CellSummary) -> str:
    scope, _, does = words.partition(": ")
    does = f"{does[:1].upper()}{does[1:]}"
    return _outcome(f"{does[:-1]}, {scope})" if does.endswith(")") else f"{does} ({scope})", cell)


def _outcome(said: str, cell: CellSummary) -> str:
    assert cell.retained is not None
    assert cell.drop is not None
    forgotten = percent(1 - cell.retained.value)
    drop = f"drop {points(cell.drop.value)} points, {points(cell.drop.low)} to {points(cell.drop.high)}"
    if cell.verdict == "lost":
        return f"{said} costs {forgotten} of that."
    if cell.verdict == "gained":
        return f"{said} forgets {forgotten} of that, and gains more ({drop})."
    if cell.drop.high <= _NOTHING:
        return f"{said} costs nothing measurable ({drop})."
    return f"{said} forgets {forgotten} of that; the change in accuracy is not significant ({drop})."
