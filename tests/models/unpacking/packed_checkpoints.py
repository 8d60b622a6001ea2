"""Tiny checkpoints, packed by the published definitions of the formats; nothing here calls the package's readers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tiny_models import make_tokenizer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from forgetmeter.models.loading import load

Parts = Mapping[str, Tensor]
Packer = Callable[[tuple[int, int]], tuple[Parts, Tensor]]
"""Makes the parts of a random quantized weight of a shape, ``(output units, input units)``, and the plain weight."""


def wide_llama(*, tied: bool = False) -> LlamaForCausalLM:
    """Make a random Llama whose layers have multiples of 32 inputs and outputs, as 3 bits need."""
    torch.manual_seed(0)
    vocabulary = -(-len(make_tokenizer()) // 32) * 32
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


def packed_checkpoint(
    model: PreTrainedModel,
    folder: Path,
    packer: Packer,
    method: Mapping[str, Any],
    *,
    is_packed: Callable[[str], bool] = lambda name: name != "lm_head",
    inputs_first: bool = False,
) -> PreTrainedModel:
    """Write a model with random quantized linear layers, and give the model itself the same weights in floating point.

    Args:
        packer: Makes the stored parts and the plain weight of a layer.
        method: The ``quantization_config``.
        is_packed: Whether to quantize a layer, by its name.
        inputs_first: Whether a ``Conv1D``, which computes with its inputs first, is also packed that way.
    """
    stored: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and is_packed(name):
            is_transposed = isinstance(module, Conv1D) and not inputs_first
            rows, columns = module.weight.shape[:: -1 if is_transposed else 1]
            parts, plain = packer((rows, columns))
            stored |= {f"{name}.{part}": tensor.clone().contiguous() for part, tensor in parts.items()}
            module.weight.data = (plain.T if is_transposed else plain).contiguous()
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    packed = {name.rpartition(".")[0] for name in stored}
    # Files of base models lack the prefix of the model with its head, and this one has it everywhere.
    plain_ones = {name: each for name, each in tensors.items() if name.removesuffix(".weight") not in packed}
    save_file(plain_ones | stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": dict(method)}))
    return model


def assert_same(folder: Path | str, expected: PreTrainedModel) -> None:
    """Check that a checkpoint is read as exactly these weights, and gives these logits."""
    found = load(folder).model
    assert type(found) is type(expected)
    state = found.state_dict()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(state[name], tensor.float()), name
    tokens = torch.randint(2, 250, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(found(tokens).logits, expected.float()(tokens).logits, rtol=0, atol=1e-5)


def changed(checkpoint: Path, folder: Path, change: Callable[[dict[str, Tensor]], Any], **settings: Any) -> Path:
    """Copy a checkpoint with changed tensors and settings of its quantization."""
    folder.mkdir()
    for file in checkpoint.glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    tensors = load_file(checkpoint / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] |= settings
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def words(integers: Tensor, bits: int) -> Tensor:
    """Pack the rows of a matrix: the first integer of a column is the lowest bits of its first word.

    Of 3 bits, three words hold 32 integers: ten and the low 2 bits of the eleventh; its high bit, ten more, and the low
    bit of the next; its 2 high bits, and the last ten.
    """
    columns = []
    for column in integers.T.tolist():
        found = []
        if bits == 3:
            for start in range(0, len(column), 32):
                q = column[start : start + 32]
                found += [
                    sum(q[i] << 3 * i for i in range(10)) | (q[10] & 3) << 30,
                    q[10] >> 2 | sum(q[11 + i] << 3 * i + 1 for i in range(10)) | (q[21] & 1) << 31,
                    q[21] >> 1 | sum(q[22 + i] << 3 * i + 2 for i in range(10)),
                ]
        else:
            per_word = 32 // bits
            for start in range(0, len(column), per_word):
                found.append(sum(q << bits * i for i, q in enumerate(column[start : start + per_word])))
        columns.append([word - (1 << 32) if word >> 31 else word for word in found])
    return torch.tensor(columns, dtype=torch.int32).T.contiguous()


def gptq_packer(
    bits: int = 4,
    *,
    group_size: int = 32,
    zero_offset: int = 1,
    act_order: bool = False,
    symmetric: bool = False,
    with_g_idx: bool = True,
    is_borrowed: bool = False,
    scales_in: torch.dtype = torch.float16,
) -> Packer:
    """Return a packer of AutoGPTQ's layout; ``zero_offset`` is subtracted from the zero points in ``qzeros``.

    If it ``is_borrowed``, zero points may be 0, and it is subtracted from all of a word at once, as GPTQModel does.
    """
    random = torch.Generator().manual_seed(bits)

    def pack(shape: tuple[int, int]) -> tuple[Parts, Tensor]:
        outputs, inputs = shape
        size = inputs if group_size == -1 else group_size
        groups = -(-inputs // size)
        integers = torch.randint(0, 1 << bits, (inputs, outputs), generator=random)
        zeros = torch.randint(0 if is_borrowed else 1, 1 << bits, (groups, outputs), generator=random)
        if symmetric:
            zeros = torch.full_like(zeros, 1 << (bits - 1))
        scales = (torch.rand(groups, outputs, generator=random) / (1 << bits) / 2 + 1e-3).to(scales_in)
        g_idx = torch.arange(inputs) // size
        if act_order:
            g_idx = g_idx[torch.randperm(inputs, generator=random)]
        plain = torch.empty(outputs, inputs, dtype=torch.float64)
        for i in range(inputs):
            group = int(g_idx[i])
            plain[:, i] = (integers[i] - zeros[group]) * scales[group].double()
        if is_borrowed:
            ones = sum(zero_offset << shift for shift in range(0, 32, bits))
            borrowed = (words(zeros.T, bits).long() - ones) % (1 << 32)
            qzeros = (borrowed - (borrowed >> 31 << 32)).to(torch.int32)
        else:
            qzeros = words((zeros - zero_offset).T, bits)
        parts = {
            "qweight": words(integers, bits),
            "qzeros": qzeros.T,
            "scales": scales,
            "g_idx": g_idx.to(torch.int32),
        }
        return {part: each for part, each in parts.items() if part != "g_idx" or with_g_idx}, plain.float()

    return pack


def awq_packer(*, group_size: int = 32, symmetric: bool = False) -> Packer:
    """Return a packer of AutoAWQ's layout ``gemm``: eight output units per word, interleaved; zero points unchanged."""
    random = torch.Generator().manual_seed(0)
    order = (0, 2, 4, 6, 1, 3, 5, 7)

    def packed(integers: Tensor) -> Tensor:
        rows = []
        for row in integers.tolist():
            found = [sum(row[start + order[i]] << 4 * i for i in range(8)) for start in range(0, len(row), 8)]
            rows.append([word - (1 << 32) if word >> 31 else word for word in found])
        return torch.tensor(rows, dtype=torch.int32)

    def pack(shape: tuple[int, int]) -> tuple[Parts, Tensor]:
        outputs, inputs = shape
        size = inputs if group_size == -1 else group_size
        integers = torch.randint(0, 16, (inputs, outputs), generator=random)
        zeros = torch.randint(0, 16, (inputs // size, outputs), generator=random)
        if symmetric:
            zeros = torch.full_like(zeros, 8)
        scales = (torch.rand(inputs // size, outputs, generator=random) / 32 + 1e-3).half()
        plain = torch.empty(outputs, inputs, dtype=torch.float64)
        for i in range(inputs):
            plain[:, i] = (integers[i] - zeros[i // size]) * scales[i // size].double()
        return {"qweight": packed(integers), "qzeros": packed(zeros), "scales": scales}, plain.float()

    return pack


def fp8_packer(
    blocks: tuple[int, int] | None = None,
    *,
    by: str = "block",
    scale: str = "weight_scale_inv",
    dtype: torch.dtype = torch.float8_e4m3fn,
    scales_in: torch.dtype = torch.float32,
    more: Parts | None = None,
) -> Packer:
    """Return a packer of 8-bit floats; a scale belongs to each of ``blocks``, or is ``by`` a channel or the tensor.

    Scales of channels are a column, or a vector if they are ``by`` a flat channel.
    """
    random = torch.Generator().manual_seed(0)

    def pack(shape: tuple[int, int]) -> tuple[Parts, Tensor]:
        rows, columns = shape
        height, width = blocks or (shape if by == "tensor" else (1, columns))
        grid = (-(-rows // height), -(-columns // width))
        exponents = torch.randint(118, 124, grid, generator=random)
        if scales_in is torch.uint8:
            stored, scales = exponents.to(torch.uint8), 2.0 ** (exponents - 127)
        elif scales_in is torch.float8_e8m0fnu:
            stored, scales = (2.0 ** (exponents - 127)).to(scales_in), 2.0 ** (exponents - 127)
        else:
            stored = (torch.rand(grid, generator=random) / 50 + 1e-3).to(scales_in)
            scales = stored.double()
        weight = torch.randn(shape, generator=random).to(dtype)
        plain = torch.empty(shape, dtype=torch.float64)
        for row in range(rows):
            for column in range(columns):
                plain[row, column] = float(weight[row, column]) * float(scales[row // height, column // width])
        if by == "tensor":
            stored = stored.reshape(())
        if by == "flat":
            stored = stored.flatten()
        return {"weight": weight, scale: stored, **(more or {})}, plain.float()

    return pack
