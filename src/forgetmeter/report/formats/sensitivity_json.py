"""Sensitivities as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from forgetmeter.basics.json_text import to_json
from forgetmeter.results.sensitivity import PartSensitivity, Sensitivity
from forgetmeter.statistics.paired import Estimate

SCHEMA_VERSION = 1


def sensitivity_json(run: str, found: Iterable[Sensitivity]) -> str:
    """Return sensitivities with all parts; drops are shares from 0 to 1, sizes in bytes.

    Args:
        run: Location of the run.
        found: Its sensitivities.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": run,
        "sensitivities": [
            {
                **{name: getattr(each, name) for name in ("model", "task", "method", "level", "unit")},
                "parts": [_part(part) for part in each.parts],
            }
            for each in found
        ],
    }
    return to_json(document).decode()


def _part(part: PartSensitivity) -> dict[str, Any]:
    scope = part.scope
    return {
        "recipe": part.recipe,
        "scope": str(scope),
        "role": scope.selector,
        "stack": scope.stack,
        "layers": scope.layers,
        **{name: getattr(part, name) for name in ("weights", "removed_weights", "saved_bytes", "items", "precision")},
        "is_loss": part.is_loss,
        "drop": asdict(part.drop),
        **{name: _estimate(getattr(part, name)) for name in ("per_megabyte", "per_million_removed")},
        "per_million_weights": _estimate(part.per_million_weights),
    }


def _estimate(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else asdict(estimate)
