"""The page about architectures says what is true."""

from __future__ import annotations

import re

import pytest
from models.wrappers import WRAPPERS
from scoring.batch_invariance.configurations import CONFIGURATIONS, SKIPPED
from transformers.models.auto import modeling_auto

from describe_architectures import PAGE, all_names, configurations, models, not_tried, row

USUALLY_RUN = (
    "deepseek_v3 as decoder",
    "gpt_oss as decoder",
    "jamba as decoder",
    "llama as decoder",
    "mllama",
    "modernbert as encoder",
    "qwen2_vl",
    "qwen3_next as decoder",
    "t5 as encoder-decoder",
    "xlnet as decoder",
)
"""Those tested by default; `make architectures` tests all."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in USUALLY_RUN else pytest.mark.architectures) for name in all_names()],
)
def test_each_row_is_true(name: str) -> None:
    ((short, family, model),) = models([name])
    line = f"| {' | '.join(row(short, family, model).cells())} |"
    assert line in PAGE.read_text(encoding="utf-8").splitlines()


def test_nearly_all_have_roles() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) == len(list(all_names())) >= 200
    complete = sum(roles.startswith("all") for _, _, roles, *_ in rows)
    assert complete >= 195
    assert re.search(rf"Of {len(rows)} rows, {complete} have a role", PAGE.read_text(encoding="utf-8"))
    assert not any("Error)" in line for each in rows for line in each)


def test_every_architecture_has_a_row_or_a_reason() -> None:
    known = {
        *modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    }
    rows = {*WRAPPERS, *(each.model_type for each in CONFIGURATIONS.values())}
    assert known - rows == SKIPPED.keys() - rows
    assert "\n".join(not_tried(rows)) in PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(.*?)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) == rows


def test_an_architecture_with_one_row_is_named_without_its_family() -> None:
    asked = ("dbrx", "dbrx as decoder", "mllama", "gpt2 with 64 positions")
    assert list(configurations(asked)) == ["dbrx as decoder", "dbrx as decoder", "mllama", "gpt2 with 64 positions"]
    for name, says in {
        "bart": "'bart' is ambiguous; choose one of: bart as decoder, bart as encoder, bart as encoder-decoder",
        "dbrxx": "'dbrxx' is unknown; choose one of: dbrx",
        "qqqqqqqq": "'qqqqqqqq' is unknown",
    }.items():
        with pytest.raises(SystemExit, match=f"^{re.escape(says)}"):
            list(configurations([name]))
