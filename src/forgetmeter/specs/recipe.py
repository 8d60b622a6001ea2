"""Recipes: ordered compression steps, as values and as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from forgetmeter.errors import UserError
from forgetmeter.specs.model_reference import ModelReference, parse_model_reference
from forgetmeter.specs.role import Matrix
from forgetmeter.specs.scope import Scope, parse_scope, split_at
from forgetmeter.specs.suggestion import refuse_type

Level = int | float
OptionValue = bool | int | float | str

BASELINE = "baseline"
STEP_FORM = "method:scope[:level][:key=value…], such as l1_unstructured:overall:0.5 or n_m:overall:n=2:m=4"

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_CANDIDATE = re.compile(r"^candidate\((?P<reference>.+)\)$", re.DOTALL)
# What would end a candidate's reference, or look encoded.
_ENCODED = re.compile(r"[%()\\\x00-\x1f]")
_RESERVED = re.compile(r"[:+,=\s]|^$")
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


@dataclass(frozen=True)
class Step:
    """A method applied to a scope at a level.

    Attributes:
        level: A fraction, a number of bits or as the method declares; ``None`` if it has none.
        options: The method's options, sorted by name.
    """

    method: str
    scope: Scope
    level: Level | None = None
    options: tuple[tuple[str, OptionValue], ...] = ()

    def __str__(self) -> str:
        return self._written(str(self.scope))

    @property
    def identity(self) -> str:
        """The text in the ids of variants; it differs from ``str`` only in the scope."""
        return self._written(self.scope.identity)

    def _written(self, scope: str) -> str:
        level = () if self.level is None else (_print_value(self.level),)
        options = (f"{key}={_print_value(value)}" for key, value in self.options)
        return ":".join((self.method, scope, *level, *options))


@dataclass(frozen=True)
class Recipe:
    """An ordered list of steps, applied from left to right; the empty one is ``baseline``.

    Attributes:
        candidate: A checkpoint that was made from the model by other means. The steps are applied to it instead of the
            model, which stays the baseline.
    """

    steps: tuple[Step, ...] = ()
    candidate: ModelReference | None = None

    def __str__(self) -> str:
        return self._written(map(str, self.steps), str(self.candidate))

    @property
    def is_baseline(self) -> bool:
        """Whether it leaves the model as it is."""
        return not self.steps and self.candidate is None

    @property
    def complexity(self) -> tuple[int, int]:
        """Number of steps, then of options: of two recipes that do the same, the lower one is simpler."""
        return len(self.steps), sum(len(step.options) for step in self.steps)

    def identity(self, candidate: str = "") -> str:
        """Return the text in the ids of variants; it differs from ``str`` only in the scopes and the candidate.

        Args:
            candidate: Hash of the candidate's content, if it has one.
        """
        return self._written((step.identity for step in self.steps), candidate)

    def _written(self, steps: Iterable[str], candidate: str) -> str:
        start = (
            () if self.candidate is None else (f"candidate({_ENCODED.sub(lambda each: quote(each[0]), candidate)})",)
        )
        return "+".join((*start, *steps)) or BASELINE

    def selects(self, matrix: Matrix) -> bool:
        """Whether any step applies to a matrix."""
        return any(step.scope.selects(matrix) for step in self.steps)


def make_step(
    *,
    method: str,
    scope: Scope,
    level: Level | None = None,
    options: Iterable[tuple[str, OptionValue]] = (),
) -> Step:
    """Build a step in canonical form: options sorted, integral levels as ``int``.

    Raises:
        UserError: The level is not finite, the method's name is malformed, or an option cannot be written in a recipe.
    """
    if not _NAME.match(method):
        raise UserError(f"'{method}' is not a valid method name; write {STEP_FORM}")
    if level is not None:
        if not _is_finite(level):
            raise UserError(
                f"level {str(level)[:20]} of step '{method}:{scope}' is infinite, NaN or too large; "
                "write a finite number"
            )
        level = int(level) if float(level).is_integer() else float(level)
    options = tuple(options)
    for key, value in options:
        if not _NAME.match(key) or _parse_value(_print_value(value)) != value or _RESERVED.search(_print_value(value)):
            raise UserError(f"option {key}={value!r} of step '{method}:{scope}' cannot be written in a recipe")
    return Step(method, scope, level, tuple(sorted(options)))


def _is_finite(level: Level) -> bool:
    try:
        return math.isfinite(level)
    except OverflowError:
        return False


def parse_recipe(text: str) -> Recipe:
    """Read a recipe such as ``l1_unstructured:overall:0.4+dynamic_int8:overall``.

    Raises:
        UserError: The text does not parse.
    """
    refuse_type("recipe", text, str)
    text = text.strip()
    if text == BASELINE:
        return Recipe()
    if text.startswith("preset:"):
        raise UserError(f"'{text}' stands for several recipes; give one of them")
    first, *rest = parts = [part.strip() for part in split_at(text, "+")]
    if match := _CANDIDATE.match(first):
        return Recipe(
            tuple(_parse_step(part, text) for part in rest), parse_model_reference(unquote(match["reference"]))
        )
    return Recipe(tuple(_parse_step(part, text) for part in parts))


def candidate_recipe(name: str) -> str:
    """Return the recipe of a candidate without steps, as text.

    Raises:
        UserError: The name is not that of a model.
    """
    return str(Recipe(candidate=parse_model_reference(name)))


def stored_recipe(text: str) -> Recipe | None:
    """Read a recipe of a run; ``None`` if it does not parse, such as one in a plug-in's own syntax."""
    try:
        return parse_recipe(text)
    except UserError:
        return None


def canonical(text: str) -> str:
    """Return a recipe's text as this version prints it; one that does not parse is returned unchanged."""
    recipe = stored_recipe(text)
    return text if recipe is None else str(recipe)


def _parse_step(text: str, recipe: str) -> Step:
    method, *rest = split_at(text, ":")
    if not rest or not method:
        where = "" if text == recipe else f" in recipe '{recipe}'"
        hint = "; a model that is already compressed is a candidate, not a recipe" if "/" in text else ""
        raise UserError(f"'{text}'{where} is not a valid compression step; write {STEP_FORM}, or baseline{hint}")
    try:
        scope = parse_scope(rest[0])
    except UserError:
        if _is_scope(method):
            raise UserError(f"'{text}' names no method before the scope '{method}'; write {STEP_FORM}") from None
        raise
    level: Level | None = None
    options: dict[str, OptionValue] = {}
    for position, field in enumerate(rest[1:]):
        key, equals, value = field.partition("=")
        if equals:
            if not _NAME.match(key) or key in options or not value:
                raise UserError(f"option '{field}' of step '{text}' is malformed or given twice; write key=value")
            options[key] = _parse_value(value)
        elif position == 0 and _NUMBER.match(field):
            level = float(field)
        else:
            raise UserError(f"'{field}' in step '{text}' is neither a level nor key=value; write {STEP_FORM}")
    return make_step(method=method, scope=scope, level=level, options=options.items())


def _is_scope(text: str) -> bool:
    try:
        parse_scope(text)
    except UserError:
        return False
    return True


def _parse_value(text: str) -> OptionValue:
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.match(text):
        number = float(text)
        return int(number) if number.is_integer() else number
    return text


def _print_value(value: OptionValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    # repr may write "1e+22", but `+` joins steps.
    return repr(value).replace("e+", "e") if isinstance(value, float) else str(value)
