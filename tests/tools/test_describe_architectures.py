"""The page about architectures says what is true."""

from __future__ import annotations

import re

import pytest

from describe_architectures import PAGE, all_names, models, row

USUALLY_RUN = (
    "deepseek_v3 as decoder",
    "gpt_oss as decoder",
    "jamba as decoder",
    "llama as decoder",
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
