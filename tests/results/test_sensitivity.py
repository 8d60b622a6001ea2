"""Sensitivities of made-up runs with known drops and sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from made_up_run import MODEL, MadeUpTask, RunBuilder, write_answers

from forgetmeter.records.noise import Noise
from forgetmeter.records.variant import Reached, RoleCount
from forgetmeter.results.results import Results, open_run
from forgetmeter.results.sensitivity import PartSensitivity, Sensitivity, part_step
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.specs.scope import parse_scope
from forgetmeter.statistics.paired import Estimate, paired_drop

TASK = MadeUpTask("quiz", 1000)
BYTES = 10_000_000


def reached(weights: int, removed: int, saved: int) -> Reached:
    roles = {"attention.query": RoleCount(weights, removed)}
    return Reached(roles, weights, removed, removed, BYTES, BYTES, BYTES, simulated=False, smallest_bytes=BYTES - saved)


def write(location: str, made: Mapping[str, tuple[int, Reached]], noise: Noise | None = None) -> Results:
    """Write a run whose baseline knows 800 items, of which each recipe forgets a number."""
    run = RunBuilder(location, models=[MODEL], recipes=["baseline", *made], tasks=[TASK.name])
    random, known = np.random.default_rng(0), np.arange(TASK.items) < 800
    for recipe, (forgotten, each) in {"baseline": (0, reached(0, 0, 0)), **made}.items():
        run.reached(recipe, each)
        write_answers(
            run.store, run.cell(recipe, TASK.name), TASK, known & (np.arange(TASK.items) >= forgotten), random
        )
    if noise is not None:
        run.store.write_noise(run.cell("baseline", TASK.name), noise)
    return open_run(location)


def test_drops_are_divided_by_what_was_saved_and_removed(tmp_path) -> None:
    made = {
        "l1_unstructured:layers[0]/attention.query:0.5": (20, reached(4_000_000, 2_000_000, 4_000_000)),
        "l1_unstructured:layers[1]/attention.query:0.5": (20, reached(2_000_000, 1_000_000, 2_000_000)),
        "l1_unstructured:layers[2]/attention.query:0.5": (0, reached(2_000_000, 1_000_000, 2_000_000)),
        "round_to_nearest:layers[0-1]/attention:3:group_size=32": (50, reached(6_000_000, 9, 5_000_000)),
    }
    results = write(str(tmp_path / "run"), made)
    pruned, rounded = results.sensitivities
    assert (pruned.model, pruned.task, pruned.method, pruned.level) == (MODEL, "quiz", "l1_unstructured", 0.5)
    assert (rounded.method, rounded.level) == ("round_to_nearest:group_size=32", 3)
    assert [str(part.scope.layers) for part in pruned.parts] == ["(1, 1)", "(0, 0)", "(2, 2)"]
    assert pruned.layers == ((0, 0), (1, 1), (2, 2))
    expected = paired_drop(forgotten=20, gained=0, items=1000)
    for part, millions, megabytes in zip(pruned.parts, (1, 2), (2, 4), strict=False):
        assert part.drop == expected
        assert part.per_million_removed == Estimate(*(each / millions for each in vars(expected).values()))
        assert part.per_megabyte == Estimate(*(each / megabytes for each in vars(expected).values()))
        assert part.per_million_weights == Estimate(*(each / 2 / millions for each in vars(expected).values()))
        assert part.is_loss
    # Nothing was forgotten, but the interval has a width.
    assert not pruned.parts[2].is_loss
    assert pruned.parts[2].drop.low < 0 < pruned.parts[2].drop.high
    # Rounding makes zeros, which is not pruning.
    (part,) = rounded.parts
    assert (part.weights, part.removed_weights, part.saved_bytes) == (6_000_000, 0, 5_000_000)
    assert part.per_million_removed is None


def test_a_loss_must_exceed_the_noise_floor(tmp_path) -> None:
    made = {"l1_unstructured:layers[0]/attention.query:0.5": (50, reached(4, 2, 8))}
    for noisy, is_loss in ((10, True), (45, False)):
        noise = Noise(1000, noisy, 0, noisy, 0.1, (1024, 512))
        results = write(str(tmp_path / str(noisy)), made, noise)
        assert [part.is_loss for part in results.sensitivities[0].parts] == [is_loss]


def test_parts_that_save_nothing_are_compared_by_weights(tmp_path) -> None:
    made = {
        "l1_unstructured:layers[0]/attention.query:0.02": (20, reached(4_000_000, 80_000, 0)),
        "l1_unstructured:layers[1]/attention.query:0.02": (20, reached(2_000_000, 40_000, 1000)),
    }
    (found,) = write(str(tmp_path / "run"), made).sensitivities
    assert found.unit == "per_million_weights"
    assert [part.weights for part in found.parts] == [2_000_000, 4_000_000]
    assert found.parts[1].per_megabyte is None


@pytest.mark.parametrize(
    ("recipe", "is_part"),
    [
        ("l1_unstructured:layers[0]/attention.query:0.5", True),
        ("l1_unstructured:encoder/layers[0-3]/feed_forward:0.5", True),
        ("l1_unstructured:attention:0.5", True),
        ("l1_unstructured:head:0.5", True),
        ("l1_unstructured:layers[2]/overall:0.5", True),
        ("l1_unstructured:overall:0.5", False),
        ("l1_unstructured:paper/attention:0.5", False),
        ("l1_unstructured:regex(query):0.5", False),
        ("l1_unstructured:attention:0.5+round_to_nearest:attention:4", False),
        ("candidate(org/name)+l1_unstructured:attention:0.5", False),
        ("baseline", False),
        ("of a plug-in", False),
    ],
)
def test_recipes_that_count(recipe: str, is_part: bool) -> None:
    step = part_step(recipe)
    assert (step is not None) is is_part
    assert step is None or step == parse_recipe(recipe).steps[0]


def ordered(*drops: tuple[float, float]) -> Sensitivity:
    """Return parts of equal size, with a value and half the width of its interval."""
    step = parse_recipe("l1_unstructured:layers[0]/attention:0.5").steps[0]
    parts = tuple(
        PartSensitivity(
            f"part {place}", parse_scope(f"layers[{place}]/attention"), 2, 1, 10**6,
            Estimate(value, value - half, value + half), 100,
        )
        for place, (value, half) in enumerate(drops)
    )  # fmt: skip
    return Sensitivity("m", "t", "l1_unstructured", 0.5, step, "per_megabyte", parts)


@pytest.mark.parametrize(
    ("drops", "undecided"),
    [
        # The middle is 0.35.
        ([(0.5, 0.1), (0.4, 0.1), (0.3, 0.1), (0.0, 0.1)], [1, 2]),
        ([(0.5, 0.2), (0.4, 0.04), (0.3, 0.04), (0.0, 0.4)], [0, 3]),
        ([(0.5, 0.1), (0.4, 0.04), (0.3, 0.04), (0.0, 0.1)], []),
        # The smaller half is the more sensitive one.
        ([(0.5, 0.1), (0.1, 0.1), (0.0, 0.1)], []),
        ([(0.0, 0.1), (0.0, 0.1)], [0, 1]),
        ([(0.5, 0.5)], []),
    ],
)
def test_parts_near_the_middle_are_undecided(drops: list[tuple[float, float]], undecided: list[int]) -> None:
    assert [part.recipe for part in ordered(*drops).undecided()] == [f"part {place}" for place in undecided]
