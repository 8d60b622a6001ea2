"""The coverage benchmark with fewer runs: how often intervals hold the truth with few, heterogeneous relations."""

from __future__ import annotations

from types import ModuleType

import pytest
from scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("coverage")


@pytest.mark.parametrize(
    "setting",
    [
        {"items": 500, "relations": 10, "knows": 1.0, "forgets": 0.1, "spread": 0.08},
        {"items": 480, "relations": 8, "knows": 0.3, "forgets": 0.3, "spread": 0.2, "gains": 0.03, "equal": False},
        {"items": 400, "relations": 8, "knows": 0.5, "forgets": 0.3, "spread": 0.15, "gains": 0.2, "together": -1},
        {"items": 400, "relations": 8, "knows": 0.5, "forgets": 0.3, "spread": 0.15, "gains": 0.2, "together": 1},
        {"items": 200, "relations": 5, "knows": 0.7, "forgets": 0.1, "spread": 0.1},
    ],
)
def test_coverage_with_few_heterogeneous_relations(script: ModuleType, setting: dict[str, float]) -> None:
    # 1,000 runs are within 1.5 points of the truth, which is 93 to 97%.
    (ours,) = script.coverage(script.Setting(**setting), runs=1000)
    assert 0.91 <= ours.min() <= ours.max() <= 0.985


def test_other_ways_cover_less_with_five_relations(script: ModuleType) -> None:
    ours, *others = script.coverage(script.Setting(200, 5, 0.7, 0.1, 0.1), runs=1000, compare=True)
    assert len(others) == 4
    assert max(other.max() for other in others) < ours.min() - 0.02
