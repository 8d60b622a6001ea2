"""The part of a method's declaration that a run records, for findings, charts and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from forgetmeter.specs.recipe import Step

Kind = Literal[
    "unstructured", "semi_structured", "structured", "heads", "blocks", "low_rank", "quantizes", "casts", "other"
]
"""Category of a method: the first six prune, ``quantizes`` and ``casts`` store fewer bits."""

_PRUNES: tuple[Kind, ...] = ("unstructured", "semi_structured", "structured", "heads", "blocks", "low_rank")


@dataclass(frozen=True)
class MethodFacts:
    """Facts a run records about a method.

    Attributes:
        kind: Category in findings and charts.
        phrase: Wording of a step in sentences, with its level as ``{percent}`` or ``{level}``. If empty, the name with
            level and options is used.
        unsaid: Options that the phrase covers. A step with any other option is called by name, level and options.
        counterpart: For a structured method, the unstructured one that ranks weights by the same criterion.
    """

    kind: Kind = "other"
    phrase: str = ""
    unsaid: tuple[str, ...] = ()
    counterpart: str = ""

    @property
    def prunes(self) -> bool:
        """Whether findings on pruning include the method."""
        return self.kind in _PRUNES

    @property
    def quantizes(self) -> bool:
        """Whether findings on quantization include the method."""
        return self.kind in ("quantizes", "casts")

    def in_words(self, step: Step) -> str:
        """Return what a step does, without its scope: ``20% pruned``."""
        covered = all(key in self.unsaid for key, _ in step.options)
        if self.phrase and covered and ("{percent}" not in self.phrase or isinstance(step.level, float)):
            level = step.level or 0
            return self.phrase.replace("{percent}", f"{level:.0%}").replace("{level}", f"{level:g}")
        level_text = "" if step.level is None else f" {step.level:g}"
        return f"{step.method}{level_text}{''.join(f' {key}={value}' for key, value in step.options)}"


Methods = Mapping[str, MethodFacts]
"""The methods of a run's recipes by name."""

BY_NAME = MethodFacts()
"""Facts for a method that no run recorded: only its name is known."""


EARLIER: Methods = {
    "cast": MethodFacts("casts"),
    "drop_layers": MethodFacts("blocks"),
    "dynamic_int8": MethodFacts("quantizes", "8-bit", ("granularity",)),
    "int4_weight_only_torchao": MethodFacts("quantizes"),
    "int8_dynamic_torchao": MethodFacts("quantizes"),
    "l1_heads": MethodFacts("heads"),
    "l1_unstructured": MethodFacts("unstructured", "{percent} pruned"),
    "ln_structured": MethodFacts("structured", counterpart="l1_unstructured"),
    "n_m": MethodFacts("semi_structured"),
    "random_structured": MethodFacts("structured", counterpart="random_unstructured"),
    "random_unstructured": MethodFacts("unstructured"),
    "round_to_nearest": MethodFacts("quantizes"),
    "svd": MethodFacts("low_rank"),
}
"""Built-in methods, for runs of versions that did not record them; a test compares them with the declarations."""


def recorded_methods(study: Mapping[str, Any]) -> Methods:
    """Return the facts in a run's ``study.json`` and of built-in methods; malformed values count as unknown."""
    methods = study.get("methods")
    entries = methods.items() if isinstance(methods, dict) else ()
    return {**EARLIER, **{str(name): _facts(entry) for name, entry in entries if isinstance(entry, dict)}}


def _facts(entry: Mapping[str, Any]) -> MethodFacts:
    kind, unsaid = entry.get("kind"), entry.get("unsaid")
    return MethodFacts(
        kind=cast(Kind, kind) if kind in get_args(Kind) else "other",
        phrase=str(entry.get("phrase") or ""),
        unsaid=tuple(map(str, unsaid)) if isinstance(unsaid, list) else (),
        counterpart=str(entry.get("counterpart") or ""),
    )
