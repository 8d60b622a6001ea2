"""A model on this machine, whose parts are read on first access and cached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.errors import UserError
from forgetmeter.models.checks.model_checks import check_supported, refuse_other_shapes
from forgetmeter.models.checks.token_ids import refuse_impossible_tokens
from forgetmeter.models.family import Family, auto_class, family_of
from forgetmeter.models.files.model_files import ADAPTER_WEIGHTS, TensorHeader, raw_config, weight_files
from forgetmeter.models.from_gguf.conversion import converted, described, is_converted, is_described
from forgetmeter.models.from_gguf.header import refuse_missing
from forgetmeter.models.from_gguf.record import read_record
from forgetmeter.models.location import Location, locate
from forgetmeter.models.on_disk.quantization import (
    describe_as_plain,
    float32_bytes,
    is_dequantized,
    maker_of,
    quantization,
    quantized_problem,
)
from forgetmeter.models.on_disk.quantization import described as described_method
from forgetmeter.models.on_disk.recomputed_tensors import RecomputedTensors
from forgetmeter.models.on_disk.stored_bits import bits_by_role, owned_bytes
from forgetmeter.models.on_disk.stored_weights import (
    PlacedTensor,
    placed_tensors,
    refuse_contradictions,
    refuse_doubled_tensors,
    refuse_misplaced_tensors,
    refuse_misread_weights,
    refuse_other_layouts,
    refuse_overflown,
    refuse_unread_tensors,
    tie_copies,
)
from forgetmeter.models.on_disk.wrapper_names import refuse_wrapper_names
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.models.safe_loading.pretrained import empty_model, load_config, open_model, open_shapes, open_tokenizer
from forgetmeter.models.unpacking.adapter import merged
from forgetmeter.models.unpacking.conversion import unpacked, unpacked_folder
from forgetmeter.models.unpacking.layouts import is_unpacked
from forgetmeter.models.unpacking.plain_tensor import PlainTensor, as_stored
from forgetmeter.models.unpacking.unpacking import plain_tensors
from forgetmeter.records.packed_source import PackedSource, WeightReading
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.role import Matrix


class Checkpoint:
    """A model on this machine, whose parts are read once; packed weights are unpacked when they are needed.

    Every part may raise a ``UserError`` if its file is missing, damaged or not supported.

    Attributes:
        location: Its location.
        name: Its reference, used in errors.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self.name = str(location.reference)

    def __reduce__(self) -> tuple[type[Checkpoint], tuple[Location]]:
        """Another process reads the parts anew."""
        return Checkpoint, (self.location,)

    @cached_property
    def _base(self) -> Checkpoint | None:
        """The model that an adapter changes."""
        return None if self.location.base is None else Checkpoint(self.location.base)

    @cached_property
    def _is_gguf(self) -> bool:
        return self.location.path.is_file()

    @cached_property
    def _stored(self) -> Location:
        if self._is_gguf:
            return replace(self.location, path=converted(self.location))
        if self._plain is None:
            return self.location
        return replace(self.location, path=unpacked(self.location, self._plain, self.config, self.tokenizer_folder))

    @cached_property
    def _plain(self) -> tuple[PlainTensor, ...] | None:
        """The tensors of a quantized checkpoint or adapter, before they are written as floating-point numbers."""
        if self._base is not None:
            tensors = self._base._plain or tuple(map(as_stored, self._base.headers))
            return merged(tensors, self.location.path, self.outline(), self.name)
        if self._method is None or self.quantization is not None:
            return None
        headers = _read_headers(self.location)
        return plain_tensors(headers, self._method, self.outline(), self.name)

    @property
    def folder(self) -> Path:
        """A folder that ``from_pretrained`` reads, after unpacking weights and merging adapters."""
        return self._stored.path

    @property
    def is_converted(self) -> bool:
        """Whether ``folder`` exists."""
        if self._is_gguf:
            return is_converted(self.location)
        return self._plain is None or unpacked_folder(self.location).is_dir()

    @property
    def is_described(self) -> bool:
        """Whether the configuration and tokenizer can be read at once."""
        if self._base is not None:
            return self._base.is_described
        return not self._is_gguf or is_described(self.location)

    @cached_property
    def _described(self) -> Path:
        """A folder with its configuration."""
        if self._base is not None:
            return self._base._described
        return described(self.location) if self._is_gguf else self.location.path

    @cached_property
    def tokenizer_folder(self) -> Path:
        """A folder with its tokenizer; an adapter may have one of its own."""
        return self.location.path if (self.location.path / "tokenizer_config.json").is_file() else self._described

    @cached_property
    def config(self) -> Any:  # noqa: ANN401 - transformers is not followed by mypy
        """Its configuration.

        Raises:
            UserError: It cannot be used, or is that of a quantized model into which an adapter cannot be merged.
        """
        config = load_config(self._described, self.name)
        if self._base is not None and self._base.quantization is not None:
            raise UserError(
                f"model '{self.name}': its base model stays quantized ({described_method(self._base.quantization)}), "
                "but adapters are merged into plain weights; set base_model_name_or_path to the unquantized original"
            )
        if self._base is not None or (self._method is not None and self.quantization is None):
            describe_as_plain(config)
        return config

    @cached_property
    def family(self) -> Family:
        """Its family."""
        return family_of(self.config, self.name)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return open_tokenizer(self.tokenizer_folder, self.name)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The safetensors files that ``from_pretrained`` reads."""
        return weight_files(self.folder)

    @cached_property
    def headers(self) -> tuple[TensorHeader, ...]:
        """The tensors of these files, file by file."""
        return _read_headers(self._stored)

    @cached_property
    def _method(self) -> Mapping[str, Any] | None:
        """The quantization method of its files."""
        return quantization(raw_config(self._described))

    @cached_property
    def quantization(self) -> Mapping[str, Any] | None:
        """The quantization method by which transformers reads it; ``None`` if it reads floating-point numbers."""
        return None if self._method is None or is_unpacked(self._method) else self._method

    @cached_property
    def reading(self) -> WeightReading:
        """How its weights, or those that an adapter changes, are read."""
        if self._base is not None:
            return self._base.reading
        if self.quantization is not None:
            return "unpacked" if is_dequantized(self.quantization) else "kernel"
        return "unpacked" if self._is_gguf or self._method is not None else "plain"

    @cached_property
    def packed(self) -> PackedSource | None:
        """Both sizes of a GGUF file or quantized checkpoint; ``None`` if it stores floating-point numbers."""
        if self.reading == "plain":
            return None
        if self._base is not None and self._base.packed is not None:
            return replace(self._base.packed, bytes=self.stored_bytes)
        model = self.outline()
        sizes = (self.stored_bytes, float32_bytes(model))
        if self._method is None:
            form, maker, bits = read_record(self._described)
            return PackedSource(form, *sizes, self.reading, maker, bits)
        bits = bits_by_role(owned_bytes(_read_headers(self.location), model), model)
        return PackedSource(described_method(self._method), *sizes, self.reading, maker_of(self._method), bits)

    @property
    def stored_bytes(self) -> int:
        """Bytes of its weight files: for a GGUF file, all of it; for an adapter, also those of its base model."""
        if self._base is not None:
            return self._base.stored_bytes + (self.location.path / ADAPTER_WEIGHTS).stat().st_size
        files = (self.location.path,) if self._is_gguf else weight_files(self.location.path)
        return sum(file.stat().st_size for file in files)

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
        shape = self.outline().eval() if self._is_gguf else self._shape()
        check_supported(shape, self.name)
        return shape

    def _shape(self) -> PreTrainedModel:
        if self._plain is None:
            return self.model(device_map="meta")
        headers = [tensor.header for tensor in self._plain]
        refuse_wrapper_names((header.name for header in headers), self.name)
        model, report = open_shapes({header.name: header.shape for header in headers}, self.name, self.outline())
        self._check(model, report, headers)
        return model

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
        placed = self._check(model, report, self.headers)
        refuse_other_layouts(placed, model, self.name)
        if options.get("dtype") == torch.float16:
            refuse_overflown(placed, model)
        if options.get("device_map") == "meta":
            tie_copies(placed, model)
        return model

    def _check(self, model: PreTrainedModel, report: Any, headers: Iterable[TensorHeader]) -> tuple[PlacedTensor, ...]:  # noqa: ANN401
        """Check the tensors that were read into a model, and return their places in it.

        Raises:
            UserError: They do not match it.
        """
        refuse_other_shapes(report["mismatched_keys"], self.name)
        refuse_missing(report["missing_keys"], self.name)
        placed, recomputed = placed_tensors(headers, model), RecomputedTensors(model)
        refuse_misplaced_tensors(placed, self.quantization, model, self.name)
        refuse_unread_tensors(model, report["unexpected_keys"], placed, recomputed, self.name)
        refuse_contradictions(placed, model, recomputed, self.name)
        refuse_doubled_tensors(placed, model, self.name)
        return placed


def _read_headers(location: Location) -> tuple[TensorHeader, ...]:
    """Return the tensors of the files that ``from_pretrained`` reads in a folder, file by file."""
    by_file: dict[Path, list[TensorHeader]] = {file: [] for file in weight_files(location.path)}
    for header in location.headers:
        if header.file in by_file:
            by_file[header.file].append(header)
    return tuple(header for headers in by_file.values() for header in headers)


def open_checkpoint(reference: str | Path) -> Checkpoint:
    """Find a model.

    Args:
        reference: ``org/name[@revision]`` on the Hub, ``./folder``, ``./file.gguf``, ``package:MODULE`` or
            ``standard:FAMILY``.

    Raises:
        UserError: It does not exist, cannot be loaded, or is an engine.
    """
    parsed = parse_model_reference(reference)
    if parsed.source == "engine":
        raise UserError(f"model '{parsed}': the weights of an engine are not accessible; name the model that it runs")
    return Checkpoint(locate(parsed))
