"""The only module that calls transformers' loaders; never runs code from model repositories, never reads pickles.

``tests/models/safe_loading/test_pretrained.py`` fails on a ``from_pretrained`` anywhere else in the package.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Kernels of the Hub are code, fetched when a model is built; transformers reads this variable on import.
os.environ.setdefault("USE_HUB_KERNELS", "0")

import torch
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.pre_tokenizers import Sequence as Rules
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TokenizersBackend,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from forgetmeter.basics.own_code import guard_compressed_tensors, is_about_own_code, without_own_code
from forgetmeter.basics.quiet import quiet, without_loguru
from forgetmeter.errors import UserError, is_out_of_memory, one_line, refuse
from forgetmeter.models.files.model_files import INDEX, SINGLE, raw_config
from forgetmeter.models.on_disk.quantization import (
    give_format_to_groups,
    is_dequantized,
    quantization,
    remove_method,
    unreadable_setting,
)
from forgetmeter.models.safe_loading.panics import panics_as_errors, without_panic_messages
from forgetmeter.models.safe_loading.settings import setting_problems, size_problems

PROBE_TEXTS = ("", "a", " The capital of France is Paris, 1,234 km from Kyiv.\n\n", "naïve 東京 🙂\t<|x|> x=[1]")
"""Texts with which tokenizers are tried and compared: of letters, digits, signs and spaces of several scripts."""

_RULES = (
    *PROBE_TEXTS,
    "In 1969 and 2024:12345",
    "Don't SHOUT, cafe\u0301 ﬁne",
    "def f(x):\r\n    return  x\t# ½ – “a”",
)
_NORMALIZING = {"do_lower_case", "strip_accents", "tokenize_chinese_chars"}
"""Settings of ``tokenizer_config.json`` that change the rules of ``tokenizer.json``."""
_NEEDED = {"vocab_file", "merges_file"}
"""Files of a vocabulary, by transformers' names for them."""
_SAFE = {"trust_remote_code": False}
_CONFIG = "model '{name}': its config.json cannot be used ({cause})"
_TOKENIZER = "model '{name}': its tokenizer is missing or damaged ({cause})"
_GGUF = "model '{name}': transformers cannot read this GGUF as a decoder with its tokenizer ({cause})"
_MERGING = "automatic conversion of the weights"
_OWN_CODE = (
    "model '{name}' needs custom code (auto_map in its configuration or tokenizer), which is never run; use a model "
    "whose architecture and tokenizer are part of transformers"
)
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
    stored = raw_config(folder)
    _refuse(name, size_problems(stored))
    if (method := quantization(stored)) is not None:
        if problem := unreadable_setting(method):
            raise UserError(
                f"model '{name}': the quantization in its config.json {problem}; use another checkpoint of it"
            )
        guard_compressed_tensors()
    with _opening(_CONFIG, name, folder):
        config = AutoConfig.from_pretrained(folder, **_SAFE)
    _refuse(name, setting_problems(config.to_dict()))
    _keep_to_built_in_kernels(config)
    if method is None:
        remove_method(config)
    method = getattr(config, "quantization_config", None)
    if isinstance(method, dict):
        give_format_to_groups(method)
        if is_dequantized(method):
            # transformers' default depends on the device, and recipes need plain weights.
            method["dequantize"] = True
    return config


def open_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    """Read a model's tokenizer.

    Raises:
        UserError: It is missing or damaged, or needs custom code.
    """
    with opening_tokenizer(name, folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, **_SAFE)
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise TypeError(f"{type(tokenizer).__name__} is not a tokenizer of texts")
        _check_files(tokenizer, folder)
        # Fails for classes that do not fit the files, or read pages or questions instead of texts, and for damaged
        # files of which the library notices nothing while it reads them.
        _ = without_dropout(tokenizer)(""), tokenizer.added_tokens_decoder
        tokenizer = without_dropout(_as_stored(tokenizer, folder))
        for text in PROBE_TEXTS:
            # A text without tokens is left to its item; a panic is no ``Exception``.
            with suppress(Exception):
                tokenizer(text)
    return tokenizer


