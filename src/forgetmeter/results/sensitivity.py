"""Knowledge lost when one part of a model is compressed, per byte saved and per weight removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from forgetmeter.records.variant import Reached
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run
from forgetmeter.specs.method_facts import BY_NAME
from forgetmeter.specs.recipe import BASELINE, Level, Step, stored_recipe
from forgetmeter.specs.scope import Scope
from forgetmeter.statistics.paired import Estimate

_MILLION = 1e6

Rate = Literal["per_megabyte", "per_million_weights"]


@dataclass(frozen=True)
class PartSensitivity:
    """What a task loses when one part of the model is compressed and the rest is left alone.

    Attributes:
        scope: The part: one role or component, in some or all layers.
        weights: Number of weights in the part.
        removed_weights: Zeros beyond those of the baseline; 0 for a method that quantizes, which only rounds to zero.
        saved_bytes: Bytes that the model becomes smaller, with each matrix in its smallest form; ``None`` if unknown.
        drop: Accuracy of the baseline minus that of the variant, on the same items, with its 95% interval.
        items: Number of items that the drop is over.
        precision: If the items stopped early because the drop was known to within plus or minus this.
        noise_floor: Share of items that change when the baseline is scored twice; ``None`` if not measured.
    """

    recipe: str
    scope: Scope
    weights: int
    removed_weights: int
    saved_bytes: int | None
    drop: Estimate
    items: int
    precision: float | None = None
    noise_floor: float | None = None

    @property
    def is_loss(self) -> bool:
        """Whether a loss was seen: the whole interval of the drop is above zero and above the noise floor."""
        return self.drop.low > (self.noise_floor or 0.0)

    @property
    def per_megabyte(self) -> Estimate | None:
        """Drop per MB (10^6 bytes) saved; ``None`` unless bytes are saved."""
        return self._per(self.saved_bytes)

    @property
    def per_million_removed(self) -> Estimate | None:
        """Drop per million weights removed; ``None`` unless weights are removed."""
        return self._per(self.removed_weights)

    @property
    def per_million_weights(self) -> Estimate | None:
        """Drop per million weights of the part, removed or not."""
        return self._per(self.weights)

    def rate(self, unit: Rate) -> Estimate:
        """Return the drop per unit, which must not be ``None``."""
        estimate = self.per_megabyte if unit == "per_megabyte" else self.per_million_weights
        assert estimate is not None
        return estimate

    def _per(self, number: int | None) -> Estimate | None:
        if number is None or number <= 0:
            return None
        scale = _MILLION / number
        return Estimate(self.drop.value * scale, self.drop.low * scale, self.drop.high * scale)


@dataclass(frozen=True)
class Sensitivity:
    """The parts of a model that were compressed one at a time, all by the same method at the same level.

    Attributes:
        method: The method with its options, as text.
        level: Its level; ``None`` if it has none.
        step: A step of the method, whose scope is that of the first part.
        unit: What the parts are compared by: drop per MB saved or, if one of them saves nothing or its size is unknown,
            per million weights.
        parts: Most sensitive first: by drop per unit.
    """

    model: str
    task: str
    method: str
    level: Level | None
    step: Step
    unit: Rate
    parts: tuple[PartSensitivity, ...]

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """The ranges of layers of its parts, in order; parts without a range cover all layers."""
        return tuple(sorted({part.scope.layers for part in self.parts if part.scope.layers is not None}))

    def undecided(self) -> tuple[PartSensitivity, ...]:
        """Return the parts not yet clearly in the more sensitive or the less sensitive half.

        Their intervals contain the boundary: the value midway between the estimates of the last part of the more
        sensitive half and the first of the other. After Kalyanakrishnan et al., "PAC Subset Selection in Stochastic
        Multi-armed Bandits", ICML 2012, which finds the best half of the arms by such intervals.
        """
        if len(self.parts) < 2:
            return ()
        half = len(self.parts) // 2
        above, below = (self.parts[place].rate(self.unit).value for place in (half - 1, half))
        middle = (above + below) / 2
        rates = ((part, part.rate(self.unit)) for part in self.parts)
        return tuple(part for part, rate in rates if rate.low <= middle <= rate.high)


def sensitivities(run: Run, summary: Summary) -> tuple[Sensitivity, ...]:
    """Return the sensitivities of a run, one per model, task, method and level, in the study's order.

    Recipes that consist of one step over one role or component, in some or all layers, are included; ``overall`` only
    in some layers. Cells without a baseline to compare with are left out.
    """
    reached = {(each.model, each.recipe): each.reached for each in run.variants}
    groups: dict[tuple[str, str, str, Level | None], list[tuple[Step, PartSensitivity]]] = {}
    for cell in summary.cells:
        step, made = part_step(cell.recipe), reached.get((cell.model, cell.recipe))
        if step is not None and made is not None and made.selected_weights and cell.drop is not None:
            part = _part(cell, cell.drop, step.scope, made, reached.get((cell.model, BASELINE)))
            if summary.methods.get(step.method, BY_NAME).quantizes:
                part = replace(part, removed_weights=0)
            groups.setdefault((cell.model, cell.task, _method(step), step.level), []).append((step, part))
    return tuple(_sensitivity(*key, found) for key, found in groups.items())


def part_step(recipe: str) -> Step | None:
    """Return the step of a recipe that compresses one part of a model; ``None`` if it does anything else."""
    parsed = stored_recipe(recipe)
    if parsed is None or len(parsed.steps) != 1 or parsed.candidate is not None:
        return None
    (step,) = parsed.steps
    scope = step.scope
    is_whole_model = scope.selector == "overall" and scope.layers is None
    is_published = scope.selector.startswith("paper/")
    return None if scope.pattern is not None or is_whole_model or is_published else step


def _part(cell: CellSummary, drop: Estimate, scope: Scope, made: Reached, baseline: Reached | None) -> PartSensitivity:
    before = None if baseline is None else baseline.smallest_bytes
    is_sized = before is not None and made.smallest_bytes is not None
    return PartSensitivity(
        recipe=cell.recipe,
        scope=scope,
        weights=made.selected_weights,
        removed_weights=made.removed_weights,
        saved_bytes=(before or 0) - (made.smallest_bytes or 0) if is_sized else None,
        drop=drop,
        items=cell.paired or cell.items,
        precision=cell.precision,
        noise_floor=cell.noise_floor,
    )


def _sensitivity(
    model: str, task: str, method: str, level: Level | None, found: Sequence[tuple[Step, PartSensitivity]]
) -> Sensitivity:
    parts = [part for _, part in found]
    unit: Rate = "per_megabyte" if all(part.per_megabyte for part in parts) else "per_million_weights"
    return Sensitivity(model, task, method, level, found[0][0], unit, tuple(_ordered(parts, unit)))


def _ordered(parts: Iterable[PartSensitivity], unit: Rate) -> list[PartSensitivity]:
    return sorted(parts, key=lambda part: -part.rate(unit).value)


def _method(step: Step) -> str:
    return ":".join((step.method, *(f"{key}={value}" for key, value in step.options)))
