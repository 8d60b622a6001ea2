"""Calibration texts, read by their settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from forgetmeter.config.study import FACTS, PYTHON, CalibrationSettings
from forgetmeter.errors import UserError
from forgetmeter.probes.loading import load_task
from forgetmeter.probes.on_text.text_file import read_text_file

_FACTS_TASK = "facts:templates=0"
_LONGEST_TOKEN = 16
"""Characters read of a file for each token that is needed."""


def text_digest(settings: CalibrationSettings, model: str) -> str:
    """Return the SHA-256 of the text that a model with this name would be given.

    Raises:
        UserError: The text cannot be read.
    """
    return hashlib.sha256("\n\n".join(calibration_texts(settings, model)).encode(errors="surrogatepass")).hexdigest()


def calibration_texts(settings: CalibrationSettings, model: str) -> Sequence[str]:
    """Return the texts for a model with this name.

    Raises:
        UserError: They cannot be read.
    """
    where = settings.of(model)
    if where == FACTS:
        return [item.cloze.filled(item.choices[item.gold[0]]) for item in load_task(_FACTS_TASK).items]
    if where == PYTHON:
        return _documentation()
    texts = read_text_file(Path(where).expanduser())
    whole = "\n\n".join(text for text in texts if text is not None)
    return [whole[: longest_text(settings)]]


def longest_text(settings: CalibrationSettings) -> int:
    """Return how many characters of a file are read."""
    return settings.sequences * settings.length * _LONGEST_TOKEN


def _documentation() -> Sequence[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise UserError(
            "this Python comes without its documentation (pydoc_data), which calibration reads by default; give a text "
            "(calibration: {text: PATH})"
        ) from None
    return [text for _, text in sorted(topics.items())]