def _check_files(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Check that a vocabulary was read: without its files, transformers makes a tokenizer of special tokens alone.

    Raises:
        FileNotFoundError: A file of the vocabulary is missing.
    """
    names = dict(tokenizer.vocab_files_names)
    whole = names.pop("tokenizer_file", "tokenizer.json")
    if (folder / whole).is_file():
        return
    # An empty vocabulary of SentencePiece has a space.
    if len(tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys()) <= 1:
        parts = " and ".join(name for key, name in names.items() if key in _NEEDED)
        raise FileNotFoundError(f"its folder lacks {' or '.join(filter(None, (whole, parts)))}")


def _as_stored(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of ``tokenizer.json`` if another one has been built from its vocabulary.

    transformers builds many tokenizers from the vocabulary and merges of that file by the rules of the class that it
    knows for the model's architecture, whatever rules the file itself has for splitting and normalizing texts.
    """
    if type(tokenizer) is TokenizersBackend:
        # Read from the file already.
        return tokenizer
    settings = raw_config(folder, "tokenizer_config.json")
    if (
        _NORMALIZING & settings.keys()
        or not (folder / "tokenizer.json").is_file()
        or not getattr(tokenizer, "is_fast", False)
    ):
        return tokenizer
    stored = TokenizersBackend.from_pretrained(folder, **_SAFE)
    if "add_prefix_space" in settings:
        # Unlike other rules, this one is taken from there.
        for own, other in zip(_byte_levels(stored), _byte_levels(tokenizer), strict=False):
            own.add_prefix_space = other.add_prefix_space
    are_alike = all(_tokens(tokenizer, text) == _tokens(stored, text) for text in _RULES)
    return tokenizer if are_alike else stored


def _byte_levels(tokenizer: Any) -> list[ByteLevel]:  # noqa: ANN401
    """Return the parts of a fast tokenizer that split texts into bytes and may put a space before them."""
    rules = tokenizer.backend_tokenizer.pre_tokenizer
    parts = [] if isinstance(rules, Rules) else [rules]
    with suppress(IndexError):
        while isinstance(rules, Rules):
            parts.append(rules[len(parts)])
    return [each for each in parts if isinstance(each, ByteLevel)]


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> Sequence[int]:
    """Return the tokens of a text without special ones; none if it cannot be split."""
    with suppress(Exception):
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return ()


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
    if not any((folder / each).is_file() for each in (SINGLE, INDEX)):
        raise UserError(
            f"model '{name}': transformers reads {SINGLE}, or the files that {INDEX} lists, and the folder has "
            "neither; rename its file, or fetch its index"
        )
    with _opening("model '{name}' cannot be loaded: {cause}", name, folder):
        model, report = kind.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **_SAFE,
            **options,
        )
    keep_weights_in_place(model)
    return model, report


def open_shapes(shapes: Mapping[str, Sequence[int]], name: str, model: PreTrainedModel) -> tuple[PreTrainedModel, Any]:
    """Match the names and shapes of tensors with a model on the ``meta`` device, as ``open_model`` matches a folder's.

    Returns:
        The model on the ``meta`` device, and transformers' report of missing, unexpected and mismatched keys.

    Raises:
        UserError: They cannot be read.
    """
    with _opening("model '{name}' cannot be loaded: {cause}", name):
        matched, report = type(model).from_pretrained(
            None,
            config=model.config,
            state_dict={key: torch.empty(*shape, device="meta") for key, shape in shapes.items()},
            dtype=torch.float32,
            device_map="meta",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **_SAFE,
        )
    keep_weights_in_place(matched)
    return matched, report


def keep_weights_in_place(model: PreTrainedModel) -> None:
    """Turn off RWKV's division of weights in its first pass, which protects float16 from overflow.

    Recipes would otherwise see different weights before and after that pass.
    """
    if not getattr(model.base_model, "layers_are_rescaled", True):
        model.config.rescale_every = 0


