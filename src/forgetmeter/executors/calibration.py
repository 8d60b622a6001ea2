"""Calibration texts of a model, if a recipe needs them."""

from __future__ import annotations

from collections.abc import Iterable

from forgetmeter.compression.applying.recipe_problems import needs_activations
from forgetmeter.compression.calibrated.activations import Calibration
from forgetmeter.config.study import CalibrationSettings
from forgetmeter.models.loaded import Loaded
from forgetmeter.scoring.calibration import calibration_calls
from forgetmeter.specs.recipe import Recipe


def calibration_for(loaded: Loaded, recipes: Iterable[Recipe], settings: CalibrationSettings) -> Calibration:
    """Return the inputs of each calibration call; empty if no recipe needs activations.

    Raises:
        UserError: As for ``calibration_calls``.
    """
    return calibration_calls(loaded, settings) if any(map(needs_activations, recipes)) else ()
