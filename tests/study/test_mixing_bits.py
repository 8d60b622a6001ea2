"""Mixed bits on a standard: what is chosen, that it fits, and what the held-out items say, counted by hand.

Covers ``results.held_out``.
"""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.checkpoints.predicted_size import SizePredictor
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.report.formats.advice_text import advice_text
from forgetmeter.results.advice import Advice
from forgetmeter.results.results import open_run
from forgetmeter.specs.budget import parse_budget
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.study.advising import AdviceRequest, advise
from forgetmeter.study.mixing_bits import mixes

MODEL = "standard:decoder"
TASK = "facts:templates=0"
CAST = "cast:token_embedding:dtype=bfloat16"
UNIFORM = [f"round_to_nearest:overall:{bits}:clip=mse:group_size=32+{CAST}" for bits in (2, 3, 4)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mixed")


def asked(folder: Path, budget: str) -> Advice:
    request = AdviceRequest(
        MODEL, (TASK,), parse_budget(budget), recipes=UNIFORM, mixed=True, output=str(folder / budget)
    )
    return advise(request)


@pytest.fixture(scope="module")
def advice(folder: Path) -> Advice:
    return asked(folder, "0.36")


def test_the_mix_fits_and_takes_what_was_promised(advice: Advice, tmp_path: Path) -> None:
    assert advice.mix is not None
    size = advice.sizes[advice.mix.recipe]
    assert size.format == "compressed-tensors"
    assert advice.sizes[advice.mix.uniform].bytes < size.bytes <= advice.most_bytes
    written = compress_checkpoint(MODEL, size.recipe, tmp_path / "out", format="compressed-tensors")
    assert written.bytes_after == size.bytes
    assert written.is_checked


def test_it_is_chosen_on_one_half_and_compared_on_the_other(advice: Advice, folder: Path) -> None:
    mix = advice.mix
    assert mix is not None
    assert mix.held_out is not None
    chosen_by = open_run(str(folder / "0.36" / "last")).run.answers[0]
    (answers,) = open_run(str(folder / "0.36" / "validation")).run.answers
    assert 1300 < len(chosen_by.items) < 1400
    assert len(answers.items) == 2683
    used = set(chosen_by.items)
    measured = open_run(str(folder / "0.36" / "sensitivity")).run.answers[0]
    assert set(measured.items) <= used
    rows = [answers.recipes.index(recipe) for recipe in (mix.recipe, mix.uniform)]
    known = [
        place
        for place, item in enumerate(answers.items)
        if item not in used and answers.correct[answers.recipes.index("baseline"), place]
    ]
    first, other = (sum(bool(answers.correct[row, place]) for place in known) / len(known) for row in rows)
    assert mix.held_out.known == len(known)
    assert mix.held_out.first.value == pytest.approx(first)
    assert mix.held_out.other.value == pytest.approx(other)
    assert mix.held_out.gain.value == pytest.approx(first - other)
    assert mix.held_out.gain.low < first - other < mix.held_out.gain.high


def test_mixed_bits_retain_far_more_than_two_bits_everywhere(advice: Advice) -> None:
    assert advice.mix is not None
    assert advice.mix.held_out is not None
    assert advice.mix.held_out.gain.low > 0.1
    assert advice.best.recipe == advice.mix.chosen == advice.mix.recipe
    said = re.sub(r"\s+", " ", advice_text(advice, width=120).plain)
    assert said.startswith(f"Use {advice.mix.recipe} ")
    assert "Bits mixed by sensitivity are better: of the 1,336 known items that were not used to choose, " in said


@pytest.mark.slow
def test_no_combination_of_bits_that_fits_has_a_lower_sum_of_losses(advice: Advice, folder: Path) -> None:
    """By trying each combination of 2, 3 and 4 bits."""
    found = open_run(str(folder / "0.36" / "sensitivity")).sensitivities
    losses = {
        (str(part.scope), int(each.level or 0)): part.drop.value for each in found for part in each.parts if each.level
    }
    scopes = sorted({scope for scope, _ in losses})
    sizes = SizePredictor(open_checkpoint(MODEL))

    def monotone(scope: str, bits: int) -> float:
        return max(0.0, *(losses[scope, more] for more in range(bits, 5)))

    best = float("inf")
    for bits in product((2, 3, 4), repeat=len(scopes)):
        text = "+".join(
            f"round_to_nearest:{scope}:{each}:clip=mse:group_size=32" for scope, each in zip(scopes, bits, strict=True)
        )
        loss = sum(monotone(scope, each) for scope, each in zip(scopes, bits, strict=True))
        if loss < best and sizes.of(parse_recipe(f"{text}+{CAST}")).bytes <= advice.most_bytes:
            best = loss
    chosen = mixes(found, sizes, advice.most_bytes)[0]
    steps = [step for step in parse_recipe(chosen.recipe).steps if step.method == "round_to_nearest"]
    matrices = open_checkpoint(MODEL).matrices
    total = 0.0
    for scope in scopes:
        wanted = set(parse_recipe(f"cast:{scope}").steps[0].scope.select(matrices))
        (step,) = (step for step in steps if wanted <= set(step.scope.select(matrices)))
        total += monotone(scope, int(step.level or 0))
    # Bits are also spent where nothing was measured, at most 2 points' worth.
    assert total <= best + 0.02


@pytest.mark.slow
def test_with_bytes_for_the_same_bits_everywhere_nothing_is_mixed_or_gained(folder: Path) -> None:
    advice = asked(folder, "0.6")
    assert advice.mix is None or (advice.mix.held_out is not None and advice.mix.held_out.gain.low <= 0)
    assert advice.best.recipe in UNIFORM


def test_a_model_whose_integers_no_format_stores_is_refused_before_any_work(folder: Path) -> None:
    request = AdviceRequest(
        "standard:encoder-decoder", (TASK,), parse_budget("0.9"), mixed=True, output=str(folder / "none")
    )
    with pytest.raises(UserError, match=r"mixed bits cannot make standard:encoder-decoder smaller, because no format"):
        advise(request)
    assert not (folder / "none").exists()


@pytest.mark.slow
def test_a_limit_that_no_mix_fits_is_said(folder: Path) -> None:
    advice = asked(folder, "0.3551")
    assert advice.mix is None
    assert advice.no_mix
    assert "No mix of bits was tried: " in advice_text(advice, width=120).plain
