"""Questions for engines."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def questions(tmp_path: Path) -> str:
    lines = [
        '{"prompt": "The capital of France is", "choices": ["Paris", "Rome", "Oslo"], "answer": 0}',
        '{"prompt": "The chemical symbol of gold is", "choices": ["Fe", "Au"], "answer": 1}',
        '{"prompt": "Berlin is the capital of", "choices": ["Norway", "Germany"], "answer": 1}',
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    return f"file:{tmp_path / 'questions.jsonl'}"
