"""What a run knows about the methods of its recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forgetmeter.specs.method_facts import MethodFacts, Methods, facts_from

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
"""The built-in methods, for runs of versions that did not record them; a test compares it with the declarations."""


def recorded_methods(study: Mapping[str, Any]) -> Methods:
    """Return what a run's ``study.json`` says about its methods, and about built-in ones that it does not name."""
    return {**EARLIER, **facts_from(study.get("methods"))}
