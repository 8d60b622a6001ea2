"""The only module that calls transformers' loaders; never runs code from model repositories, never reads pickles.

``tests/models/test_pretrained.py`` fails on a ``from_pretrained`` anywhere else in the package.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Kernels of the Hub are code, fetched when a model is built; transformers reads this variable on import.
os.environ.setdefault("USE_HUB_KERNELS", "0")

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from forgetmeter.errors import UserError, one_line, refuse
from forgetmeter.models.model_files import raw_config
from forgetmeter.models.quantization import is_dequantized
from forgetmeter.models.settings import setting_problems
from forgetmeter.quiet import quiet

_SAFE = {"trust_remote_code": False}
# Any other value in a configuration names a kernel of the Hub, which is code.
_ATTENTION = (None, "eager", "sdpa")
_BUILT_IN_EXPERTS = (None, "eager", "batched_mm", "grouped_mm")


def load_config(folder: Path, name: str) -> Any:  # noqa: ANN401 - transformers is not followed by mypy
    """Read a model's configuration.

    Raises:
        UserError: The model needs custom code or names a custom weight file, or its configuration is damaged, not
            possible, or of an architecture unknown to transformers.
    """
    _refuse_own_code(folder, name)
    try:
        config = AutoConfig.from_pretrained(folder, **_SAFE)
    except Exception as error:  # transformers and huggingface_hub raise many kinds of errors for configurations
        raise UserError(f"model '{name}': its config.json cannot be used ({one_line(error)})") from error
    refuse(
        f"model '{name}': its config.json cannot be used ({problem}); restore the original"
        for problem in setting_problems(config.to_dict())
    )
    _keep_to_built_in_kernels(config)
    method = getattr(config, "quantization_config", None)
    if isinstance(method, dict) and is_dequantized(method):
        # transformers' default depends on the device, and recipes need plain weights.
        method["dequantize"] = True
    return config


def open_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    """Read a model's tokenizer.

    Raises:
        UserError: It is missing or damaged, or needs custom code.
    """
    mapped = raw_config(folder, "tokenizer_config.json").get("auto_map")
    try:
        tokenizer = without_dropout(AutoTokenizer.from_pretrained(folder, **_SAFE))
        # Fails for classes that do not fit the files, or read pages or questions instead of texts.
        _ = tokenizer(""), tokenizer.added_tokens_decoder
    except Exception as error:  # tokenizers raise bare Exceptions for damaged files
        if mapped:
            raise UserError(
                f"model '{name}': its tokenizer needs custom code (auto_map in tokenizer_config.json), which is never "
                "run; use a model whose tokenizer is part of transformers"
            ) from error
        raise UserError(f"model '{name}': its tokenizer is missing or damaged ({one_line(error)})") from error
    return tokenizer


def without_dropout(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Turn off random merge dropout, a training feature, so that tokens are reproducible."""
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    if model is not None and getattr(model, "dropout", None):
        model.dropout = None
    return tokenizer


def open_model(folder: Path, name: str, kind: Any, config: Any, **options: Any) -> tuple[PreTrainedModel, Any]:  # noqa: ANN401
    """Read a model from safetensors; on the ``meta`` device, only names and shapes are read.

    Returns:
        The model, and transformers' report of missing, unexpected and mismatched keys.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with quiet():
            model, report = kind.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **_SAFE,
                **options,
            )
    except ImportError as error:
        raise UserError(f"model '{name}' needs a library that is not installed: {one_line(error)}") from error
    except Exception as error:  # libraries may raise anything for a checkpoint that they do not support
        raise UserError(f"model '{name}' cannot be loaded: {one_line(error)}") from error
    keep_weights_in_place(model)
    return model, report


def keep_weights_in_place(model: PreTrainedModel) -> None:
    """Turn off RWKV's division of weights in its first pass, which protects float16 from overflow.

    Recipes would otherwise see other weights before that pass than after it.
    """
    if not getattr(model.base_model, "layers_are_rescaled", True):
        model.config.rescale_every = 0


def empty_model(name: str, kind: Any, config: Any) -> PreTrainedModel:  # noqa: ANN401
    """Return a model without its weights, on the ``meta`` device.

    Raises:
        UserError: The configuration cannot be used.
    """
    try:
        with torch.device("meta"), quiet():
            return kind.from_config(config, **_SAFE)
    except ImportError as error:
        raise UserError(f"model '{name}' needs a library that is not installed: {one_line(error)}") from error
    except Exception as error:  # modelling code computes with arbitrary values of the file
        raise UserError(f"model '{name}': its config.json cannot be used ({one_line(error)})") from error


def open_gguf_header(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a GGUF file's header as a decoder without its weights, on the ``meta`` device, and its tokenizer.

    Raises:
        UserError: transformers cannot read it.
    """
    with _alone(path) as (folder, name):
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, **_SAFE)
        config = AutoConfig.from_pretrained(folder, gguf_file=name, **_SAFE)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, **_SAFE), tokenizer


def open_gguf(path: Path, config: Any) -> tuple[PreTrainedModel, Any]:  # noqa: ANN401
    """Read a GGUF file as a decoder in float32.

    Returns:
        The model, and transformers' report of missing, unexpected and mismatched keys.

    Raises:
        UserError: transformers cannot read it.
    """
    with _alone(path) as (folder, name):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, config=config, dtype=torch.float32, output_loading_info=True, **_SAFE
        )
    return model, report


@contextmanager
def _alone(path: Path) -> Iterator[tuple[str, str]]:
    """Yield a folder that holds nothing but a link to a GGUF file, and its name: transformers reads neighbours, too."""
    try:
        with quiet(), tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "model.gguf").symlink_to(path.resolve())
            yield folder, "model.gguf"
    except Exception as error:
        raise UserError(
            f"model '{path}': transformers cannot read this GGUF as a decoder with its tokenizer ({one_line(error)})"
        ) from error


def _refuse_own_code(folder: Path, name: str) -> None:
    stored = raw_config(folder)
    known = str(stored.get("model_type")) in CONFIG_MAPPING
    if stored.get("auto_map") and not known:
        raise UserError(
            f"model '{name}' needs custom code (auto_map in config.json), which is never run; "
            "use a model whose architecture is part of transformers"
        )
    if stored.get("transformers_weights") is not None:
        raise UserError(
            f"model '{name}': its config.json names a custom weight file (transformers_weights), which is not "
            "supported; save the model again with save_pretrained"
        )


def _keep_to_built_in_kernels(config: Any) -> None:  # noqa: ANN401
    """Reset kernels of a configuration that transformers would fetch from the Hub and run."""
    for part in (config, *(getattr(config, key, None) for key in getattr(config, "sub_configs", ()))):
        if part is None:
            continue
        if getattr(part, "_attn_implementation", None) not in _ATTENTION:
            part._attn_implementation = None
        if getattr(part, "_experts_implementation", None) not in _BUILT_IN_EXPERTS:
            part._experts_implementation = None
