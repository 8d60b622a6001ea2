"""What a study may leave out of its run."""

from __future__ import annotations

from typing import Any

import pytest

from forgetmeter.runs.layout import failure_path, items_path, noise_path, outcomes_path, variant_path
from forgetmeter.runs.leaving_out import obsolete_files, without_failed

LONG = "perplexity:file=" + "x" * 300
IDENTITY = {"models": ["a"], "recipes": ["baseline", "int8", "svd"], "tasks": ["bear", LONG], "evaluation": {}}


def study(identity: dict[str, Any]) -> dict[str, Any]:
    variants = [{"id": f"id-{recipe}", "model": "a", "recipe": recipe} for recipe in identity["recipes"]]
    return {"identity": identity, "variants": variants}


@pytest.mark.parametrize(
    ("files", "recipes", "tasks"),
    [
        ([], ["baseline", "int8", "svd"], ["bear", LONG]),
        ([failure_path("id-svd", "bear")], ["baseline", "int8"], ["bear", LONG]),
        ([failure_path("id-svd", LONG)], ["baseline", "int8"], ["bear"]),
        ([failure_path("id-svd", LONG), outcomes_path("id-svd", "bear")], ["baseline", "int8", "svd"], ["bear"]),
        ([failure_path("id-svd", "bear"), outcomes_path("id-svd", LONG)], ["baseline", "int8", "svd"], ["bear", LONG]),
        ([outcomes_path("id-svd", LONG)], ["baseline", "int8", "svd"], ["bear", LONG]),
        ([failure_path("other", "bear")], ["baseline", "int8", "svd"], ["bear", LONG]),
    ],
)
def test_only_what_failed_and_has_no_answers_may_go(files: list[str], recipes: list[str], tasks: list[str]) -> None:
    asked = {**IDENTITY, "recipes": ["baseline", "int8"], "tasks": ["bear"]}
    assert without_failed(study(IDENTITY), asked, files) == {**IDENTITY, "recipes": recipes, "tasks": tasks}


def test_what_is_asked_for_stays_though_it_failed() -> None:
    failed = [failure_path("id-svd", "bear"), failure_path("id-int8", "bear")]
    asked = {**IDENTITY, "recipes": ["baseline", "svd"]}
    assert without_failed(study(IDENTITY), asked, failed)["recipes"] == ["baseline", "svd"]


def test_files_of_what_is_left_out_are_obsolete() -> None:
    asked = {**IDENTITY, "recipes": ["baseline", "int8"], "tasks": ["bear"]}
    gone = [variant_path("id-svd"), failure_path("id-svd", "bear"), failure_path("id-int8", LONG), items_path(LONG)]
    kept = ["study.json", items_path("bear"), variant_path("id-int8"), failure_path("id-int8", "bear")]
    kept += [outcomes_path("id-int8", "bear"), noise_path("id-baseline", "bear")]
    assert obsolete_files(study(IDENTITY), study(asked), kept + gone) == gone
