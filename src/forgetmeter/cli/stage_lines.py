"""What happens before the first cell, as lines on standard error."""

from __future__ import annotations

from typing import TextIO

from forgetmeter.study.silence import Silence


class StageLines(Silence):
    """Says which stage has begun, a line each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def stage(self, text: str) -> None:
        """Say it."""
        self._stream.write(f"{text}\n")
        self._stream.flush()
