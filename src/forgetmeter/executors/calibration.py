"""Calibration texts of a model, if a recipe needs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from forgetmeter.compression.applying.recipe_problems import needs_activations
from forgetmeter.compression.calibrated.activations import Calibration
from forgetmeter.config.study import CalibrationSettings
from forgetmeter.models.loaded import Loaded
from forgetmeter.scoring.calibration import calibration_calls
from forgetmeter.scoring.calibration_texts import text_digest
from forgetmeter.specs.recipe import Recipe


def calibration_for(loaded: Loaded, recipes: Iterable[Recipe], settings: CalibrationSettings) -> Calibration:
    """Return the inputs of each calibration call; empty if no recipe needs activations.

    Raises:
        UserError: As for ``calibration_calls``.
    """
    return calibration_calls(loaded, settings) if any(map(needs_activations, recipes)) else ()


def calibration_facts(settings: CalibrationSettings, model: str) -> Mapping[str, str | int]:
    """Return the SHA-256 of a model's calibration text, and how sequences are drawn from it.

    Raises:
        UserError: The text cannot be read.
    """
    drawn = {key: value for key, value in asdict(settings).items() if key != "text"}
    return {**drawn, "sha256": text_digest(settings, model)}
