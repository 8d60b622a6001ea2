"""The simulation of many workers, against what can be counted by hand."""

from __future__ import annotations

from types import ModuleType

import pytest
from scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("scale")


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("lost_after", [0.0, 500.0])
def test_all_cells_are_scored_in_the_time_that_they_take(script: ModuleType, workers: int, lost_after: float) -> None:
    times = [{"one": 10.0, "other": 30.0}]
    setting = script.Setting(times, 50, {"one": 64, "other": 64}, 60.0, 2.0, 0.005, lost_after)
    passed, spent = script.simulate(setting, workers)
    assert spent.scoring == pytest.approx(50 * 40)
    assert (spent.losses > 0) == (lost_after > 0)
    # Whatever a loss costs comes on top.
    least = (60 * workers + 50 * (40 + 2)) / workers
    assert passed >= least - 1
    if not lost_after:
        assert passed <= least + 40
