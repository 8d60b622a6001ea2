"""Advice as text and as JSON.

Covers ``report.formats.advice_json`` and ``results.advice``.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest

from forgetmeter.records.packed_source import PackedSource
from forgetmeter.report.formats.advice_json import advice_json
from forgetmeter.report.formats.advice_text import advice_text
from forgetmeter.results.advice import Advice, EliminatedRecipe, Mix, Sized
from forgetmeter.results.held_out import HeldOut
from forgetmeter.results.standing import Standing, TaskStanding
from forgetmeter.specs.budget import parse_budget
from forgetmeter.statistics.paired import Estimate

BEST, SMALL, WORSE, LARGE, GONE = (
    "cast:overall",
    "round_to_nearest:overall:4",
    "svd:overall:0.5",
    "n_m:overall",
    "x:head",
)


def standing(recipe: str, retained: float, behind: Estimate | None) -> Standing:
    share = Estimate(retained, retained - 0.02, retained + 0.01)
    return Standing(recipe, share, tuple(TaskStanding(task, share, 7, 100) for task in ("piqa", "facts")), behind)


ADVICE = Advice(
    model="org/model",
    tasks=("piqa", "facts", "boolq"),
    budget=parse_budget("50%"),
    most_bytes=250_000_000,
    dense_bytes=500_000_000,
    finalists=(
        standing(BEST, 0.95, None),
        standing(SMALL, 0.94, Estimate(0.01, -0.01, 0.03)),
        standing(WORSE, 0.5, Estimate(0.45, 0.4, 0.5)),
    ),
    sizes={
        BEST: Sized(BEST, 240_000_000, "compressed-tensors"),
        SMALL: Sized(SMALL, 120_000_000, "compressed-tensors"),
        WORSE: Sized(WORSE, 200_000_000, "dense"),
        LARGE: Sized(LARGE, 300_000_000, "dense"),
        GONE: Sized(GONE, 100_000_000, "dense"),
    },
    left=(EliminatedRecipe(GONE, 0.2, 300),),
    not_counted=(("boolq", "the baseline itself is not significantly better than guessing"),),
    unusable=(("l1_heads:attention:0.5", "no heads"),),
    rounds=((300, 4), (900, 3)),
    runs=("runs/a/round-1", "runs/a/last"),
)


def test_recipes_behind_a_mix_that_is_not_recommended_are_not_called_alike() -> None:
    """They were compared with the mix, which is first on all items, but not for certain on those held out."""
    mix = Mix(BEST, SMALL, HeldOut(40, Estimate(0.9, 0.8, 1), Estimate(0.8, 0.7, 0.9), Estimate(0.1, -0.1, 0.3)))
    advice = replace(ADVICE, mix=mix)
    assert advice.best.recipe == SMALL
    assert advice.alike == ()
    text = advice_text(advice, width=140)
    assert "indistinguishable" not in text.plain
    # The whole recipe of a mix may take ten lines.
    assert "the mix (240.0 MB) retains 90.0%" in " ".join(text.plain.split())
    bold = [text.plain[span.start : span.end] for span in text.spans if span.style == "bold"]
    assert any(each.startswith(SMALL) and "94.0%" in each for each in bold)
    assert not any(each.startswith(BEST) and "95.0%" in each for each in bold)


@pytest.mark.parametrize("width", [80, 140])
def test_the_answer_comes_first_and_is_complete(width: int) -> None:
    text = advice_text(ADVICE, width=width).plain
    lines = text.splitlines()
    assert lines[0] == f"Use {BEST}"
    words = " ".join(text.split())
    assert "It takes 240.0 MB (limit: 250.0 MB), 48% of the 500.0 MB that org/model takes on disk, and" in words
    assert "retains 95.0% [93.0, 96.0] of what it knew, the mean over 2 tasks: 14 of 200 right answers" in words
    assert f"Smaller, and statistically indistinguishable in what it retains: {SMALL} (120.0 MB)." in words
    assert f"Too large, not evaluated: {LARGE} (300.0 MB)." in words
    assert f"Eliminated in earlier rounds, with what they retained there: {GONE} (20.0% on 300 items)." in words
    assert "Not counted: boolq, because the baseline itself is not significantly better than guessing." in words
    assert "Cannot be used: l1_heads:attention:0.5: no heads." in words
    assert "Rounds: 4 recipes, 300 items each; 3 recipes, 900 items each." in words
    assert f"forgetmeter compress org/model '{BEST}' --format compressed-tensors --out DIR" in words
    assert "forgetmeter report runs/a/last" in words
    # Commands to copy are not wrapped.
    assert max(len(line) for line in lines if not line.startswith("create it")) <= width


def test_recipes_clearly_behind_are_not_called_equal() -> None:
    assert [each.recipe for each in ADVICE.alike] == [SMALL]
    alone = replace(ADVICE, finalists=(ADVICE.finalists[0], ADVICE.finalists[2]))
    assert "indistinguishable" not in advice_text(alone, width=100).plain.lower()


def test_the_command_depends_on_the_storage_format() -> None:
    def made(size: Sized, model: str = "org/model") -> str:
        advice = replace(ADVICE, model=model, sizes={**ADVICE.sizes, BEST: size})
        return " ".join(advice_text(advice, width=100).plain.split())

    assert f"'{BEST}' --out DIR" in made(Sized(BEST, 240_000_000, "dense"))
    alone = made(Sized(BEST, 240_000_000, None, "there is no file for it"))
    assert "in Python (there is no file for it)" in alone
    assert f"Size in memory, because forgetmeter compress cannot write it: {BEST}." in alone
    assert "takes dequantized to float32" in made(ADVICE.sizes[BEST], model="./model.gguf")


def test_both_sizes_of_a_gguf_are_given() -> None:
    advice = replace(ADVICE, source=PackedSource("GGUF", 105_000_000, 538_000_000))
    said = " ".join(advice_text(advice, width=100).plain.split())
    assert "org/model takes 105.0 MB as stored (GGUF), and 538.0 MB as float32." in said
    assert json.loads(advice_json(advice))["source"]["bytes"] == 105_000_000


def test_json_is_complete() -> None:
    document = json.loads(advice_json(ADVICE))
    assert (document["recipe"], document["format"]) == (BEST, "compressed-tensors")
    assert document["finalists"][1]["behind"] == {"value": 0.01, "low": -0.01, "high": 0.03}
    assert {each["recipe"]: each["bytes"] for each in document["sizes"]} == {
        name: each.bytes for name, each in ADVICE.sizes.items()
    }
    assert document["budget"] == "0.5"
    assert document["rounds"] == [{"items": 300, "recipes": 4}, {"items": 900, "recipes": 3}]
    assert document["unusable"] == [{"recipe": "l1_heads:attention:0.5", "reason": "no heads"}]


def test_commands_quote_odd_folder_names() -> None:
    name = "./a model; $(touch pasted) 'x'"
    text = advice_text(replace(ADVICE, model=name, runs=(name,)), width=200).plain
    compress, report = (line.partition("forgetmeter ")[2] for line in text.splitlines()[-2:])
    assert shlex.split(compress)[:3] == ["compress", name, BEST]
    assert shlex.split(report) == ["report", name]


def test_a_model_that_fits_as_it_is_comes_first() -> None:
    text = advice_text(replace(ADVICE, most_bytes=ADVICE.dense_bytes), width=100).plain
    assert text.splitlines()[0] == f"The model is already within the size limit. Among the recipes, use {BEST}"


def test_recipes_that_cannot_be_used_for_the_same_reason_share_a_line() -> None:
    advice = replace(ADVICE, unusable=(("x:a", "no heads"), ("x:b", "a tied weight"), ("x:c", "no heads")))
    said = [line for line in advice_text(advice, width=140).plain.splitlines() if line.startswith("Cannot be used")]
    assert said == ["Cannot be used: x:a, x:c: no heads.", "Cannot be used: x:b: a tied weight."]
