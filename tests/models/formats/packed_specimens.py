"""Checkpoints packed by the published layouts, which this package or transformers unpacks; and adapters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from models.formats.specimen import Specimen
from models.unpacking.packed_checkpoints import (
    Packer,
    awq_packer,
    fp8_packer,
    gptq_packer,
    packed_checkpoint,
    wide_llama,
)
from models.unpacking.test_adapter import settings, write_adapter
from safetensors.torch import load_file, save_file
from tiny_models import make_tokenizer
from transformers import (
    GptOssConfig,
    GptOssForCausalLM,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

Method = Mapping[str, Any]
GROUPED = {"bits": 4, "group_size": 32}
GPTQ = {"quant_method": "gptq", **GROUPED}
AWQ = {"quant_method": "awq", **GROUPED, "version": "gemm", "zero_point": True}
FP8 = {"quant_method": "fp8", "weight_block_size": [32, 32]}
# The numbers that 4 bits stand for, in the Open Compute Project's specification.
FLOAT4 = torch.tensor([sign * size for sign in (1, -1) for size in (0, 0.5, 1, 1.5, 2, 3, 4, 6)])
MX_BLOCK = 32


def packed(packer: Callable[[], Packer], method: Method) -> Callable[[Path], LlamaForCausalLM]:
    """Return a writer of a Llama with packed linear layers."""
    return lambda folder: packed_checkpoint(wide_llama(), folder, packer(), method)


def _gptq(bits: int, *, act_order: bool, form: str) -> Specimen:
    order, zeros = ("act-order, " if act_order else ""), {"gptq": "v1", "gptq_v2": "v2"}[form]
    method = {**GPTQ, "bits": bits, "desc_act": act_order, "checkpoint_format": form}
    return Specimen(
        "GPTQ",
        f"{bits} bits, {order}zero points of {zeros}",
        "AutoGPTQ, GPTQModel",
        packed(lambda: gptq_packer(bits, act_order=act_order, zero_offset=int(form == "gptq")), method),
        on_cuda=(bits, act_order, form) == (4, True, "gptq"),
    )


def _auto_round(form: str, packer: Callable[[], Packer]) -> Specimen:
    method = {"quant_method": "auto-round", **GROUPED, "packing_format": form}
    return Specimen("AutoRound", f"`{form}`", "AutoRound", packed(packer, method))


def experts(folder: Path) -> PreTrainedModel:
    """Write a mixture of experts whose down projections are packed one by one, as Qwen's own checkpoints are."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "moe_intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_experts": 4}
    config = Qwen3MoeConfig(**sizes, **heads, num_experts_per_tok=2, vocab_size=288, bos_token_id=0, eos_token_id=1)
    model, packer = Qwen3MoeForCausalLM(config).eval(), fp8_packer((16, 16))
    method = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    packed_checkpoint(model, folder, packer, method, is_packed=lambda _: False)
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("down_proj.weight")]:
        parts, plain = packer((32, 32))
        tensors |= {name.removesuffix("weight") + part: each for part, each in parts.items()}
        layer, expert = int(name.split(".")[2]), int(name.split(".")[5])
        model.model.layers[layer].mlp.experts.down_proj.data[expert] = plain
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return model


def gpt_oss(folder: Path) -> PreTrainedModel:
    """Write gpt-oss with random experts in MXFP4: a 4-bit float times a power of two for each block of 32 inputs."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 16, "vocab_size": 288}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}
    config = GptOssConfig(**sizes, **heads, pad_token_id=None, bos_token_id=0, eos_token_id=1)
    model = GptOssForCausalLM(config).eval()
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    for name in ("gate_up_proj", "down_proj"):
        key = f"model.layers.0.mlp.experts.{name}"
        place = model.get_parameter(key)
        # Stored by output units, and computed with the inputs first.
        count, inputs, outputs = place.shape
        numbers = torch.randint(0, 16, (count, outputs, inputs // MX_BLOCK, MX_BLOCK))
        exponents = torch.randint(118, 124, numbers.shape[:-1])
        place.data = (FLOAT4[numbers] * 2.0 ** (exponents - 127).unsqueeze(-1)).flatten(2).mT.contiguous()
        del tensors[key]
        tensors[f"{key}_blocks"] = (numbers[..., ::2] | numbers[..., 1::2] << 4).to(torch.uint8)
        tensors[f"{key}_scales"] = exponents.to(torch.uint8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stored | {"quantization_config": {"quant_method": "mxfp4"}}))
    return model


def adapter(write_base: Callable[[Path], LlamaForCausalLM]) -> Callable[[Path], PreTrainedModel]:
    """Return a writer of a LoRA adapter, with its base model in a folder beside it."""

    def write(folder: Path) -> PreTrainedModel:
        base = folder.with_name(f"{folder.name}-base")
        model = write_base(base)
        rank, alpha = 4, 6
        ranks = {"q_proj": (rank, alpha / rank), "v_proj": (rank, alpha / rank)}
        write_adapter(folder, model, settings(base), ranks)
        return model

    return write


def plain_base(folder: Path) -> LlamaForCausalLM:
    """Write a Llama in floating-point numbers."""
    model = wide_llama()
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return model


def _fp8(variant: str, packer: Callable[[], Packer], *, on_cuda: bool = False, **method: Any) -> Specimen:
    makers = {"per-block": "DeepSeek, Qwen, transformers", "per-tensor": "Mistral"}.get(variant, "various")
    return Specimen("FP8", variant, makers, packed(packer, {**FP8, **method}), on_cuda=on_cuda)


def _mxfp8() -> Packer:
    return fp8_packer((1, 32), scales_in=torch.uint8)


SPECIMENS: tuple[Specimen, ...] = (
    *(
        _gptq(bits, act_order=act_order, form=form)
        for bits in (2, 3, 4, 8)
        for act_order in (False, True)
        for form in ("gptq", "gptq_v2")
    ),
    Specimen(
        "GPTQ",
        "4 bits, symmetric, one group",
        "AutoGPTQ, GPTQModel",
        packed(lambda: gptq_packer(group_size=-1, symmetric=True), {**GPTQ, "group_size": -1}),
    ),
    Specimen("AWQ", "4 bits, zero points", "AutoAWQ, GPTQModel", packed(awq_packer, AWQ), on_cuda=True),
    Specimen(
        "AWQ",
        "4 bits, symmetric",
        "AutoAWQ, GPTQModel",
        packed(lambda: awq_packer(symmetric=True), {**AWQ, "zero_point": False}),
    ),
    _auto_round("auto_round:auto_gptq", gptq_packer),
    _auto_round("auto_round:gptqmodel", lambda: gptq_packer(zero_offset=0)),
    _auto_round("auto_round:auto_awq", awq_packer),
    _fp8("per-block", lambda: fp8_packer((32, 32)), on_cuda=True),
    _fp8("per-block, block size does not divide the weight", lambda: fp8_packer((20, 24)), weight_block_size=[20, 24]),
    _fp8("per-channel", lambda: fp8_packer(by="channel"), weight_block_size=None),
    _fp8("per-tensor", lambda: fp8_packer(by="tensor"), weight_block_size=None),
    Specimen("FP8", "experts stored as separate tensors", "Qwen", experts),
    Specimen("MXFP8", "", "transformers", packed(_mxfp8, {"quant_method": "mxfp8"})),
    Specimen("MXFP4", "experts", "OpenAI (gpt-oss)", gpt_oss),
    Specimen("LoRA adapter", "on a plain base model", "peft", adapter(plain_base)),
    Specimen("LoRA adapter", "on a GPTQ base model", "peft", adapter(packed(gptq_packer, GPTQ))),
)
