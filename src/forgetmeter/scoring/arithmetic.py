"""The arithmetic that answers need, and the rate of matrix products here."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from forgetmeter.models.roles.weight_map import shared_parameters
from forgetmeter.scoring.question import Prepared
from forgetmeter.specs.role import Matrix

_SECONDS = 0.5
_SIZES = {"cuda": 8192}
_SIZE = 2048


def operations(matrices: Sequence[Matrix], prepared: Prepared) -> float | None:
    """Return the floating-point operations in weight matrices that the answers need: two per weight and token.

    The head's are counted where its output is read. ``None`` if not every token meets every matrix, as in
    encoder-decoders and mixtures of experts, or if texts are written. Assumes that no token meets a matrix twice.
    """
    if prepared.contexts or any(len(matrix.shape) > 2 for matrix in matrices) or len(_stacks(matrices)) > 1:
        return None
    multiplied = [matrix for matrix in matrices if not matrix.is_lookup]
    head = sum(matrix.size for matrix in multiplied if matrix.role.component in ("head", "head_transform"))
    body = sum(matrix.size for matrix in multiplied) - head
    wanted = sum(len(batch.rows) for batch in prepared.batches)
    return 2.0 * (body * prepared.tokens + head * wanted)


def are_used_once(matrices: Sequence[Matrix], model: PreTrainedModel) -> bool:
    """Whether each token meets each matrix once, unlike in ALBERT and Zamba, whose layers share weights."""
    blocks = {matrix.block for matrix in matrices if matrix.block is not None}
    layers = getattr(model.config.get_text_config(), "num_hidden_layers", len(blocks))
    weights = {matrix.parameter for matrix in matrices if matrix.tied_to is None and not matrix.is_lookup}
    return len(blocks) == layers and not weights & shared_parameters(model).keys()


def _stacks(matrices: Sequence[Matrix]) -> set[str]:
    return {matrix.block[0] for matrix in matrices if matrix.block is not None}


def product_rate(dtype: torch.dtype, device: torch.device, *, seconds: float = _SECONDS) -> float:
    """Return the best rate of a product of two square matrices, in floating-point operations per second.

    Args:
        dtype: Of the matrices.
        device: Where it is computed.
        seconds: How long to try; at least one product is computed.
    """
    size = _SIZES.get(device.type, _SIZE)
    # As in nn.Linear.
    one, other = (torch.randn(size, size).to(device, dtype) for _ in range(2))
    fastest, end = float("inf"), time.perf_counter() + seconds
    with torch.inference_mode():
        while True:
            start = time.perf_counter()
            torch.nn.functional.linear(one, other)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            now = time.perf_counter()
            fastest = min(fastest, now - start)
            if now >= end:
                return 2.0 * size**3 / fastest
