"""Each finding on made-up runs that support it, contradict it, do neither, or lack what it needs.

Covers ``results.findings.all_findings``, ``results.findings.at_equal_level``,
``results.findings.attention_at_equal_removed``, ``results.findings.effect``, ``results.findings.evidence``,
``results.findings.facts_before_perplexity``, ``results.findings.final_layer_majority``, ``results.findings.finding``,
``results.findings.hidden_flips``, ``results.findings.rapid_fall``, ``results.findings.rare_facts_first`` and
``results.treatments``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_answers import make_answers
from made_up_run import MadeUpTask, write_made_up_run
from scipy.stats import binomtest, mannwhitneyu

from forgetmeter.results.findings.all_findings import FINDINGS
from forgetmeter.results.findings.effect import Effect, p_value
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Finding
from forgetmeter.results.findings.rare_facts_first import _pairs, _ranks_within
from forgetmeter.results.results import open_run

TASK = MadeUpTask("facts", 600, relations=10, popularity=True)
Keeps = Mapping[str, float]


def run_of(
    tmp_path: Path,
    keeps: Keeps,
    *,
    task: MadeUpTask = TASK,
    knows: float = 0.6,
    gains: float = 0.0,
    rare: float = 0.0,
    models: tuple[str, ...] = ("org/made-up",),
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    seed: int = 0,
) -> dict[str, Finding]:
    """Findings when each recipe keeps a share of what is known; ``rare`` keeps more of the rarest facts."""

    def right(task: MadeUpTask, recipe: str, random: np.random.Generator) -> np.ndarray:
        known = np.random.default_rng(0).random(task.items) < knows
        if recipe == "baseline":
            return known
        popularity = (np.arange(task.items) * 7919 % 1000) / 1000
        kept = random.random(task.items) < keeps[recipe] - rare * (popularity - 0.5)
        return np.where(known, kept, random.random(task.items) < gains)

    location = write_made_up_run(
        str(tmp_path / "run"), recipes=list(keeps), right=right, tasks=[task], models=models, metrics=metrics, seed=seed
    )
    return {finding.name: finding for finding in open_run(location).tested_claims}


def scopes(attention: float, feed_forward: float, overall: float) -> Keeps:
    kept = {"attention": attention, "feed_forward": feed_forward, "overall": overall}
    return {f"l1_unstructured:{scope}:0.5": share for scope, share in kept.items()}


def levels(half: float, last: float) -> Keeps:
    return {"l1_unstructured:overall:0.5": half, "l1_unstructured:overall:0.9": last}


def quantized(attention: float, feed_forward: float) -> Keeps:
    return {"dynamic_int8:attention": attention, "dynamic_int8:feed_forward": feed_forward}


def head(unstructured: float, structured: float) -> Keeps:
    return {"l1_unstructured:head:0.5": unstructured, "ln_structured:head:0.5:n=1": structured}


def removed(attention: float, feed_forward: float) -> Keeps:
    # 60% of attention's 1,000 weights equal 20% of feed-forward's 3,000.
    return {"l1_unstructured:attention:0.6": attention, "l1_unstructured:feed_forward:0.2": feed_forward}


CASES: list[tuple[str, Keeps, Keeps, Keeps]] = [
    ("overall_hurts_most", scopes(0.8, 0.7, 0.3), scopes(0.8, 0.3, 0.6), scopes(0.8, 0.6, 0.6)),
    ("rapid_fall_past_half", levels(0.9, 0.1), levels(0.2, 0.1), levels(0.5, 0.1)),
    ("quantizing_attention_cheaper", quantized(0.9, 0.5), quantized(0.5, 0.9), quantized(0.7, 0.7)),
    ("structured_final_layer_worse", head(0.9, 0.5), head(0.5, 0.9), head(0.7, 0.7)),
    ("attention_cheaper_at_equal_sparsity", scopes(0.9, 0.5, 0.3), scopes(0.5, 0.9, 0.3), scopes(0.7, 0.7, 0.3)),
    ("attention_cheaper_at_equal_removed", removed(0.9, 0.5), removed(0.5, 0.9), removed(0.7, 0.7)),
]


@pytest.mark.parametrize(("name", "as_claimed", "opposite", "neither"), CASES)
def test_verdicts_of_findings_that_compare_retained(
    tmp_path: Path, name: str, as_claimed: Keeps, opposite: Keeps, neither: Keeps
) -> None:
    for place, (keeps, verdict) in enumerate(
        [(as_claimed, "supported"), (opposite, "contradicted"), (neither, "inconclusive"), ({}, "not tested")]
    ):
        finding = run_of(tmp_path / str(place), keeps)[name]
        assert finding.verdict == verdict, (finding.results, keeps)
        (result,) = finding.results
        assert result.verdict == verdict
        assert bool(finding.missing) == (verdict == "not tested")
        if verdict != "not tested":
            assert result.effect is not None
            assert result.effect.low <= result.effect.value <= result.effect.high
            assert result.tasks[0].recipes


def test_effects_match_the_shares(tmp_path: Path) -> None:
    found = run_of(tmp_path, {**scopes(0.9, 0.7, 0.3), **levels(0.3, 0.1)})

    def effect(name: str) -> float:
        result = found[name].results[0].effect
        assert result is not None
        return result.value

    run = open_run(str(tmp_path / "run"))
    kept = run.comparisons.set_index("recipe")["retained"]
    attention, feed_forward, overall, last = (
        kept[f"l1_unstructured:{each}"] for each in ("attention:0.5", "feed_forward:0.5", "overall:0.5", "overall:0.9")
    )
    assert effect("overall_hurts_most") == pytest.approx(min(attention, feed_forward) - overall)
    assert effect("attention_cheaper_at_equal_sparsity") == pytest.approx(attention - feed_forward)
    assert effect("rapid_fall_past_half") == pytest.approx(((overall - last) / 0.4 - (1 - overall) / 0.5) / 10)
    # Up to 500 removed weights: attention up to 0.5, feed-forward (1,500 at 0.5) a third of the way.
    grid = np.arange(1, 11) * 50
    gap = np.interp(grid, [0, 500], [1, attention]) - np.interp(grid, [0, 1500], [1, feed_forward])
    assert effect("attention_cheaper_at_equal_removed") == pytest.approx(gap.mean())


@pytest.mark.parametrize(
    ("keeps", "gains", "verdict"),
    [
        (0.42, 0.37, "supported"),
        (1.0, 0.6, "contradicted"),
        (0.0, 0.0, "supported"),
        (0.7, 0.0, "inconclusive"),
    ],
)
def test_final_layer_and_the_majority(tmp_path: Path, keeps: float, gains: float, verdict: str) -> None:
    # One place is right in 0.4 of the items; the others are evenly spread.
    class Uneven(MadeUpTask):
        @property
        def right_places(self) -> np.ndarray:
            return np.where(np.arange(self.items) % 5 < 2, 0, np.arange(self.items) % 5)

    task = Uneven("piqa", 1500, choices=5)
    finding = run_of(tmp_path, {"l1_unstructured:head:0.9": keeps}, task=task, gains=gains)["final_layer_majority"]
    assert finding.verdict == verdict


def test_final_layer_of_a_baseline_no_better_than_the_majority(tmp_path: Path) -> None:
    # The same place is right in 99 of 100 items.
    class Lopsided(MadeUpTask):
        @property
        def right_places(self) -> np.ndarray:
            return np.minimum(np.arange(self.items) % 100, 1)

    finding = run_of(tmp_path, {"l1_unstructured:head:0.9": 0.5}, task=Lopsided("piqa", 400))
    assert finding["final_layer_majority"].verdict == "not tested"
    assert "not better than the majority" in finding["final_layer_majority"].missing


@pytest.mark.parametrize(
    ("keeps", "gains", "verdict"),
    [
        (0.8, 0.3, "supported"),
        (1.0, 0.0, "contradicted"),
        (0.99, 0.012, "inconclusive"),
    ],
)
def test_flips_behind_an_unchanged_accuracy(tmp_path: Path, keeps: float, gains: float, verdict: str) -> None:
    finding = run_of(tmp_path, {"dynamic_int8:overall": keeps}, gains=gains)["accuracy_hides_flips"]
    assert finding.verdict == verdict


def test_flips_where_every_drop_is_real(tmp_path: Path) -> None:
    finding = run_of(tmp_path, {"dynamic_int8:overall": 0.3})["accuracy_hides_flips"]
    assert finding.verdict == "not tested"
    assert "without a significant drop" in finding.missing


@pytest.mark.parametrize(("rare", "verdict"), [(-0.8, "supported"), (0.8, "contradicted"), (0.0, "inconclusive")])
def test_rare_facts(tmp_path: Path, rare: float, verdict: str) -> None:
    assert run_of(tmp_path, {"dynamic_int8:overall": 0.5}, rare=rare)["rare_facts_first"].verdict == verdict


def test_rare_facts_without_popularity(tmp_path: Path) -> None:
    finding = run_of(tmp_path, {"dynamic_int8:overall": 0.5}, task=MadeUpTask("facts", 600, relations=10))
    assert finding["rare_facts_first"].missing == "the popularity of its subjects is not known"


def test_pairs_match_mann_and_whitney() -> None:
    random = np.random.default_rng(0)
    relation, popularity = np.arange(90) % 3, random.integers(0, 10, 90).astype(float)
    kept = random.random(90) < 0.6
    wins, pairs = _pairs(relation, 3, _ranks_within(relation, 3, popularity), kept)
    for each in range(3):
        mine = [popularity[(relation == each) & (kept == side)] for side in (True, False)]
        assert wins[each] == mannwhitneyu(*mine).statistic
        assert pairs[each] == len(mine[0]) * len(mine[1])


@pytest.mark.parametrize(
    ("perplexity", "verdict"),
    [
        ((10.0, 10.0, 10.5), "supported"),
        ((11.5, 20.0, 90.0), "contradicted"),
        ((11.5, 20.0, math.inf), "contradicted"),
        ((11.0, 20.0, 90.0), "inconclusive"),
        # A fall by less than a tenth is noise; a greater one says that perplexity does not measure damage.
        ((9.9, 9.5, 9.3), "supported"),
        ((9.9, 9.0, 6.0), "not tested"),
        ((9.0, 20.0, 90.0), "not tested"),
        ((11.5, 9.0, 6.0), "contradicted"),
        (None, "not tested"),
    ],
)
def test_facts_and_perplexity(tmp_path: Path, perplexity: tuple[float, ...] | None, verdict: str) -> None:
    recipes = [f"l1_unstructured:overall:{level}" for level in (0.2, 0.4, 0.6)]
    kept = {"supported": (0.6, 0.4, 0.2), "inconclusive": (0.9, 0.5, 0.2)}
    shares = kept.get(verdict, (0.99, 0.97, 0.7))
    # Perplexity per byte rises much less, and is not what tables and charts compare.
    metrics = {
        recipe: {"byte_perplexity": 2.0, "word_perplexity": value}
        for recipe, value in zip(recipes, perplexity or (), strict=False)
    }
    if perplexity:
        metrics["baseline"] = {"byte_perplexity": 2.0, "word_perplexity": 10.0}
    found = run_of(tmp_path, dict(zip(recipes, shares, strict=True)), metrics=metrics)["facts_before_perplexity"]
    assert found.verdict == verdict
    if perplexity and verdict == "not tested":
        assert found.missing.startswith("the perplexity of facts falls by a tenth under pruning before it rises")
    if perplexity and verdict != "not tested":
        (task,) = found.results[0].tasks
        never = "; on the only curve used, perplexity never rises by a tenth, so the effect may be larger"
        text = "compared with facts"  # Which of several texts counts.
        assert task.detail == text + (never if max(perplexity) < 11 else "")


def test_curves_on_which_neither_facts_nor_perplexity_change_say_nothing(tmp_path: Path) -> None:
    recipes = [f"l1_unstructured:{scope}:{level}" for scope in ("attention", "overall") for level in (0.2, 0.4)]
    shares = dict(zip(recipes, (1.0, 0.97, 0.7, 0.3), strict=True))
    metrics = {recipe: {"word_perplexity": 10.0} for recipe in ("baseline", *recipes)}
    found = run_of(tmp_path / "both", shares, metrics=metrics)["facts_before_perplexity"]
    assert found.verdict == "supported"
    assert found.results[0].tasks[0].detail == (
        "compared with facts; on the only curve used, perplexity never rises by a tenth, so the effect may be larger; "
        "1 curve left out, on which neither changes by a tenth"
    )
    still = run_of(tmp_path / "none", dict.fromkeys(recipes, 1.0), metrics=metrics)["facts_before_perplexity"]
    assert still.verdict == "not tested"
    assert still.missing.startswith("neither facts nor the perplexity of facts change by a tenth at any level")


def test_models_that_disagree_are_inconclusive_together(tmp_path: Path) -> None:
    def right(task: MadeUpTask, recipe: str, random: np.random.Generator) -> np.ndarray:
        known = np.random.default_rng(0).random(task.items) < 0.6
        # The two models' generators differ in their first numbers: one keeps attention, the other feed-forward.
        swapped = random.bit_generator.seed_seq.entropy[1] == 1  # type: ignore[attr-defined]
        keeps = {"baseline": 1.0, "dynamic_int8:attention": 0.9, "dynamic_int8:feed_forward": 0.4}[recipe]
        return known & (random.random(task.items) < (1.3 - keeps if swapped and recipe != "baseline" else keeps))

    location = write_made_up_run(
        str(tmp_path / "run"), recipes=list(quantized(1, 1)), right=right, tasks=[TASK], models=("org/a", "org/b")
    )
    finding = {each.name: each for each in open_run(location).tested_claims}["quantizing_attention_cheaper"]
    assert [result.verdict for result in finding.results] == ["supported", "contradicted"]
    assert finding.verdict == "inconclusive"


def test_verdicts_under_the_null_are_few(tmp_path: Path) -> None:
    false = 0
    for seed in range(6):
        found = run_of(
            tmp_path / str(seed),
            {**scopes(0.7, 0.7, 0.7), **quantized(0.7, 0.7), **head(0.7, 0.7)},
            task=MadeUpTask("facts", 300, relations=10),
            seed=seed,
        )
        compared = [
            name
            for name in found
            if name not in ("accuracy_hides_flips", "rapid_fall_past_half", "final_layer_majority")
        ]
        # At equal removed weights, attention does cost more here: it keeps as much with a third of the weights removed.
        compared.remove("attention_cheaper_at_equal_removed")
        false += any(found[name].verdict in ("supported", "contradicted") for name in compared)
    assert false <= 1


@pytest.mark.parametrize(
    ("knows", "says"),
    [(-1.0, "gets only 0 questions right"), (0.01, "gets only"), (0.25, "not significantly better than guessing")],
)
def test_a_baseline_that_knows_nothing(tmp_path: Path, knows: float, says: str) -> None:
    found = run_of(tmp_path, quantized(1, 1), knows=knows)
    assert says in found["quantizing_attention_cheaper"].missing


def test_all_right_throughout(tmp_path: Path) -> None:
    found = run_of(tmp_path, {**scopes(2, 2, 2), **quantized(2, 2)}, knows=2.0)
    assert found["quantizing_attention_cheaper"].verdict == "inconclusive"
    assert found["quantizing_attention_cheaper"].results[0].p_value == 1


@pytest.mark.parametrize("number", [5, 12])
def test_relations_that_all_show_the_same_are_as_many_draws_of_a_side(number: int) -> None:
    effect = Effect(0.25, np.full(2000, 0.25), number, ("a", "b"))
    assert p_value(effect, 0.0) == pytest.approx(binomtest(number, number).pvalue)
    assert p_value(effect, 0.25) == 1
    assert p_value(replace(effect, value=-0.25, trials=9), 0.0) == pytest.approx(min(1, 9 * 2 * 0.5**number))
    assert p_value(replace(effect, clusters=None), 0.0) == pytest.approx(1 / 2001)


@pytest.mark.parametrize("items", [0, 1])
def test_very_few_items(write_run: Callable[..., str], items: int) -> None:
    right = {("baseline", "piqa"): [True] * items, ("l1_unstructured:overall:0.5", "piqa"): [False] * items}
    assert {finding.verdict for finding in open_run(write_run(right)).tested_claims} <= {"not tested", "inconclusive"}


def test_no_baseline_and_no_cells(write_run: Callable[..., str], tmp_path: Path) -> None:
    found = open_run(write_run({("l1_unstructured:overall:0.5", "piqa"): [True, False]})).tested_claims
    assert len(found) == len(FINDINGS)
    assert {finding.verdict for finding in found} == {"not tested"}
    assert found[0].missing == "the baseline has no outcomes"
    empty = open_run(write_run({}, location=str(tmp_path / "empty"))).tested_claims
    assert {finding.missing for finding in empty} == {"no model has outcomes"}


def test_an_item_without_a_relation_leaves_means_over_relations() -> None:
    relation = np.repeat(np.arange(10), 100)
    found = []
    for blank in (0, 1):
        answers = make_answers(np.ones((2, 1000), dtype=bool), np.where(np.arange(1000) < blank, -1, relation))
        found.append(Evidence(answers, {}, {}, {}, "", {}).mean_draws((relation < 3).astype(float)))
    assert [clusters for _, _, clusters in found] == [10, 10]
    whole, blank_draws = (draws.std() for _, draws, _ in found)
    assert blank_draws == pytest.approx(whole, rel=0.1)
    assert whole > 0.1