def empty_model(name: str, kind: Any, config: Any) -> PreTrainedModel:  # noqa: ANN401
    """Return a model without its weights, on the ``meta`` device.

    Raises:
        UserError: The configuration cannot be used.
    """
    with _opening(_CONFIG, name), torch.device("meta"):
        return kind.from_config(config, **_SAFE)
    raise AssertionError("unreachable: the block above returns or raises")


def open_gguf_header(path: Path, name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a GGUF file's header as a decoder without its weights, on the ``meta`` device, and its tokenizer.

    Raises:
        UserError: transformers cannot read it.
    """
    with _alone(path, name) as (folder, file):
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file, **_SAFE)
        config = AutoConfig.from_pretrained(folder, gguf_file=file, **_SAFE)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, **_SAFE), tokenizer


def open_gguf(path: Path, name: str, config: Any) -> tuple[PreTrainedModel, Any]:  # noqa: ANN401
    """Read a GGUF file as a decoder in float32.

    Returns:
        The model, and transformers' report of missing, unexpected and mismatched keys.

    Raises:
        UserError: transformers cannot read it.
    """
    with _alone(path, name) as (folder, file):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=file, config=config, dtype=torch.float32, output_loading_info=True, **_SAFE
        )
    return model, report


@contextmanager
def opening_tokenizer(name: str, path: Path | None = None) -> Iterator[None]:
    """Turn whatever the tokenizers library raises while a tokenizer is made into one line.

    Raises:
        UserError: It raises anything.
    """
    with _opening(_TOKENIZER, name, path), without_panic_messages(), panics_as_errors():
        yield


@contextmanager
def _alone(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield a folder that holds nothing but a link to a GGUF file, and its name: transformers reads neighbours, too."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "model.gguf"
        link.symlink_to(path.resolve())
        with _opening(_GGUF, name, link):
            yield folder, link.name


@contextmanager
def _opening(problem: str, name: str, path: Path | None = None) -> Iterator[None]:
    """Let libraries open a part of a model without running its code; whatever they raise becomes one line.

    Args:
        problem: The line, with ``{name}`` and ``{cause}``.
        name: The model's name, which takes the place of ``path``, in a cache or temporary folder, in the cause.

    Raises:
        UserError: They raise anything.
    """
    try:
        with quiet(), without_loguru(), without_own_code(), panics_as_errors():
            yield
    except Exception as error:  # libraries may raise anything for files that they do not support
        # A relative path is the user's own, and may be part of any word.
        text = str(error).replace(str(path), name) if path is not None and path.is_absolute() else ""
        cause = one_line(UserError(text) if text else error)
        if type(error) is KeyError:
            # Its text is the key alone.
            cause = f"KeyError: {cause}"
        if _MERGING in cause:
            # It refers to a report that is not shown.
            cause = (
                "tensors that are merged on loading, such as those of experts or the parts of packed weights, are "
                "missing or of unequal shapes"
            )
        if is_out_of_memory(error):
            problem = "model '{name}' needs more memory than is free ({cause})"
        elif is_about_own_code(error):
            problem = _OWN_CODE
        elif isinstance(error, ImportError):
            # A version with > in it would be a redirection in a shell.
            install = "pip install 'forgetmeter[compressed-tensors]'" if "compressed-tensors" in cause else cause
            problem = "model '{name}' needs a library or device that is missing: " + install
        raise UserError(problem.format(name=name, cause=cause)) from error


def _refuse(name: str, problems: Iterable[str]) -> None:
    refuse(f"model '{name}': its config.json cannot be used ({each}); restore the original" for each in problems)


def _refuse_own_code(folder: Path, name: str) -> None:
    stored = raw_config(folder)
    known = str(stored.get("model_type")) in CONFIG_MAPPING
    if stored.get("auto_map") and not known:
        raise UserError(_OWN_CODE.format(name=name))
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
