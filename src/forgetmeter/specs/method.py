"""What a compression method takes: declared as data, checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from forgetmeter.specs.method_facts import Kind, MethodFacts
from forgetmeter.specs.recipe import Level, OptionValue, Step
from forgetmeter.specs.role import Form, Matrix
from forgetmeter.specs.suggestion import did_you_mean

LevelKind = Literal["none", "fraction", "bits"]
Effect = Literal["zeroes", "rewrites", "quantizes"]

_KINDS: dict[Effect, Kind] = {"zeroes": "unstructured", "rewrites": "other", "quantizes": "quantizes"}
_LEVELS: dict[LevelKind, str] = {
    "none": "takes no level",
    "fraction": "takes a fraction from 0 to 1",
    "bits": "takes a whole number of bits from 2 to 8",
}


@dataclass(frozen=True)
class Option:
    """A further parameter of a method.

    Attributes:
        default: Its value where the recipe names none.
        meaning: What it does, in one sentence.
        allowed: The values it may have; empty where any value of the default's type is allowed.
        least: The smallest number it may be, if it is a number.
        words: What it may be instead of a number.
    """

    default: OptionValue
    meaning: str
    allowed: tuple[OptionValue, ...] = ()
    least: float | None = None
    words: tuple[str, ...] = ()

    def takes(self, value: OptionValue) -> bool:
        """Whether it may have a value."""
        if self.allowed or value in self.words:
            return value in self.allowed or value in self.words
        is_least = self.least is None or (isinstance(value, (int, float)) and value >= self.least)
        return _same_kind(value, self.default) and is_least

    def default_text(self) -> str:
        """Return the default as a recipe has it."""
        return f"{self.default:g}" if isinstance(self.default, float) else _printed(self.default)

    def values(self) -> str:
        """Say which values it may have, as the end of a sentence."""
        if self.allowed:
            return f"allowed: {', '.join(map(_printed, self.allowed))}"
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}[type(self.default)]
        least = "" if self.least is None else f" of {self.least:g} or more"
        return " or ".join((f"allowed: {kind}{least}", *self.words))


@dataclass(frozen=True)
class Pools:
    """What a fraction is a fraction of: in each pool, ``round(level * size)`` of the things in it go.

    Attributes:
        things: What is counted, such as ``heads``.
        sizes: Returns how many there are in each pool, for the matrices and options of a step. Matrices of one
            parameter count as one, and those that an earlier step may drop are counted.
    """

    things: str
    sizes: Callable[[Sequence[Matrix], Mapping[str, OptionValue]], Iterable[int]]


@dataclass(frozen=True)
class MethodDeclaration:
    """A method's name, parameters and source.

    Attributes:
        name: As in recipes.
        summary: What it does, in one sentence.
        reference: The paper or function whose behaviour it has.
        level: What its level means.
        options: Its further parameters by name.
        forms: What may hold the weights that it takes.
        effect: What becomes of a weight: it is zeroed or stays in the form that it has, whatever that is; it gets
            another value in floating point; or fewer bits. What is quantized can only be zeroed by later steps.
        families: The families whose models take it.
        scopes: Which scopes it takes, in words.
        needs_kernel: Whether the answers come of a kernel of its own, such as one that quantizes activations on each
            call, so that a checkpoint's weights do not say all of it.
        pools: What its fraction is a fraction of; ``None`` where it has none, or only the weights tell.
        kind: What findings and charts count it as. By default it follows from ``effect``: unstructured pruning for
            ``zeroes``, quantization for ``quantizes``, neither for ``rewrites``.
        phrase: How sentences call a step, such as ``{percent} pruned`` or ``{level}-bit``; by default by its name.
        unsaid: Options that the phrase covers, whatever their value.
        counterpart: For a structured method, the unstructured one that ranks weights by the same criterion.
        advised_levels: Levels that ``advise`` tries over the scope ``overall``; ``None`` for a method without a level.
            The built-in methods' candidates are ``preset:advice``.
    """

    name: str
    summary: str
    reference: str
    level: LevelKind
    options: Mapping[str, Option] = field(default_factory=dict)
    forms: tuple[Form, ...] = ("linear", "conv1d", "tensor")
    effect: Effect = "zeroes"
    families: tuple[str, ...] = ("encoder", "encoder-decoder", "decoder")
    scopes: str = "any scope"
    needs_kernel: bool = False
    pools: Pools | None = None
    kind: Kind | None = None
    phrase: str = ""
    unsaid: tuple[str, ...] = ()
    counterpart: str = ""
    advised_levels: tuple[Level | None, ...] = ()

    @property
    def facts(self) -> MethodFacts:
        """What a run records about the method."""
        return MethodFacts(self.kind or _KINDS[self.effect], self.phrase, self.unsaid, self.counterpart)

    def problems(self, step: Step) -> list[str]:
        """Return what is wrong with a step that names this method, a sentence each."""
        found = [] if self._level_fits(step) else [f"level {_shown(step.level)}: {self.name} {_LEVELS[self.level]}"]
        for key, value in step.options:
            option = self.options.get(key)
            if option is None:
                allowed = ", ".join(self.options) or "none"
                nearest = did_you_mean(key, [*self.options, "level"])
                found.append(f"{self.name} has no option '{key}'{nearest} (allowed: {allowed})")
            elif not option.takes(value):
                found.append(f"option {key}={_printed(value)} of {self.name} ({option.values()})")
        return found

    def values(self, step: Step) -> dict[str, OptionValue]:
        """Return all options with the step's values, or the defaults where it names none."""
        return {name: option.default for name, option in self.options.items()} | dict(step.options)

    def _level_fits(self, step: Step) -> bool:
        if self.level == "none" or step.level is None:
            return self.level == "none" and step.level is None
        if self.level == "fraction":
            return 0 <= step.level <= 1
        return isinstance(step.level, int) and 2 <= step.level <= 8


def _same_kind(value: OptionValue, default: OptionValue) -> bool:
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)


def _printed(value: OptionValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(level: float | None) -> str:
    return "(none given)" if level is None else str(level)
