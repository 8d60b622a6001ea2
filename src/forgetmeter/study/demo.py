"""The study that ``forgetmeter demo`` runs: it needs nothing but the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forgetmeter.specs.model_reference import STANDARDS


def demo_study(output: str) -> Mapping[str, Any]:
    """Return the study: the three standards, the paper's whole grid, and each built-in fact in its first phrasing.

    Args:
        output: Folder or URL of the run.
    """
    return {
        "models": [f"standard:{name}" for name in STANDARDS],
        "recipes": ["preset:paper/pruning", "preset:paper/quantization", "preset:paper/prune_then_quantize"],
        "tasks": ["facts:templates=0"],
        "output": output,
    }
