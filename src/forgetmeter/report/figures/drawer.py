"""The process that draws charts, started early because it takes seconds to get ready."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_PROCESS = Path(__file__).with_name("drawing_process.py")


class Drawer:
    """Draws once, without blocking other threads."""

    def __init__(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            [sys.executable, str(_PROCESS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> Drawer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the process if it is still running."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def draw(self, specified: list[dict[str, Any]]) -> list[dict[str, str]]:
        """Return ``svg`` and ``png`` (base64) of each Vega-Lite specification, in order.

        Raises:
            RuntimeError: The process failed; the message contains its standard error.
        """
        out, errors = self._process.communicate(json.dumps(specified).encode())
        if self._process.returncode:
            raise RuntimeError(f"drawing the charts failed: {errors.decode(errors='replace').strip()}")
        drawn: list[dict[str, str]] = json.loads(out)
        return drawn
