"""Changes the weights of one input unit at a time; the weights still to come compensate for each error.

This is the common part of SparseGPT and GPTQ (Frantar & Alistarh 2023, arXiv:2301.00774; Frantar et
al. 2022, arXiv:2210.17323).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from forgetmeter.compression.calibrated.input_moments import InputMoments, refuse_infinite
from forgetmeter.errors import ShownWarning

Settle = Callable[[int], Tensor]
"""Returns the final weights of the block's input unit with this index."""

Begin = Callable[[int, Tensor], Settle]
"""Takes the index of a block's first input unit, and the block, ``(input units, output units)``, which changes while
its units are settled."""

_MORE = 10
_LEAST = 1e-4


def curvature(inputs: InputMoments) -> Tensor:
    """Return the Hessian of the squared error of a layer's outputs, divided by its largest element.

    An input unit that is always zero is independent of all others, and its diagonal element is the mean of those of
    the others. If every unit is always zero, as in an expert that no text reaches, all errors are weighted equally and
    none can be compensated for.

    Raises:
        UnusableWeightError: The sums over inputs are not finite.
    """
    products = inputs.products
    assert products is not None, "the method declares that it needs products"
    refuse_infinite(products)
    used = inputs.squares > 0
    if not used.any():
        return torch.eye(len(products), device=products.device)
    hessian = products / products.max()
    diagonal = hessian.diagonal()
    diagonal[~used] = diagonal[used].mean()
    return hessian


def inverse_factor(hessian: Tensor, damp: float) -> Tensor:
    """Return the upper triangular U, with a positive diagonal, for which Uᵀ·U is the inverse of the damped Hessian.

    ``damp`` times the mean of the diagonal is added to the diagonal. If the result is not positive definite within
    float32's precision, ``damp`` is raised tenfold until it is, with a warning.

    Args:
        hessian: As ``curvature`` returns it.
        damp: Damping factor; not negative.
    """
    mean, raised = hessian.diagonal().mean(), damp
    identity = torch.eye(len(hessian), device=hessian.device)
    while True:
        # In reverse order, only the Hessian itself has to be factored, and not its inverse.
        lower, failed = torch.linalg.cholesky_ex((hessian + raised * mean * identity).flip(0, 1))
        if not failed:
            factor = torch.linalg.solve_triangular(lower.flip(0, 1), identity, upper=True)
            if factor.isfinite().all():
                break
        raised = max(_MORE * raised, _LEAST)
    if raised != damp:
        warnings.warn(
            f"the matrix of products of a layer's {len(hessian)} inputs is not positive definite; it was damped by "
            f"{raised:g} instead of {damp:g}",
            ShownWarning,
            stacklevel=2,
        )
    return factor


def compensated(columns: Tensor, factor: Tensor, block_size: int, begin: Begin) -> None:
    """Settle all input units in order, in place; each error changes the later weights of its output unit.

    Weights outside a block change when the block is finished. This does not change results, but is faster.

    Args:
        columns: float32, ``(input units, output units)``.
        factor: As ``inverse_factor`` returns it.
        block_size: Number of input units per block.
        begin: Called at the start of each block.
    """
    for first in range(0, len(columns), block_size):
        block = columns[first : first + block_size].clone()
        last = first + len(block)
        errors, inner = torch.empty_like(block), factor[first:last, first:last]
        steps = inner.diagonal().tolist()
        settle = begin(first, block)
        for at, step in enumerate(steps):
            columns[first + at] = settle(at)
            torch.sub(block[at], columns[first + at], out=errors[at]).div_(step)
            block[at + 1 :].addr_(inner[at, at + 1 :], errors[at], alpha=-1)
        columns[last:].addmm_(factor[first:last, last:].t(), errors, alpha=-1)
