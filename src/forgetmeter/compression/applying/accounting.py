"""Counts of the zeros and bytes that a recipe reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.compression.applying.unit import Unit, joined
from forgetmeter.compression.forms.storage import count_nonzero
from forgetmeter.compression.forms.weight import Weight, cut
from forgetmeter.records.variant import Reached, RoleCount
from forgetmeter.specs.role import Matrix


@dataclass(frozen=True)
class Baseline:
    """The counts of a model as loaded.

    Attributes:
        matrices: Its weight matrices.
        zeros: Zeros of each matrix.
        weight_bytes: Bytes per stored weight of each matrix.
        total_bytes: Bytes of all parameters and stored buffers; shared tensors count once.
    """

    matrices: tuple[Matrix, ...]
    zeros: Mapping[Matrix, int]
    weight_bytes: Mapping[Matrix, int]
    total_bytes: int


def count_baseline(
    model: PreTrainedModel, matrices: Iterable[Matrix], stored: Mapping[str, int] | None = None
) -> Baseline:
    """Count the zeros and bytes of an uncompressed model; ``stored`` is ``Loaded.weight_bytes``."""
    matrices, stored = tuple(matrices), stored or {}
    parameters = {matrix: model.get_parameter(matrix.parameter) for matrix in matrices}
    # Tables of positions, as in Marian, which are computed again on loading.
    unsaved = model._keys_to_ignore_on_save or ()
    tensors = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name not in unsaved}
    # If several names share a tensor, such as a head and its embedding, it is stored under one of them.
    widths = {id(tensors[name]): width for name, width in stored.items() if name in tensors}
    by_id = {id(tensor): tensor for tensor in tensors.values()}
    return Baseline(
        matrices=matrices,
        zeros={matrix: count_zeros(tensor.detach(), matrix) for matrix, tensor in parameters.items()},
        weight_bytes={matrix: widths.get(id(tensor), tensor.element_size()) for matrix, tensor in parameters.items()},
        total_bytes=sum(tensor.numel() * widths.get(key, tensor.element_size()) for key, tensor in by_id.items()),
    )


def count_zeros(parameter: Tensor, matrix: Matrix) -> int:
    """Return the number of zeros in one of a parameter's matrices."""
    return _zeros(parameter if matrix.axis is None else cut(parameter, matrix.axis, matrix.ranges))


@dataclass(frozen=True)
class UnitAccount:
    """The counts of a compressed unit.

    Attributes:
        zeros: Zeros of each of its matrices.
        quantized_bytes: Bytes at its bit width, including scales.
        smallest_bytes: Bytes in its smallest lossless storage format.
        simulated: Whether it is computed in floating point for lack of a kernel.
    """

    zeros: Mapping[Matrix, int]
    quantized_bytes: int
    smallest_bytes: int
    simulated: bool


def account_unit(unit: Unit, weight_bytes: Mapping[Matrix, int]) -> UnitAccount:
    """Count a unit in the form the last step left it in."""
    plain = sum(matrix.size * weight_bytes[matrix] for matrix in unit.matrices)
    return UnitAccount(
        zeros={matrix: _zeros(part.values()) for matrix, part in unit.split(unit.weight).items()},
        quantized_bytes=unit.weight.quantized_bytes(plain),
        smallest_bytes=unit.weight.smallest_bytes(plain),
        simulated=unit.weight.is_simulated,
    )


def account(baseline: Baseline, selected: Iterable[Matrix], weights: Mapping[Matrix, Weight]) -> Reached:
    """Return the sparsity and bytes reached; ``selected`` is the union of the recipe's scopes.

    Only matrices in ``weights`` are counted again; the baseline's counts hold for the others.
    """
    units = joined(weights.items())
    return account_units(baseline, selected, [account_unit(unit, baseline.weight_bytes) for unit in units])


def account_units(baseline: Baseline, selected: Iterable[Matrix], units: Sequence[UnitAccount]) -> Reached:
    """Return the sparsity and bytes reached, from the counts of all compressed units; no matrix may occur twice."""
    compressed = {matrix: count for unit in units for matrix, count in unit.zeros.items()}
    zeros = {**baseline.zeros, **compressed}
    plain = {matrix: matrix.size * baseline.weight_bytes[matrix] for matrix in baseline.matrices}
    untied = (matrix for matrix in compressed if matrix.tied_to is not None)
    dense_bytes = baseline.total_bytes + sum(plain[matrix] for matrix in untied)
    untouched_bytes = dense_bytes - sum(plain[matrix] for matrix in compressed)
    selected = set(selected)
    bitmask_savings = {
        matrix: max(0, plain[matrix] - _bitmask_bytes(matrix.size, count, baseline.weight_bytes[matrix]))
        for matrix, count in zeros.items()
        if count
    }
    return Reached(
        roles=_role_counts(baseline.matrices, zeros),
        selected_weights=sum(matrix.size for matrix in selected),
        selected_zeros=sum(zeros[matrix] for matrix in selected),
        removed_weights=sum(zeros.values()) - sum(baseline.zeros.values()),
        dense_bytes=dense_bytes,
        bitmask_bytes=dense_bytes - sum(bitmask_savings.values()),
        quantized_bytes=untouched_bytes + sum(unit.quantized_bytes for unit in units),
        smallest_bytes=untouched_bytes
        - sum(saved for matrix, saved in bitmask_savings.items() if matrix not in compressed)
        + sum(unit.smallest_bytes for unit in units),
        simulated=any(unit.simulated for unit in units),
    )


def _role_counts(matrices: Iterable[Matrix], zeros: Mapping[Matrix, int]) -> dict[str, RoleCount]:
    weights_of: dict[str, int] = defaultdict(int)
    zeros_of: dict[str, int] = defaultdict(int)
    for matrix in matrices:
        weights_of[str(matrix.role)] += matrix.size
        zeros_of[str(matrix.role)] += zeros[matrix]
    return {role: RoleCount(count, zeros_of[role]) for role, count in weights_of.items()}


def _zeros(tensor: Tensor) -> int:
    return int(tensor.numel()) - count_nonzero(tensor)


def _bitmask_bytes(size: int, zeros: int, weight_bytes: int) -> int:
    return -(-size // 8) + (size - zeros) * weight_bytes
