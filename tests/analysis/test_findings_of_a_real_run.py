"""The findings on a run that the tool made itself: each finds its evidence where a run keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from forgetmeter.analysis.findings.all_findings import FINDINGS, find
from forgetmeter.analysis.findings.finding import Finding
from forgetmeter.analysis.frames import open_run
from forgetmeter.study.running import run

RECIPES = [
    *(
        f"l1_unstructured:{scope}:{level}"
        for scope in ("attention", "feed_forward", "overall")
        for level in (0.2, 0.5, 0.8)
    ),
    "l1_unstructured:head:0.5",
    "ln_structured:head:0.5",
    "dynamic_int8:attention",
    "dynamic_int8:feed_forward",
]
SUPPORTED = (
    "overall_hurts_most",
    "rapid_fall_past_half",
    "structured_final_layer_worse",
    "facts_before_perplexity",
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finding]:
    folder = tmp_path_factory.mktemp("real")
    text = folder / "text.txt"
    text.write_text("The capital of France is Paris.\n\nBerlin is the capital of Germany.\n\nMadrid is in Spain.\n")
    study = {
        "models": ["standard:decoder"],
        "recipes": RECIPES,
        "tasks": ["facts:templates=0", f"perplexity:file={text}"],
        "evaluation.limit": 400,
        "output": str(folder / "run"),
    }
    assert run(study).failures == ()
    return {finding.name: finding for finding in find(open_run(str(folder / "run")))}


def test_nothing_is_missing_that_is_there(found: Mapping[str, Finding]) -> None:
    assert {name: finding.missing for name, finding in found.items() if finding.missing} == {}
    assert len(found) == len(FINDINGS)
    for finding in found.values():
        assert "perplexity" not in {task.task.partition(":")[0] for result in finding.results for task in result.tasks}


@pytest.mark.parametrize("name", SUPPORTED)
def test_what_the_standard_supports(found: Mapping[str, Finding], name: str) -> None:
    assert found[name].verdict == "supported"


def test_facts_are_held_against_the_perplexity_of_the_same_run(found: Mapping[str, Finding]) -> None:
    (result,) = found["facts_before_perplexity"].results
    (task,) = result.tasks
    assert task.task == "facts:templates=0"
    # Both scopes' and the whole's curves, and the head's single level.
    assert {recipe.split(":")[1] for recipe in task.recipes} == {"attention", "feed_forward", "overall", "head"}


def test_perplexity_alone_is_no_evidence_of_facts(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Madrid is in Spain.\n")
    study = {
        "models": ["standard:decoder"],
        "recipes": ["l1_unstructured:overall:0.5"],
        "tasks": [f"perplexity:file={tmp_path / 'text.txt'}"],
        "output": str(tmp_path / "run"),
    }
    assert run(study).failures == ()
    findings = find(open_run(study["output"]))  # type: ignore[arg-type]
    assert {finding.verdict for finding in findings} == {"not tested"}
