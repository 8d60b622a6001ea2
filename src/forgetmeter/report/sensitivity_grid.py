"""Grid of sensitivities, roles by layer, and their wording."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forgetmeter.report.words.recipe_words import scope_in_words
from forgetmeter.results.sensitivity import PartSensitivity, Sensitivity
from forgetmeter.specs.method_facts import BY_NAME, Methods
from forgetmeter.specs.scope import SELECTORS, Scope

NO_LOSS = "·"
UNITS = {"per_megabyte": "MB saved", "per_million_weights": "million weights"}

_SHADES = "░▒▓█"
_ALL = "all"


@dataclass(frozen=True)
class SensitivityGrid:
    """The parts of one sensitivity.

    Attributes:
        treatment: What was done to each part.
        unit: What a loss is divided by, in words.
        rows: Roles or components, with their stack if there are two.
        columns: Layers.
        parts: The part of each row and column; ``None`` if it was not measured.
        rates: Percentage points of accuracy lost per unit, likewise.
    """

    treatment: str
    unit: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    parts: tuple[tuple[PartSensitivity | None, ...], ...]
    rates: tuple[tuple[float | None, ...], ...]

    @property
    def most(self) -> float:
        """The largest rate of the parts with a loss; 0 if there are none."""
        pairs = zip(self.parts, self.rates, strict=True)
        cells = (cell for parts, rates in pairs for cell in zip(parts, rates, strict=True))
        return max((rate for part, rate in cells if part is not None and rate is not None and part.is_loss), default=0)

    def intensity(self, row: int, column: int, steps: int) -> int | None:
        """Return the place of a part's rate among equal steps up to the largest, from 1; 0 without a loss."""
        part, rate = self.parts[row][column], self.rates[row][column]
        if part is None or rate is None:
            return None
        return min(1 + int(rate / self.most * steps), steps) if part.is_loss else 0


def treated(found: Sensitivity, methods: Methods) -> str:
    """Return what was done to each part, in words and as in a recipe: ``50% pruned (l1_unstructured:0.5)``."""
    words = methods.get(found.step.method, BY_NAME).in_words(found.step)
    method, _, options = found.method.partition(":")
    level = "" if found.level is None else f"{found.level:g}"
    return f"{words} ({':'.join(filter(None, (method, level, options)))})"


def sensitivity_grid(found: Sensitivity, methods: Methods) -> SensitivityGrid | None:
    """Return the grid of a sensitivity; ``None`` if its parts are all of the same layers."""
    by_place = {(_row(part.scope), part.scope.layers): part for part in found.parts}
    columns = sorted({layers for _, layers in by_place}, key=lambda layers: layers or (-1, -1))
    if len(columns) < 2:
        return None
    rows = sorted({row for row, _ in by_place})
    parts = tuple(tuple(by_place.get((row, layers)) for layers in columns) for row in rows)
    return SensitivityGrid(
        treatment=treated(found, methods),
        unit=UNITS[found.unit],
        rows=tuple(name for *_, name in rows),
        columns=tuple(map(_layers_in_words, columns)),
        parts=parts,
        rates=tuple(tuple(None if part is None else points_per(found, part) for part in row) for row in parts),
    )


def points_per(found: Sensitivity, part: PartSensitivity) -> float:
    """Return a part's rate in percentage points."""
    return 100 * part.rate(found.unit).value


def decimals_for(values: Iterable[float]) -> int:
    """Return how many decimals show the largest value with three digits."""
    largest = max(map(abs, values), default=0.0)
    return 1 if largest == 0 else max(0, 2 - math.floor(math.log10(largest)))


def grid_lines(grid: SensitivityGrid) -> list[str]:
    """Return a grid as lines of plain text, each rate with a shade of its size."""
    decimals = decimals_for(rate for row in grid.rates for rate in row if rate is not None)
    cells = [
        [_cell(grid, row, column, decimals) for column in range(len(grid.columns))] for row in range(len(grid.rows))
    ]
    table = [["", *(f"{name}  " for name in grid.columns)]]
    table += [[name, *row] for name, row in zip(grid.rows, cells, strict=True)]
    widths = [max(len(line[place]) for line in table) for place in range(len(table[0]))]
    return [_line(line, widths).rstrip() for line in table]


def _line(line: Sequence[str], widths: Sequence[int]) -> str:
    name, *values = line
    return name.ljust(widths[0]) + "".join(
        f"  {value:>{width}}" for value, width in zip(values, widths[1:], strict=True)
    )


def _cell(grid: SensitivityGrid, row: int, column: int, decimals: int) -> str:
    shade, rate = grid.intensity(row, column, len(_SHADES)), grid.rates[row][column]
    if shade is None:
        return "  "
    return f"{rate:,.{decimals}f} {_SHADES[shade - 1]}" if shade else f"{NO_LOSS}  "


def _row(scope: Scope) -> tuple[int, int, str]:
    """Return a row's place and name; encoders come first."""
    stack = "" if scope.stack is None else f"{scope.stack}/"
    return (scope.stack == "decoder"), list(SELECTORS).index(scope.selector), f"{stack}{scope_in_words(scope.selector)}"


def _layers_in_words(layers: tuple[int, int] | None) -> str:
    if layers is None:
        return _ALL
    first, last = layers
    return str(first) if first == last else f"{first}–{last}"
