"""What is said before a variant that takes much longer than the others."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_models import make_tokenizer
from transformers import MixtralConfig, MixtralForCausalLM

from forgetmeter.executors.executor import Progress
from forgetmeter.study.running import run


class Stages(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def stage(self, text: str) -> None:
        self.said.append(text)


def test_texts_that_quantized_experts_read_one_by_one_are_announced(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    config = MixtralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=2,
    )
    MixtralForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    questions = tmp_path / "q.jsonl"
    questions.write_text(json.dumps({"id": "1", "prompt": "A", "choices": ["b", "c"], "answer": "b"}))
    stages = Stages()
    study = {
        "models": [str(tmp_path / "model")],
        "tasks": [f"file:{questions}"],
        "recipes": ["baseline", "dynamic_int8:attention", "dynamic_int8:overall"],
        "output": str(tmp_path / "run"),
    }
    run(study, progress=stages)
    alone = [place for place, said in enumerate(stages.said) if said.startswith("reading each text alone, ")]
    assert len(alone) == 1
    assert stages.said.index("compressing dynamic_int8:overall") == alone[0] - 1
