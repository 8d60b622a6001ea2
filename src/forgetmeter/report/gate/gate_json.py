"""Verdicts of a gate as a JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from forgetmeter.basics.json_text import to_json
from forgetmeter.results.gate.check import CheckResult
from forgetmeter.results.gate.gate import Gate, VariantGate

SCHEMA_VERSION = 1


def gate_json(gate: Gate) -> str:
    """Return the verdicts, with what each check observed; shares are from 0 to 1, sizes in bytes."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": gate.run,
        "verdict": gate.verdict,
        "policy": {
            "sha256": gate.policy.digest,
            "conditions": [asdict(condition) for condition in gate.policy.conditions],
        },
        "variants": [_variant(variant) for variant in gate.variants],
    }
    return to_json(document).decode()


def _variant(variant: VariantGate) -> dict[str, Any]:
    return {
        "model": variant.model,
        "recipe": variant.recipe,
        "verdict": variant.verdict,
        "bytes": variant.bytes,
        "original_bytes": variant.original,
        "checks": [_check(result) for result in variant.results],
    }


def _check(result: CheckResult) -> dict[str, Any]:
    check, measured = result.check, result.measured
    return {
        "verdict": result.verdict,
        "condition": str(check.condition),
        "quantity": check.condition.quantity,
        "source": check.condition.source,
        "task": check.task,
        "tasks": list(check.tasks),
        "relation": check.relation,
        "limit": result.limit,
        "observed": None if measured is None else asdict(measured.estimate),
        "corrected": None if measured is None else asdict(measured.wide),
        "items": None if measured is None else measured.items,
        "relations": None if measured is None else measured.relations,
        "missing": None if measured is None else measured.missing,
        "stopped": None if measured is None else measured.stopped or None,
        "needed": result.needed,
        "reason": result.reason,
    }
