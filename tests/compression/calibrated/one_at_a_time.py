"""Error compensation in float64, one input unit at a time, with the inverse Hessian of those still to come."""

from __future__ import annotations

import torch

from forgetmeter.compression.calibrated.input_moments import InputMoments


def layer(seed=0, *, outputs=12, size=32, positions=80):
    """Return weights and correlated inputs of different sizes."""
    random = torch.Generator().manual_seed(seed)
    mixed = torch.eye(size) + torch.randn(size, size, generator=random) / size**0.5
    inputs = torch.randn(positions, size, generator=random) @ mixed * (0.2 + 2 * torch.rand(size, generator=random))
    return torch.randn(outputs, size, generator=random), inputs


def moments_of(inputs):
    moments = InputMoments(inputs.shape[-1], torch.device("cpu"), has_products=True)
    moments.add(inputs)
    return moments


def damped(inputs, damp=0.01):
    hessian = inputs.double().t() @ inputs.double()
    return hessian + damp * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=torch.float64)


def inverse_from(hessian, place):
    return torch.linalg.inv(hessian[place:, place:])


def settled(weight, hessian, new_values, *, block_size=128):
    """Replace each input unit by ``new_values(place, weights, weights at the start of the block)``."""
    weights = weight.double().clone()
    for place in range(weights.shape[1]):
        if place % block_size == 0:
            at_start = weights.clone()
        inverse = inverse_from(hessian, place)
        new = new_values(place, weights, at_start)
        error = (weights[:, place] - new) / inverse[0, 0]
        weights[:, place] = new
        for later in range(place + 1, weights.shape[1]):
            weights[:, later] -= error * inverse[0, later - place]
    return weights


def output_error(weight, changed, inputs):
    return float(((weight - changed) @ inputs.t()).square().sum())
