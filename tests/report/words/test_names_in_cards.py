"""Names in published documents.

Covers ``report.words.public_names``.
"""

from __future__ import annotations

import pytest

from forgetmeter.report.words.public_names import public_model, public_task, short_name


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("piqa", "piqa"),
        ("lama/trex", "lama/trex"),
        ("divergence:file=/home/ann/secret/text.txt", "divergence:file=text.txt"),
        ("perplexity:file=../a/b.jsonl:window=64", "perplexity:file=b.jsonl:window=64"),
        ("file:/home/ann/facts.jsonl", "file:facts.jsonl"),
        ("file:facts.jsonl", "file:facts.jsonl"),
    ],
)
def test_a_task_keeps_the_last_part_of_a_path(name, public) -> None:
    assert public_task(name) == public


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("org/base@main", "org/base@main"),
        ("standard:decoder", "standard:decoder"),
        ("/home/ann/models/base-4bit/", "./base-4bit"),
        ("../base.gguf", "./base.gguf"),
        ("answers:/home/ann/int4", "./int4"),
        ("answers:int4", "int4"),
        ("answers:C:\\Users\\ann\\int4", "./int4"),
        ("engine:llama_cpp,model=/home/ann/int4.gguf,n_ctx=512", "engine:llama_cpp,model=./int4.gguf,n_ctx=512"),
        ("engine:lm_eval/hf,pretrained=org/base", "engine:lm_eval/hf,pretrained=org/base"),
    ],
)
def test_a_model_keeps_the_last_part_of_a_path(name, public) -> None:
    assert public_model(name) == public


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("org/base", "base"),
        ("/home/ann smith/models/base 4bit/", "base 4bit"),
        ("C:\\Users\\ann\\int4", "int4"),
        ("models/int4/v2", "v2"),
        ("four bits", "four bits"),
        ("base (Q4_K_M / imatrix)", "base (Q4_K_M - imatrix)"),
        ("..", "model"),
        ("/", "model"),
    ],
)
def test_a_short_name_is_no_path(name, short) -> None:
    assert short_name(name) == short
