"""Whether cheap numbers rank variants as the retained share does.

Covers ``report.formats.foretold_text``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_run import MadeUpTask, write_made_up_run
from scipy.stats import spearmanr

from forgetmeter.report.formats.foretold_text import foretold_text
from forgetmeter.results.compared.measured import MeasuredSummary
from forgetmeter.results.foretelling import foretold
from forgetmeter.results.results import open_run

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
RECIPES = [f"l1_unstructured:overall:{level}" for level in LEVELS]
LOST = dict(zip(RECIPES, (0.02, 0.05, 0.04, 0.3, 0.2, 0.5, 0.8), strict=True))


def right(task, recipe, random):
    known = np.arange(task.items) % 10 < 8
    lost = LOST.get(recipe, 0.0) * (1 if task.name == "facts" else 0.5)
    return known & (np.arange(task.items) >= lost * task.items)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    location = str(tmp_path_factory.mktemp("foretold") / "run")
    tasks = [MadeUpTask("facts", 1000), MadeUpTask("other", 1000)]
    found = open_run(write_made_up_run(location, recipes=RECIPES, right=right, tasks=tasks)).summary
    measured = tuple(
        MeasuredSummary(
            "org/made-up",
            recipe,
            "divergence",
            10,
            {"divergence": 0.1 * place, "agreement": 1 - 0.1 * place, "divergence_p99_9": 1.0},
        )
        for place, recipe in enumerate(RECIPES, start=1)
    )
    return replace(found, measured=measured)


def by_number(summary, task="facts"):
    return {(each.number, each.source): each for each in foretold(summary) if each.task == task}


def test_correlations_are_of_the_retained_share(summary) -> None:
    found = by_number(summary)
    kept = [-LOST[recipe] for recipe in RECIPES]
    expected = spearmanr(kept, -np.arange(7)).statistic
    for number in ("mean KL", "top-1 agreement"):
        assert found[number, "divergence"].correlation.value == pytest.approx(expected)
    assert found["accuracy drop", "other"].correlation.value == pytest.approx(1.0)
    assert found["99.9% KL", "divergence"].correlation is None
    assert found["size", ""].correlation.value == pytest.approx(-spearmanr(kept, np.arange(7)).statistic, abs=1e-9)


def test_bits_per_weight_rank_as_sizes_do(summary) -> None:
    with_bits = replace(summary, parameters={"org/made-up": 5000})
    sizes = [each.smallest_bytes for each in with_bits.variants if each.recipe != "baseline"]
    name = f"bits per weight ({8 * min(sizes) / 5000:.3g} to {8 * max(sizes) / 5000:.3g})"
    found = by_number(with_bits)
    assert ("size", "") not in found
    assert found[name, ""].correlation == by_number(summary)["size", ""].correlation
    assert found[name, ""].at_equal_size is None


def test_at_equal_size_the_level_says_nothing_more(summary) -> None:
    found = by_number(summary)
    # Here, size falls with the level as the divergence rises.
    assert found["mean KL", "divergence"].at_equal_size is None
    assert found["accuracy drop", "other"].at_equal_size.value == pytest.approx(1.0)
    assert found["size", ""].at_equal_size is None


def test_the_best_number_comes_first(summary) -> None:
    values = [each.correlation.value for each in foretold(summary) if each.task == "facts" and each.correlation]
    assert values == sorted(values, reverse=True)


def test_in_words(summary) -> None:
    text = foretold_text(foretold(summary), width=120).plain
    assert text.startswith("org/made-up · retained of facts")
    assert any(line.split()[:4] == ["accuracy", "drop", "other", "7"] for line in text.splitlines())
    assert not foretold_text((), width=120)


def test_few_variants_say_nothing(summary) -> None:
    assert foretold(replace(summary, cells=tuple(each for each in summary.cells if each.recipe in RECIPES[:4]))) == ()
