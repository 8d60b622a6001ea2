"""GGUF files of each type that the gguf package decodes: quantized by it where it can, of random blocks otherwise."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize, quantize
from models.formats.specimen import GGUF_FILE, Specimen
from numpy.typing import NDArray
from transformers import PreTrainedModel
from written_ggufs import Quantizer, write_llama_gguf

from forgetmeter.models.loading import load

# So that rows of all matrices consist of whole blocks of 256.
WIDTH = 512
QUANTIZED = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4", "TQ2_0", "TQ1_0")
"""Types that gguf can write."""
OF_BLOCKS = (
    *("Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "NVFP4", "IQ4_XS", "IQ4_NL", "IQ3_S", "IQ3_XXS"),
    *("IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"),
)
"""Types that it can only decode."""
NOT_DECODED = ("Q1_0",)
SMALLEST, LARGEST = 0.01, 1.0


def by_gguf(kind: GGMLQuantizationType) -> Quantizer:
    """Return gguf's own quantization to a type."""
    return lambda values: (quantize(values, kind), kind)


def of_random_blocks(kind: GGMLQuantizationType) -> Quantizer:
    """Return matrices of random blocks of a type whose numbers are neither infinite nor all tiny."""
    random = np.random.default_rng(zlib.crc32(kind.name.encode()))
    size, width = GGML_QUANT_SIZES[kind]
    blocks = np.empty((0, width), np.uint8)
    while len(blocks) < size:
        drawn = random.integers(0, 256, (20_000, width), dtype=np.uint8)
        with np.errstate(all="ignore"):
            largest = np.abs(dequantize(drawn, kind)).max(axis=1)
        blocks = np.concatenate([blocks, drawn[(largest > SMALLEST) & (largest < LARGEST)]])

    def stored(values: NDArray[np.float32]) -> tuple[NDArray[np.generic], GGMLQuantizationType]:
        rows, columns = values.shape
        return blocks[random.integers(0, len(blocks), (rows, columns // size))].reshape(rows, -1), kind

    return stored


def writer(make: Callable[[GGMLQuantizationType], Quantizer], kind: str) -> Callable[[Path], PreTrainedModel]:
    """Return a writer of a Llama whose matrices are of a type; its plain weights are those that gguf decodes."""

    def write(folder: Path) -> PreTrainedModel:
        folder.mkdir(exist_ok=True)
        quantizer, stored = make(GGMLQuantizationType[kind]), []

        def remembered(values: NDArray[np.float32]) -> tuple[NDArray[np.generic], GGMLQuantizationType]:
            stored.append(quantizer(values))
            return stored[-1]

        write_llama_gguf(folder / GGUF_FILE, width=WIDTH, stored_as=remembered)
        decoded = iter([dequantize(array, each) for array, each in stored])
        write_llama_gguf(
            folder / "plain.gguf", width=WIDTH, stored_as=lambda _: (next(decoded), GGMLQuantizationType.F32)
        )
        return load(folder / "plain.gguf").model

    return write


def unreadable(folder: Path) -> None:
    """Write a file of a type that gguf lists but does not decode."""
    folder.mkdir(exist_ok=True)
    kind = GGMLQuantizationType[NOT_DECODED[0]]
    size, width = GGML_QUANT_SIZES[kind]
    write_llama_gguf(
        folder / GGUF_FILE,
        width=WIDTH,
        stored_as=lambda values: (np.zeros((len(values), values.shape[1] // size * width), np.uint8), kind),
    )


SPECIMENS: tuple[Specimen, ...] = (
    *(Specimen("GGUF", kind, "llama.cpp, gguf", writer(by_gguf, kind)) for kind in QUANTIZED),
    *(Specimen("GGUF", kind, "llama.cpp", writer(of_random_blocks, kind)) for kind in OF_BLOCKS),
)
