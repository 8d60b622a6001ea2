"""The public names of the package, loaded lazily."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import forgetmeter.compression.method
import forgetmeter
from tiny_models import make_llama, make_tokenizer
loaded = forgetmeter.wrap(make_llama(), make_tokenizer())
for level in (0.3, 0.7):
    forgetmeter.compress(loaded, f"l1_unstructured:overall:{level}")
for name in forgetmeter.__all__:
    assert callable(getattr(forgetmeter, name)) or name == "__version__", name
"""


def test_public_names_are_functions_whatever_was_imported_first(request) -> None:  # type: ignore[no-untyped-def]
    root = request.config.rootpath
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root / 'tests'}"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import forgetmeter, sys; print([m for m in ('torch', 'pandas', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
