"""Tensors that a model computes from its configuration, and that a checkpoint may still contain.

Old releases of transformers stored rotary frequencies, position ids and attention masks. Today's ignore them, so a
checkpoint whose values differ from the computed ones would be a different model from the one that was trained.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel

from forgetmeter.models.files.model_files import TensorHeader

_WITHOUT_EFFECT = ("masked_bias", "version", "num_batches_tracked")
"""The value of masked scores, a mark of old fairseq checkpoints, a counter of training steps."""
_FREQUENCIES = "inv_freq"
_IN_BLOCK = re.compile(r"\.\d+\.")
# Half-precision files round to 1/256; rotary frequencies span six orders of magnitude.
_RELATIVE, _ABSOLUTE, _ABSOLUTE_OF_FREQUENCIES = 1e-2, 1e-2, 1e-6


class RecomputedTensors:
    """The tensors that a model computes from its configuration.

    Args:
        model: The model; it may be on the ``meta`` device.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._prefix = f"{model.base_model_prefix}."
        self._bare_in_blocks = {
            path for path, module in model.named_modules() if _IN_BLOCK.search(path) and not _has_parameters(module)
        }
        self._computed = dict(_computed_buffers(model))
        self._bases = set(_values_of(model.config.to_dict(), "rope_theta"))

    def __contains__(self, key: str) -> bool:
        """Whether a tensor that is neither a parameter nor a persistent buffer has no effect or is computed."""
        return key.rpartition(".")[2] in _WITHOUT_EFFECT or self._expected(key) is not None

    def agrees(self, key: str, header: TensorHeader) -> bool:
        """Whether a stored tensor holds what the model computes; also true if the model does not compute it."""
        return self._expected(key) is None or self.has(key, read_tensor(header))

    def has(self, key: str, stored: Tensor) -> bool:
        """Whether the model computes these values under a name.

        Only the part that both have is compared: a stored table of positions may be longer or shorter.
        """
        stored, expected = _real(stored), self._expected(key)
        return expected is not None and any(_same(stored, each, key) for each in expected(stored))

    def _expected(self, key: str) -> Callable[[Tensor], Iterator[Tensor]] | None:
        """Return a function from a stored tensor to the values that it may have; none if they are not known."""
        parent, _, last = key.rpartition(".")
        if last == _FREQUENCIES and any(name.endswith(last) for name in self._computed):
            return self._frequencies
        own = [self._computed[each] for each in spellings(key, self._prefix) if each in self._computed]
        if own:
            # What the model alone can compute is taken as it is.
            return lambda stored: (stored if value is None else value for value in own)
        if last == "position_ids":
            return lambda stored: iter([torch.arange(stored.shape[-1]).float()])
        if last == "token_type_ids":
            return lambda stored: iter([torch.zeros_like(stored)])
        if last == "bias" and not self._bare_in_blocks.isdisjoint(spellings(parent, self._prefix)):
            return lambda stored: iter([torch.ones_like(stored).tril()] if stored.dim() > 1 else [])
        return None

    def _frequencies(self, stored: Tensor) -> Iterator[Tensor]:
        """Yield rotary frequencies of any layer, and unscaled ones: old releases scaled the positions instead."""
        for name, value in self._computed.items():
            if name.endswith(_FREQUENCIES) and value is not None and value.shape == stored.shape:
                yield value
                count = value.numel()
                yield from (base ** (-torch.arange(count) / count) for base in self._bases)


def read_tensor(header: TensorHeader) -> Tensor:
    """Read a tensor of a checkpoint.

    Raises:
        SafetensorError: The file is damaged.
        OSError: The file cannot be read.
    """
    with safe_open(header.file, framework="pt") as file:
        return file.get_tensor(header.name)


def spellings(path: str, prefix: str) -> set[str]:
    """Return a name with and without the prefix of the base model."""
    return {path, path.removeprefix(prefix), f"{prefix}{path}"}


def _computed_buffers(model: PreTrainedModel) -> Iterator[tuple[str, Tensor | None]]:
    """Yield the names and values of the buffers that are not stored; ``None`` if the model does not compute them."""
    for path, module in model.named_modules():
        names = [name for name in module._non_persistent_buffers_set if module._buffers.get(name) is not None]
        values: Mapping[str, Tensor | None] = {name: module._buffers[name] for name in names}
        if any(value is not None and value.is_meta for value in values.values()):
            values = _initialized(model, module, names)
        for name in names:
            value = values.get(name)
            yield f"{path}.{name}" if path else name, None if value is None else _real(value.cpu())


def _initialized(model: PreTrainedModel, module: Module, names: Collection[str]) -> dict[str, Tensor]:
    """Return a module's buffers as ``_init_weights`` computes them; its parameters must be on the ``meta`` device.

    A buffer that ends up the same, no matter what it held before, has been computed. If transformers' own code fails,
    as with Gemma 3n on its own, it is not known what it computes.
    """
    filled = []
    for filling in (0, 1):
        bare = copy.copy(module)
        fresh = {name: torch.full_like(module._buffers[name], filling, device="cpu") for name in names}
        bare._buffers = {**module._buffers, **fresh}
        try:
            with torch.random.fork_rng(devices=[]):
                model._init_weights(bare)
        except Exception:  # noqa: BLE001 - each architecture has its own code
            return {}
        filled.append(bare._buffers)
    first, second = filled
    return {
        name: first[name]
        for name in names
        if first[name] is not None and second[name] is not None and torch.equal(first[name], second[name])
    }


def _real(values: Tensor) -> Tensor:
    """Return values as float32; complex rotary factors as pairs."""
    return (torch.view_as_real(values) if values.is_complex() else values).float()


def _has_parameters(module: Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _values_of(config: Any, key: str) -> Iterator[float]:  # noqa: ANN401 - nested settings
    """Yield all numbers under a key, at any depth."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            if name == key and isinstance(value, int | float):
                yield value
            yield from _values_of(value, key)


def _same(stored: Tensor, expected: Tensor, key: str) -> bool:
    while stored.dim() > expected.dim() and stored.shape[0] == 1:
        stored = stored[0]
    while expected.dim() > stored.dim() and expected.shape[0] == 1:
        expected = expected[0]
    if stored.dim() != expected.dim():
        return False
    common = tuple(slice(min(sizes)) for sizes in zip(stored.shape, expected.shape, strict=True))
    absolute = _ABSOLUTE_OF_FREQUENCIES if key.endswith(_FREQUENCIES) else _ABSOLUTE
    return bool(torch.allclose(stored[common], expected[common], rtol=_RELATIVE, atol=absolute))
