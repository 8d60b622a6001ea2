"""The part of a method's declaration that a run records, for findings, charts and sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from forgetmeter.specs.recipe import OptionValue, Step

Kind = Literal[
    "unstructured", "semi_structured", "structured", "heads", "blocks", "low_rank", "quantizes", "casts", "other"
]
"""Category of a method: the first six prune, ``quantizes`` and ``casts`` store fewer bits."""

_PLACE = re.compile(r"\{(\w+)(?:=([^{}]*))?\}")
_PRUNES: tuple[Kind, ...] = ("unstructured", "semi_structured", "structured", "heads", "blocks", "low_rank")


@dataclass(frozen=True)
class MethodFacts:
    """Facts a run records about a method.

    Attributes:
        kind: Category in findings and charts.
        phrase: Wording of a step in sentences: ``{percent}`` and ``{level}`` stand for its level, ``{by=position}`` for
            the option ``by`` with its default. If empty, the method's name is used.
        unsaid: Options that need not be named; others that a step sets follow in parentheses.
        counterpart: For a structured method, the unstructured one that ranks weights by the same criterion.
        revision: Number that grows with each change of its variants' answers; a run does not mix them.
    """

    kind: Kind = "other"
    phrase: str = ""
    unsaid: tuple[str, ...] = ()
    counterpart: str = ""
    revision: int = 1

    @property
    def prunes(self) -> bool:
        """Whether findings on pruning include the method."""
        return self.kind in _PRUNES

    @property
    def quantizes(self) -> bool:
        """Whether findings on quantization include the method."""
        return self.kind in ("quantizes", "casts")

    def in_words(self, step: Step) -> str:
        """Return what a step does, without its scope: ``20% pruned``, or ``rounded to 4 bits (group size 32)``."""
        level = step.level or 0
        values = {"percent": f"{100 * level:.6g}%", "level": f"{level:g}"}
        values |= {key: str(value).replace("_", " ") for key, value in step.options}
        phrase = self.phrase or step.method.replace("_", " ") + ("" if step.level is None else " {level}")
        said = _PLACE.sub(lambda place: values.get(place[1], place[2] or place[0]), phrase)
        covered = {*self.unsaid, *(place[1] for place in _PLACE.finditer(phrase))}
        options = ", ".join(_option_in_words(key, value) for key, value in step.options if key not in covered)
        return f"{said} ({options})" if options else said


def _option_in_words(key: str, value: OptionValue) -> str:
    name = key.replace("_", " ")
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name} {str(value).replace('_', ' ')}"


Methods = Mapping[str, MethodFacts]
"""The methods of a run's recipes by name."""

BY_NAME = MethodFacts()
"""Facts for a method that no run recorded: only its name is known."""


FOR_EARLIER_RUNS: Methods = {
    "cast": MethodFacts("casts", "cast to {dtype=bfloat16}"),
    "drop_layers": MethodFacts("blocks", "{percent} of blocks dropped by {by=position}"),
    "dynamic_int8": MethodFacts("quantizes", "8-bit"),
    "int4_weight_only_torchao": MethodFacts("quantizes", "4-bit by torchao"),
    "int8_dynamic_torchao": MethodFacts("quantizes", "8-bit by torchao"),
    "l1_heads": MethodFacts("heads", "{percent} of heads pruned"),
    "l1_unstructured": MethodFacts("unstructured", "{percent} pruned"),
    "ln_structured": MethodFacts("structured", "{percent} of units pruned", counterpart="l1_unstructured"),
    "n_m": MethodFacts("semi_structured", "{n=2} of every {m=4} pruned"),
    "random_structured": MethodFacts(
        "structured", "{percent} of units pruned at random", counterpart="random_unstructured"
    ),
    "random_unstructured": MethodFacts("unstructured", "{percent} pruned at random"),
    "round_to_nearest": MethodFacts("quantizes", "rounded to {level} bits"),
    "svd": MethodFacts("low_rank", "{percent} of the rank removed"),
}
"""Built-in methods, for runs of versions that did not record them or had no phrase for them; a test compares them with
the declarations."""
