"""A model on this machine, whose parts are read on first access and cached."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.errors import UserError
from forgetmeter.models.family import Family, auto_class, family_of
from forgetmeter.models.from_gguf.conversion import converted, described
from forgetmeter.models.from_gguf.header import refuse_missing
from forgetmeter.models.location import Location, locate
from forgetmeter.models.model_files import TensorHeader, raw_config, weight_files
from forgetmeter.models.pretrained import empty_model, load_config, open_model, open_tokenizer
from forgetmeter.models.quantization import described as described_method
from forgetmeter.models.quantization import float32_bytes, is_dequantized, quantization, quantized_problem
from forgetmeter.models.recomputed_tensors import RecomputedTensors
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.models.stored_weights import (
    placed_tensors,
    refuse_contradictions,
    refuse_doubled_tensors,
    refuse_misplaced_tensors,
    refuse_misread_weights,
    refuse_overflown,
    refuse_unread_tensors,
)
from forgetmeter.models.token_ids import refuse_impossible_tokens
from forgetmeter.models.torch_compression import torch_compression
from forgetmeter.models.wrapper_names import refuse_wrapper_names
from forgetmeter.records.packed_source import PackedSource
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.role import Matrix

_COMPRESSIBLE = {"attention", "feed_forward", "mixer", "unknown"}


class Checkpoint:
    """A model on this machine, whose parts are read once; a GGUF file is converted when its weights are needed.

    Every part may raise a ``UserError`` if its file is missing, damaged or not supported.

    Attributes:
        location: Its location.
        name: Its reference, used in errors.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self.name = str(location.reference)

    @cached_property
    def _stored(self) -> Location:
        is_folder = self.location.path.is_dir()
        return self.location if is_folder else replace(self.location, path=converted(self.location))

    @property
    def folder(self) -> Path:
        """A folder that ``from_pretrained`` reads; a GGUF file is converted first."""
        return self._stored.path

    @cached_property
    def _described(self) -> Path:
        """A folder with its configuration and tokenizer, and weights unless it is a GGUF file."""
        return self.location.path if self.location.path.is_dir() else described(self.location)

    @cached_property
    def config(self) -> Any:  # noqa: ANN401 - transformers is not followed by mypy
        """Its configuration."""
        return load_config(self._described, self.name)

    @cached_property
    def family(self) -> Family:
        """Its family."""
        return family_of(self.config, self.name)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return open_tokenizer(self._described, self.name)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The safetensors files that ``from_pretrained`` reads."""
        return weight_files(self.folder)

    @cached_property
    def headers(self) -> tuple[TensorHeader, ...]:
        """The tensors of these files, file by file."""
        return tuple(header for file in self.files for header in self._stored.headers if header.file == file)

    @cached_property
    def quantization(self) -> Mapping[str, Any] | None:
        """Its configuration's quantization method, or ``None``."""
        return quantization(raw_config(self._described))

    @cached_property
    def packed(self) -> PackedSource | None:
        """Both sizes of a GGUF file or quantized checkpoint; ``None`` if its weights are stored as plain numbers."""
        is_gguf = self.location.path.is_file()
        if not is_gguf and self.quantization is None:
            return None
        files = (self.location.path,) if is_gguf else self.files
        stored = sum(file.stat().st_size for file in files)
        form = "GGUF" if self.quantization is None else described_method(self.quantization)
        return PackedSource(form, stored, float32_bytes(self.outline()))

    def refuse_quantized(self) -> None:
        """Refuse a model whose weights stay quantized in memory, so that no recipe can change them.

        Raises:
            UserError: They do, or the weights do not match the configuration.
        """
        if self.quantization is not None and not is_dequantized(self.quantization):
            refuse_misread_weights(self.headers, self.quantization, self.name)
            raise UserError(quantized_problem(self.name, self.quantization))

    @cached_property
    def skeleton(self) -> PreTrainedModel:
        """The model without its weights (on the ``meta`` device), after checking its files against its configuration.

        Always the same object: copy it before changing it. A GGUF file's header has been checked by ``config``.
        """
        shape = self.model(device_map="meta") if self.location.path.is_dir() else self.outline().eval()
        check_supported(shape, self.name)
        return shape

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """Its weight matrices."""
        return weight_map(self.skeleton)

    def outline(self) -> PreTrainedModel:
        """Return the model built from the configuration alone, on the ``meta`` device; reads no weight files."""
        return empty_model(self.name, auto_class(self.family, self.config.model_type), self.config)

    def check(self) -> None:
        """Run all checks that need no weights.

        Raises:
            UserError: The architecture is not supported, the tokenizer is missing or damaged, or the checkpoint's
                weights do not match the configuration.
        """
        # In the order in which a user would fix them.
        _ = self.config, self.tokenizer
        refuse_impossible_tokens(self.skeleton, self.tokenizer, self.family, self.name)

    def model(self, **options: Any) -> PreTrainedModel:  # noqa: ANN401
        """Load the model; on the ``meta`` device, only compare the checkpoint's names and shapes.

        ``options`` are those of ``from_pretrained``.

        Raises:
            UserError: It is damaged, or its weights do not match its configuration.
        """
        kind = auto_class(self.family, self.config.model_type)
        refuse_wrapper_names((header.name for header in self.headers), self.name)
        refuse_misread_weights(self.headers, self.quantization, self.name)
        model, report = open_model(self.folder, self.name, kind, self.config, **options)
        _refuse_other_shapes(report["mismatched_keys"], self.name)
        refuse_missing(report["missing_keys"], self.name)
        placed, recomputed = placed_tensors(self.headers, model), RecomputedTensors(model)
        refuse_misplaced_tensors(placed, self.quantization, model, self.name)
        refuse_unread_tensors(model, report["unexpected_keys"], placed, recomputed, self.name)
        refuse_contradictions(placed, model, recomputed, self.name)
        refuse_doubled_tensors(placed, model, self.name)
        if options.get("dtype") == torch.float16:
            refuse_overflown(placed, model)
        return model


def open_checkpoint(reference: str | Path) -> Checkpoint:
    """Find a model.

    Args:
        reference: ``org/name[@revision]`` on the Hub, ``./folder``, ``./file.gguf``, ``package:MODULE`` or
            ``standard:FAMILY``.

    Raises:
        UserError: It does not exist, or cannot be loaded.
    """
    return Checkpoint(locate(parse_model_reference(reference)))


def _refuse_other_shapes(mismatched: Collection[Any], name: str) -> None:
    if mismatched:
        key, stored, wanted = sorted(mismatched)[0]
        raise UserError(
            f"model '{name}': {key} is {list(stored)} in the checkpoint, but {list(wanted)} in its config.json"
        )


def check_supported(model: PreTrainedModel, name: str) -> None:
    """Check that a model has weight matrices that recipes can compress, or is already quantized.

    Raises:
        UserError: None of its blocks has any, and not because torch has compressed them.
    """
    if getattr(model, "is_quantized", False):
        return
    has_any = any(matrix.role.component in _COMPRESSIBLE for matrix in weight_map(model))
    if not has_any and torch_compression(model) is None:
        raise UserError(f"model '{name}' ({type(model).__name__}) has no blocks with weight matrices")
