"""Loading a model, wherever it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from forgetmeter.errors import UserError
from forgetmeter.models.gguf_conversion import converted, refuse_missing
from forgetmeter.models.loaded import Family, Loaded
from forgetmeter.models.location import Location, locate, stored_shapes
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
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"model '{name}' cannot be loaded: {_one_line(error)}") from error
    refuse_missing(report["missing_keys"], name)
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
    except Exception as error:  # transformers and huggingface_hub check configurations with errors of many kinds
        raise UserError(f"model '{folder}': its config.json cannot be used ({_one_line(error)})") from error
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UserError(f"model '{folder}' is of type '{config.model_type}', which is no decoder language model")
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def check_loadable(location: Location) -> PreTrainedModel:
    """Check what can be checked of a model without reading its weights, and return its skeleton.

    Raises:
        UserError: The architecture is not supported, the tokenizer is missing or damaged, or the checkpoint's
            weights are not those that the configuration asks for.
    """
    folder, name = folder_of(location), str(location.reference)
    shape = skeleton(folder)
    check_supported(shape, name)
    try:
        AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # tokenizers raise bare Exceptions for damaged files
        raise UserError(f"model '{name}': its tokenizer is missing or damaged ({_one_line(error)})") from error
    _check_shapes(shape, folder, name)
    return shape


def _check_shapes(shape: PreTrainedModel, folder: Path, name: str) -> None:
    wanted = {key: list(parameter.shape) for key, parameter in shape.named_parameters()}
    stored = stored_shapes(folder)
    if len(wanted.keys() & stored.keys()) < len(wanted) / 2:
        # The checkpoint names its weights otherwise; transformers renames them while it loads, and checks them then.
        return
    refuse_missing(wanted.keys() - stored.keys(), name)
    for key, size in wanted.items():
        if stored[key] != size:
            raise UserError(f"model '{name}': {key} is {stored[key]} in the checkpoint, and {size} by its config.json")


def check_supported(model: PreTrainedModel, name: str) -> Family:
    """Return the model's family.

    Raises:
        UserError: There are weight matrices whose role is not known.
    """
    matrices = weight_map(model)
    known = {matrix.parameter for matrix in matrices}
    embeddings = {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, nn.Embedding)}
    strange = [path for path, weight in model.named_parameters() if weight.dim() > 1 and path not in known | embeddings]
    if strange or {matrix.role.component for matrix in matrices} != {"attention", "feed_forward", "head"}:
        shown = f"; the first is {strange[0]}" if strange else ""
        raise UserError(
            f"model '{name}' ({type(model).__name__}) has weight matrices whose role is not known{shown}; "
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
