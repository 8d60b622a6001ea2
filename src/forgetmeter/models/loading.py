"""Loading a model, wherever it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from forgetmeter.errors import UserError
from forgetmeter.models.gguf_conversion import converted
from forgetmeter.models.loaded import Family, Loaded
from forgetmeter.models.location import Location, locate
from forgetmeter.models.weight_map import weight_map
from forgetmeter.specs.model_reference import parse_model_reference

DType = Literal["float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


def load(reference: str | Location, *, dtype: DType = "float32", device: Device = "auto") -> Loaded:
    """Load a model and its tokenizer.

    Args:
        reference: ``org/name[@revision]`` on the Hub, ``./folder``, ``./file.gguf`` or ``package:MODULE``;
            or where such a one was found.
        dtype: The dtype to compute in.
        device: Where to compute; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: The model is not there, is damaged, or is of no supported architecture.
    """
    location = locate(parse_model_reference(reference)) if isinstance(reference, str) else reference
    folder = folder_of(location)
    name = str(location.reference)
    check_supported(skeleton(folder), name)
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"model '{name}' cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"model '{name}': the checkpoint lacks {len(missing)} weights, such as {missing[0]}; "
            "they would be random, and so would be its answers"
        )
    return wrap(model.to(resolve_device(device)), tokenizer, name=name)


def wrap(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str = "wrapped") -> Loaded:
    """Take a model that is in memory already.

    Raises:
        UserError: It is of no supported architecture.
    """
    return Loaded(model.eval(), tokenizer, check_supported(model, name), name)


def folder_of(location: Location) -> Path:
    """Return a folder that ``from_pretrained`` reads; a GGUF file is converted first."""
    return location.path if location.path.is_dir() else converted(location)


def skeleton(folder: Path) -> PreTrainedModel:
    """Return the model of a folder without its weights (on the ``meta`` device), to look at its shape.

    Raises:
        UserError: The configuration names no architecture that transformers has.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        cause = str(error).strip().splitlines()[0]
        raise UserError(f"model '{folder}': its config.json cannot be used ({cause})") from error
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UserError(f"model '{folder}' is of type '{config.model_type}', which is no decoder language model")
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def check_supported(model: PreTrainedModel, name: str) -> Family:
    """Return the model's family.

    Raises:
        UserError: No weight matrix of it has a known role.
    """
    components = {matrix.role.component for matrix in weight_map(model)}
    if not {"attention", "feed_forward", "head"} <= components:
        raise UserError(
            f"model '{name}' ({type(model).__name__}) has weight matrices whose role is not known; "
            "this version knows decoders built like Llama (Llama, Mistral, Qwen2, SmolLM2 ...)"
        )
    return "decoder"


def resolve_device(device: Device) -> str:
    """Return the device that ``auto`` stands for on this machine, or the one named.

    Raises:
        UserError: The device named is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[device]:
        raise UserError(f"device '{device}' is not there (available: {', '.join(n for n in there if there[n])})")
    return device
