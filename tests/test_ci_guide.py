"""The action and the workflow of docs/guides/ci.md: their commands run, and decide."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

import forgetmeter

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "ci.md").read_text("utf-8")
POLICY = "version: 1\nconditions: [{drop: {max: 2pt}}, {size: {max: 70%}}]\n"


def block(name: str):
    found = re.search(rf'^```yaml title="{name}"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


ACTION, WORKFLOW = block("action.yml"), block("gate-workflow.yml")
STEPS = WORKFLOW["jobs"]["gate"]["steps"]


def run_action(folder: Path, inputs: dict[str, str]) -> list[subprocess.CompletedProcess[str]]:
    """Run the steps of the action as GitHub does: each in bash, with its environment; the first that fails is last."""
    summary = folder / "summary.md"
    done = []
    for step in ACTION["runs"]["steps"]:
        env = {
            name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: inputs[match[1]], text)
            for name, text in step["env"].items()
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done.append(
            subprocess.run(
                ["bash", "-eo", "pipefail", "-c", step["run"]],
                check=False,
                cwd=folder,
                env={**os.environ, **env, "PATH": path, "GITHUB_STEP_SUMMARY": str(summary)},
                capture_output=True,
                text=True,
                timeout=280,
            )
        )
        if done[-1].returncode:
            break
    return done


@pytest.mark.parametrize(
    ("recipe", "code", "heading"),
    [("round_to_nearest:overall:6", 0, "## PASS: ship it"), ("l1_unstructured:overall:0.6", 10, "## FAIL: do not")],
)
def test_the_action_decides(tmp_path, recipe, code, heading) -> None:
    how = "compressed-tensors" if recipe.startswith("round") else "dense"
    forgetmeter.compress_checkpoint("standard:decoder", recipe, tmp_path / "candidate", format=how)
    (tmp_path / "gate.yaml").write_text(POLICY)
    inputs = {"original": "standard:decoder", "candidate": "./candidate", "tasks": "facts:templates=0"}
    done = run_action(tmp_path, {**inputs, "policy": ACTION["inputs"]["policy"]["default"]})
    assert [each.returncode for each in done] == [0, code], done[-1].stderr
    assert (tmp_path / "summary.md").read_text("utf-8").startswith(heading)
    assert (tmp_path / "gate.xml").exists()
    (keep,) = (step["run"] for step in STEPS if step.get("name", "").startswith("Keep"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-ec", keep], check=True, cwd=tmp_path, env={**os.environ, "PATH": path}, timeout=280)
    kept = [tmp_path / name for name in STEPS[-1]["with"]["path"].splitlines()]
    assert all(file.is_file() and not re.search(r'[":<>|*?]', file.name) for file in kept)
    with tarfile.open(kept[0]) as archive:
        assert "gate-run/report.html" in archive.getnames()


def test_the_workflow_uses_the_action_with_its_inputs() -> None:
    step = next(step for step in STEPS if step["name" if "name" in step else "uses"] == "Gate")
    required = {name for name, about in ACTION["inputs"].items() if about.get("required")}
    assert required <= set(step["with"]) <= set(ACTION["inputs"])
    assert step["uses"].endswith("forgetmeter-gate")
