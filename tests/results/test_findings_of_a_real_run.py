"""Every finding on a run made by the tool itself.

Covers ``results.findings.all_findings`` and ``results.findings.evidence``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest

import forgetmeter
from forgetmeter.results.findings.all_findings import FINDINGS
from forgetmeter.results.findings.finding import Finding
from forgetmeter.results.results import open_run

PARTS = ("attention", "feed_forward", "overall")
RECIPES = [
    *(f"l1_unstructured:{scope}:{level}" for scope, level in product(PARTS, (0.2, 0.5, 0.8))),
    *(f"dynamic_int8:{scope}" for scope in PARTS),
    "l1_unstructured:head:0.5",
    "ln_structured:head:0.5:n=1",
    "round_to_nearest:overall:4",
]
TEXT = "The capital of France is Paris.\n\nBread is made of flour.\n\nThe river flows into the sea.\n"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finding]:
    folder = tmp_path_factory.mktemp("real")
    (folder / "text.txt").write_text(TEXT)
    study = {
        "models": ["standard:decoder"],
        "recipes": RECIPES,
        # A relation's majority answer cannot compete with a model that knows nearly all facts.
        "tasks": ["facts:templates=0", f"perplexity:file={folder / 'text.txt'}"],
        "evaluation.limit": 40,
        "output": str(folder / "run"),
    }
    assert forgetmeter.run(study).failures == ()
    return {finding.name: finding for finding in open_run(str(folder / "run")).tested_claims}


def test_none_reports_missing_data_that_the_run_has(found: Mapping[str, Finding]) -> None:
    assert len(found) == len(FINDINGS)
    assert {name: finding.missing for name, finding in found.items() if finding.verdict == "not tested"} == {}


def test_each_has_an_effect_on_the_task_and_names_recipes_of_the_run(found: Mapping[str, Finding]) -> None:
    for finding in found.values():
        (result,) = finding.results
        tested = [task for task in result.tasks if task.effect is not None]
        assert [task.task for task in tested] == ["facts:templates=0"], finding.name
        assert set(tested[0].recipes) <= set(RECIPES)
        assert tested[0].recipes


def test_known_findings_of_a_standard(found: Mapping[str, Finding]) -> None:
    """A standard's facts are in its layers, in attention as much as in feed-forward (docs/results/standards.md)."""
    assert found["overall_hurts_most"].verdict == "supported"
    assert found["structured_final_layer_worse"].verdict == "supported"


def test_without_the_text_only_perplexity_is_missing(tmp_path: Path) -> None:
    study = {
        "models": ["standard:decoder"],
        "recipes": ["l1_unstructured:overall:0.5"],
        "tasks": ["facts:templates=0"],
        "evaluation.limit": 5,
        "output": str(tmp_path / "run"),
    }
    forgetmeter.run(study)
    findings = {finding.name: finding for finding in open_run(study["output"]).tested_claims}
    assert findings["facts_before_perplexity"].missing == "needs a task with perplexity in the same run"
