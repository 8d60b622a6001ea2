"""The scripts of ``benchmarks``, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load_script(name: str) -> ModuleType:
    """Load a script under a name that no library has."""
    unique = f"script_{name}"
    spec = importlib.util.spec_from_file_location(unique, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module.
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    return module
