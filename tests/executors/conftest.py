"""A study of several variants, a candidate and all kinds of tasks."""

from __future__ import annotations

import json
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make_llama, make_tokenizer

RECIPES = ["l1_unstructured:overall:0.5", "round_to_nearest:head:4", "l1_unstructured:head:0.5"]


@pytest.fixture(autouse=True)
def _quick_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes from one that has imported the libraries, except where a test is about new ones."""
    if "in_new_processes" not in request.node.name:
        context = get_context("forkserver")
        context.set_forkserver_preload(["forgetmeter.executors.workers"])
        monkeypatch.setattr("forgetmeter.executors.workers.START", context)


@pytest.fixture
def study(llama_folder: Path, tmp_path: Path) -> dict[str, Any]:
    other = tmp_path / "other"
    make_llama(seed=1).save_pretrained(other)
    make_tokenizer().save_pretrained(other)
    questions = tmp_path / "questions.jsonl"
    rows = ({"prompt": f"{n} is", "choices": ["even", "odd"], "answer": ("even", "odd")[n % 2]} for n in range(400))
    questions.write_text("\n".join(map(json.dumps, rows)))
    return {
        "models": [str(llama_folder)],
        "candidates": [str(other)],
        "recipes": RECIPES,
        "tasks": ["facts:templates=0", f"file:{questions}", "divergence"],
        "evaluation.limit": 3,
        "evaluation.noise_floor": True,
        "output": str(tmp_path / "run"),
    }
