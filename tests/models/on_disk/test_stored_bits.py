"""Bits per weight by role, against counts by hand from the definitions of the formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType
from models.formats import compressed_tensors_specimens, gguf_specimens
from models.formats.packed_specimens import AWQ, FP8, GPTQ, experts, gpt_oss, packed
from models.formats.specimen import checkpoint_in
from models.unpacking.packed_checkpoints import awq_packer, fp8_packer, gptq_packer, packed_checkpoint, wide_llama
from tiny_models import make_tokenizer
from written_ggufs import byte_level_tokens, write_llama_gguf

from forgetmeter.models.checkpoint import open_checkpoint

# wide_llama's matrices: (inputs, outputs) of a block.
ATTENTION = ((64, 64), (64, 32), (64, 32), (64, 64))
FEED_FORWARD = ((64, 96), (64, 96), (96, 64))
PLAIN = 32.0
KERNEL = {"num_bits": 8, "strategy": "channel"}


def gptq(inputs: int, outputs: int) -> int:
    """4 bits each; a scale of 16 and a zero point of 4 for 32 of them; the group of each input in 32 bits."""
    groups = inputs // 32
    return 4 * inputs * outputs + (16 + 4) * groups * outputs + 32 * inputs


def awq(inputs: int, outputs: int) -> int:
    return 4 * inputs * outputs + (16 + 4) * (inputs // 32) * outputs


def fp8(inputs: int, outputs: int) -> int:
    """8 bits each, and 32 for the scale of a block of 32 by 32."""
    return 8 * inputs * outputs + 32 * (inputs // 32) * (outputs // 32)


def int8(inputs: int, outputs: int) -> int:
    """8 bits each, and 32 for the scale of an output."""
    return 8 * inputs * outputs + 32 * outputs


def expected(bits: Callable[[int, int], int], shapes: tuple[tuple[int, int], ...]) -> float:
    return sum(bits(*shape) for shape in shapes) / sum(inputs * outputs for inputs, outputs in shapes)


def found(path: Path) -> dict[str, float]:
    source = open_checkpoint(path).packed
    assert source is not None
    return dict(source.bits)


@pytest.mark.parametrize(
    ("write", "bits"),
    [
        (packed(gptq_packer, GPTQ), gptq),
        (packed(awq_packer, AWQ), awq),
        (packed(lambda: fp8_packer((32, 32)), FP8), fp8),
        (compressed_tensors_specimens.writer("int-quantized", KERNEL), int8),
    ],
)
def test_scales_and_zero_points_count_to_their_weight(
    write: Callable[[Path], Any], bits: Callable[[int, int], int], tmp_path: Path
) -> None:
    if bits is int8:
        pytest.importorskip("compressed_tensors")
    write(tmp_path)
    assert found(tmp_path) == pytest.approx(
        {
            "attention": expected(bits, ATTENTION),
            "feed_forward": expected(bits, FEED_FORWARD),
            "embedding": PLAIN,
            "head": PLAIN,
            "other": PLAIN,
        }
    )


def test_a_tied_head_is_the_embedding(tmp_path: Path) -> None:
    packed_checkpoint(wide_llama(tied=True), tmp_path, gptq_packer(), GPTQ)
    assert set(found(tmp_path)) == {"attention", "feed_forward", "embedding", "other"}


def test_experts_one_by_one_and_merged(tmp_path: Path) -> None:
    experts(tmp_path / "one")
    # Two of three projections are plain; blocks of 16 by 16 have a scale of 32 bits.
    assert found(tmp_path / "one")["feed_forward"] == pytest.approx((2 * PLAIN + 8 + 32 / 256) / 3)
    gpt_oss(tmp_path / "merged")
    # 4 bits, and 8 for the scale of 32; the biases of experts are other weights.
    assert found(tmp_path / "merged")["feed_forward"] == pytest.approx(4 + 8 / 32)


def test_types_of_a_gguf(tmp_path: Path) -> None:
    kind = GGMLQuantizationType.Q4_K
    gguf_specimens.writer(gguf_specimens.of_random_blocks, kind.name)(tmp_path)
    # 256 weights of 4 bits, 8 scales and minima of 6 bits, and one of each of 16 bits.
    q4_k = (256 * 4 + 16 * 6 + 2 * 16) / 256
    roles = dict.fromkeys(("attention", "feed_forward", "embedding", "head"), q4_k)
    assert found(checkpoint_in(tmp_path)) == pytest.approx({**roles, "other": PLAIN})


def test_a_gguf_of_several_types(tmp_path: Path) -> None:
    """As llama.cpp writes them: another type for embedding and head."""
    rows = len(byte_level_tokens()) + 1
    assert rows > len(make_tokenizer())

    def stored(values: Any) -> Any:
        name = "Q8_0" if len(values) == rows else "Q4_0"
        return gguf_specimens.by_gguf(GGMLQuantizationType[name])(values)

    write_llama_gguf(tmp_path / "model.gguf", width=64, stored_as=stored)
    assert found(tmp_path / "model.gguf") == {
        "attention": 4 + 16 / 32,
        "feed_forward": 4 + 16 / 32,
        "embedding": 8 + 16 / 32,
        "head": 8 + 16 / 32,
        "other": PLAIN,
    }
