"""The statistics need numpy and scipy alone."""

from __future__ import annotations

import subprocess
import sys


def test_no_module_loads_a_library_of_tables() -> None:
    script = (
        "import sys, pkgutil, importlib, forgetmeter.statistics as package\n"
        "names = [each.name for each in pkgutil.iter_modules(package.__path__, package.__name__ + '.')]\n"
        "assert len(names) > 1\n"
        "for name in names:\n    importlib.import_module(name)\n"
        "print([name for name in ('pandas', 'pyarrow', 'statsmodels') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
