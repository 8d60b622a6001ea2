"""Counts the bits that a checkpoint's files spend on a weight of each role."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

from transformers import PreTrainedModel

from forgetmeter.models.files.model_files import TensorHeader
from forgetmeter.models.on_disk.stored_weights import placed_tensors
from forgetmeter.models.roles.weight_map import weight_map

_OTHER = "other"
_NAMES = {
    "attention": "attention",
    "feed_forward": "feed_forward",
    "mixer": "mixer",
    "head": "head",
    "token_embedding": "embedding",
}
_ROLES = (*_NAMES.values(), _OTHER)
_BITS = re.compile(r"\d+")
_BITS_OF_BOOLEANS = 8


def bits_by_role(stored: Iterable[tuple[str, int]], model: PreTrainedModel) -> dict[str, float]:
    """Return the bits per weight of ``attention``, ``feed_forward``, ``mixer``, ``head``, ``embedding`` and ``other``.

    ``other`` covers norms, biases and everything else without one of these roles. Roles that the model lacks are left
    out, such as a head that is tied to the embedding.

    Args:
        stored: Per stored tensor, the name of the parameter it belongs to, and its size in bytes. Scales and zero
            points belong to the weight that they scale.
        model: The model; it may be on the ``meta`` device.
    """
    roles = _roles(model)
    weights, sizes = Counter[str](), Counter[str]()
    for name, parameter in model.named_parameters():
        weights[roles.get(name, _OTHER)] += parameter.numel()
    for name, size in stored:
        sizes[roles.get(name, _OTHER)] += size
    return {role: 8 * sizes[role] / weights[role] for role in _ROLES if weights[role] and sizes[role]}


def owned_bytes(headers: Iterable[TensorHeader], model: PreTrainedModel) -> list[tuple[str, int]]:
    """Return the parameter that each stored tensor belongs to, and the tensor's bytes; its own name if to none."""
    headers, parameters = tuple(headers), dict(model.named_parameters())
    as_weights = (replace(header, name=_weight(header.name)) for header in headers)
    pairs = zip(placed_tensors(headers, model), placed_tensors(as_weights, model), strict=True)
    found = []
    for itself, as_weight in pairs:
        names = (itself.key, as_weight.key, itself.key.rpartition("_")[0])
        name = next((each for each in names if each in parameters), itself.key)
        found.append((name, _bytes(itself.header)))
    return found


def _weight(name: str) -> str:
    """Return the name of the weight of which a tensor such as ``…q_proj.weight_scale`` may be a part."""
    return f"{name.rpartition('.')[0].removesuffix('.weight')}.weight"


def _bytes(header: TensorHeader) -> int:
    width = _BITS.search(header.dtype)
    return prod(header.shape) * (int(width[0]) if width else _BITS_OF_BOOLEANS) // 8


def _roles(model: PreTrainedModel) -> Mapping[str, str]:
    found = (matrix for matrix in weight_map(model) if matrix.tied_to is None)
    return {each.parameter: _NAMES[each.role.component] for each in found if each.role.component in _NAMES}
