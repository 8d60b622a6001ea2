"""Declarations of compression methods, against which recipes are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from forgetmeter.specs.method_facts import Kind, MethodFacts
from forgetmeter.specs.recipe import Level, OptionValue, Step
from forgetmeter.specs.role import MATRICES, Form, Matrix
from forgetmeter.specs.suggestion import did_you_mean

LevelKind = Literal["none", "fraction", "bits"]
MethodEffect = Literal["zeroes", "rewrites", "quantizes"]

_KINDS: dict[MethodEffect, Kind] = {"zeroes": "unstructured", "rewrites": "other", "quantizes": "quantizes"}
_LEVELS: dict[LevelKind, str] = {
    "none": "takes no level",
    "fraction": "takes a fraction from 0 to 1",
    "bits": "takes an integer number of bits from 2 to 8",
}


@dataclass(frozen=True)
class Option:
    """An option of a method.

    Attributes:
        default: Value if the recipe does not set it.
        meaning: What it does, in one sentence.
        allowed: Allowed values; empty to allow any value of the default's type.
        least: Minimum, for numbers.
        words: Allowed words in place of a number.
    """

    default: OptionValue
    meaning: str
    allowed: tuple[OptionValue, ...] = ()
    least: float | None = None
    words: tuple[str, ...] = ()

    def takes(self, value: OptionValue) -> bool:
        """Whether a value is allowed."""
        if self.allowed or value in self.words:
            return value in self.allowed or value in self.words
        is_least = self.least is None or (isinstance(value, (int, float)) and value >= self.least)
        return _same_kind(value, self.default) and is_least

    def default_text(self) -> str:
        """Return the default as written in a recipe."""
        return f"{self.default:g}" if isinstance(self.default, float) else _printed(self.default)

    def values(self) -> str:
        """Return the allowed values as the end of a sentence."""
        if self.allowed:
            return f"allowed: {', '.join(map(_printed, self.allowed))}"
        kind = {bool: "true or false", int: "an integer", float: "a number", str: "a word"}[type(self.default)]
        least = "" if self.least is None else f" of at least {self.least:g}"
        return ", or ".join((f"allowed: {kind}{least}", *self.words))


@dataclass(frozen=True)
class Pools:
    """The pools that a level applies to: ``round(level * size)`` units are removed from each pool.

    Attributes:
        things: The unit, such as ``heads``.
        sizes: Returns the number of units per pool for the matrices and options of a step. Matrices of one parameter
            count as one, and matrices that an earlier step may drop are included.
    """

    things: str
    sizes: Callable[[Sequence[Matrix], Mapping[str, OptionValue]], Iterable[int]]


@dataclass(frozen=True)
class Packing:
    """A layout of packed integers, times one scale per group of input units.

    Attributes:
        bits: Bits per integer, from 2 to 8.
        group_size: Number of input units per scale; 0 for all.
        has_zero_points: Whether groups have zero points.
        is_ordered: Whether the input units of a group need not be neighbours.
    """

    bits: int
    group_size: int
    has_zero_points: bool = False
    is_ordered: bool = False

    def groups(self, inputs: int) -> int:
        """Return the number of scales per output unit."""
        return inputs // (self.group_size or inputs)


@dataclass(frozen=True)
class MethodDeclaration:
    """A method's name, parameters and source.

    Attributes:
        name: Name in recipes.
        summary: What it does, in one sentence.
        reference: The paper or function that defines its behaviour.
        level: Kind of level.
        options: Options by name.
        forms: Supported forms of weights; ``array`` only if the method treats every weight alike, at any position;
            ``lookup`` if it can compress a token embedding.
        effect: ``zeroes`` sets weights to zero and leaves the others in their form, ``rewrites`` changes values in
            floating point, ``quantizes`` reduces bits; later steps can only zero quantized weights.
        families: Supported model families.
        scopes: Supported scopes, in words.
        needs_kernel: Whether the answers depend on a kernel, such as one that quantizes activations on each call, so
            that a checkpoint's weights do not fully describe the result.
        rounds_activations: Whether layers round activations on each call, so that texts cannot share rows or be padded
            without changing each other's answers.
        packs: For a method whose weights are integers times scales (``Weight.stored_integers``): returns
            their layout for a level and all options, or ``None`` if these make weights that checkpoints cannot store as
            integers. ``packs`` itself is ``None`` if the method never has such a layout.
        pools: The pools that a fraction applies to; ``None`` if there are none or they depend on the weights.
        kind: Category in findings and charts. By default it follows from ``effect``: unstructured pruning for
            ``zeroes``, quantization for ``quantizes``, neither for ``rewrites``.
        phrase: Wording of a step in sentences, such as ``{percent} pruned`` or ``{level}-bit``; the name by default.
        unsaid: Options that the phrase covers, with any value.
        counterpart: For a structured method, the unstructured one that ranks weights by the same criterion.
        revision: Number that grows with each change of its variants' answers; a run does not mix them.
        advised_levels: Levels that ``advise`` tries over the scope ``overall``; ``None`` for a method without a level.
            Those of the built-in methods are in ``preset:advice``.
        follows_others: Whether it works only on what earlier steps of the recipe left, and so cannot be the first one.
        needs_gradients: Whether it trains, and so cannot follow a step whose kernels have no gradients.
    """

    name: str
    summary: str
    reference: str
    level: LevelKind
    options: Mapping[str, Option] = field(default_factory=dict)
    forms: tuple[Form, ...] = MATRICES
    effect: MethodEffect = "zeroes"
    families: tuple[str, ...] = ("encoder", "encoder-decoder", "decoder")
    scopes: str = "any scope"
    needs_kernel: bool = False
    rounds_activations: bool = False
    packs: Callable[[Level | None, Mapping[str, OptionValue]], Packing | None] | None = None
    pools: Pools | None = None
    kind: Kind | None = None
    phrase: str = ""
    unsaid: tuple[str, ...] = ()
    counterpart: str = ""
    revision: int = 1
    advised_levels: tuple[Level | None, ...] = ()
    follows_others: bool = False
    needs_gradients: bool = False

    @property
    def facts(self) -> MethodFacts:
        """The facts a run records about the method."""
        kind = self.kind or _KINDS[self.effect]
        return MethodFacts(kind, self.phrase, self.unsaid, self.counterpart, self.revision)

    def problems(self, step: Step) -> list[str]:
        """Return one sentence for each problem of a step of this method."""
        found = [] if self._level_fits(step) else [f"{_shown(step.level)}: {self.name} {_LEVELS[self.level]}"]
        for key, value in step.options:
            option = self.options.get(key)
            if option is None:
                allowed = ", ".join(self.options) or "none"
                nearest = did_you_mean(key, [*self.options, "level"])
                found.append(f"{self.name} has no option '{key}'{nearest} (allowed: {allowed})")
            elif not option.takes(value):
                found.append(f"invalid option {key}={_printed(value)} for {self.name} ({option.values()})")
        return found

    def values(self, step: Step) -> dict[str, OptionValue]:
        """Return the values of all options: those of the step, or the defaults."""
        return {name: option.default for name, option in self.options.items()} | dict(step.options)

    def packing(self, step: Step) -> Packing | None:
        """Return the layout of a step's integers; ``None`` if checkpoints cannot store its weights as integers."""
        return None if self.packs is None else self.packs(step.level, self.values(step))

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
    return "missing level" if level is None else f"invalid level {level}"
