"""Error compensation in float64, one input unit at a time, with the inverse Hessian of those still to come."""

from __future__ import annotations

import copy
import re

import torch
from torch import nn

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


def one_block_at_a_time(model, calls, change):
    """Return a copy of a Llama whose blocks' layers were changed one block after the other, by whole runs of the model.

    Args:
        change: Takes a layer's weights and all its inputs.
    """
    model = copy.deepcopy(model)
    for block in model.model.layers:
        layers = [module for module in block.modules() if isinstance(module, nn.Linear)]
        given = {module: [] for module in layers}

        def note(module, args, given=given):
            given[module].append(args[0].flatten(0, -2))

        hooks = [module.register_forward_pre_hook(note) for module in layers]
        with torch.inference_mode():
            for call in calls:
                model(**call)
        for hook in hooks:
            hook.remove()
        for module in layers:
            module.weight.data = change(module.weight.detach(), torch.cat(given[module]).clone()).float()
    return model


def assert_same_layers(found, expected):
    names = [name for name, _ in expected.named_parameters() if re.search(r"_proj\.weight$", name)]
    assert len(names) > 7
    for name in names:
        values = found.get_parameter(name)
        torch.testing.assert_close(values, expected.get_parameter(name), rtol=1e-3, atol=1e-4, msg=name)
        assert torch.equal(values == 0, expected.get_parameter(name) == 0), name
