"""Short training of a compressed model towards what the original one predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.func import functional_call
from torch.nn.functional import kl_div, log_softmax

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.calibrated.activations import Activations
from forgetmeter.compression.calibrated.blanks import Blanks
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.surgery.installation import (
    installed,
    name_in_each_module,
    names_to_change,
    parameter_values,
    tied_heads,
)
from forgetmeter.models.roles.weight_map import names_of_shared

_TOKENS_PER_STEP = 1024
"""Most tokens per step, or a single sequence: the predictions of a large vocabulary take most of the memory."""
_LARGEST_NORM = 1.0


@dataclass(frozen=True)
class Training:
    """Settings of the training.

    Attributes:
        rank: Rank of the adapters.
        steps: Number of steps.
        learning_rate: AdamW's learning rate at the first step; it falls linearly to 0.
        seed: Seed of the adapters, the order of texts and the masked tokens.
    """

    rank: int
    steps: int
    learning_rate: float
    seed: int


def distilled(activations: Activations, units: Sequence[Unit], training: Training) -> Iterator[Weight]:
    """Train low-rank adapters of units, and yield each unit's new weight.

    The loss is the mean Kullback-Leibler divergence from the original's predictions, in nats per token, on the
    calibration texts with blanks (``Blanks``). Weights that are zero stay zero, and weights that get no gradient, such
    as those of an indexer that selects tokens, stay as they are.

    Args:
        activations: The model after the earlier steps, with texts.
        units: The weights to train, as the earlier steps left them.
        training: The settings.

    Raises:
        UnusableWeightError: The loss is NaN or infinite, or has no gradient.
    """
    random = Generator().manual_seed(training.seed)
    adapters = [_Adapter(unit, training.rank, random, activations) for unit in units]
    names = _names(activations, adapters)
    trained = [factor for adapter in adapters for factor in (adapter.up, adapter.down)]
    with torch.inference_mode(mode=False), torch.enable_grad():
        optimizer = torch.optim.AdamW(trained, lr=training.learning_rate, weight_decay=0.0)
        batches = _batches(activations.calibration, random)
        blanks = Blanks() if activations.tokenizer is None else Blanks.of(activations.tokenizer)
        for step in range(training.steps):
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * (1 - step / training.steps)
            loss = _loss(activations, adapters, names, *blanks.put_in(next(batches), random))
            if not bool(loss.isfinite()):
                raise UnusableWeightError(
                    f"cannot be trained: the loss of step {step + 1} is {loss.item()}; lower learning_rate"
                )
            if not loss.requires_grad:
                raise UnusableWeightError("cannot be trained: the predictions pass no gradient to it")
            for factor, gradient in zip(trained, torch.autograd.grad(loss, trained, allow_unused=True), strict=True):
                factor.grad = gradient
            torch.nn.utils.clip_grad_norm_(trained, _LARGEST_NORM)
            optimizer.step()
    for adapter in adapters:
        with torch.no_grad():
            weight = adapter.trained().weight
        yield weight


class _Adapter:
    """The values of a unit plus the product of two trained factors, where the values are not zero.

    Attributes:
        name: The parameter's name in the model.
        matrices: The matrices of the unit.
        up: ``(…, output units, rank)``, zero at first; float32.
        down: ``(…, rank, input units)``, random; float32.
    """

    def __init__(self, unit: Unit, rank: int, random: Generator, activations: Activations) -> None:
        self._unit, self.matrices = unit, unit.matrices
        self.name = f"{activations.module_of(unit)}.{unit.parameter.rpartition('.')[2]}"
        # What inference mode made could not be saved for the gradients.
        self._values = unit.weight.values().clone()
        *experts, outputs, inputs = unit.outputs_first().shape
        device = self._values.device
        self.up = torch.zeros(*experts, outputs, rank, device=device, requires_grad=True)
        self.down = torch.randn(*experts, rank, inputs, generator=random).mul_(inputs**-0.5).to(device)
        self.down.requires_grad_()

    def trained(self) -> Unit:
        """Return the unit with its new values."""
        change = self._unit.turned(self.up @ self.down) * (self._values != 0)
        return replace(self._unit, weight=self._unit.weight.rewritten(self._values.float() + change))


def _names(activations: Activations, adapters: Sequence[_Adapter]) -> dict[str, list[str]]:
    """Return the names under which each trained parameter is replaced, one for each module that holds it."""
    model = activations.model
    heads = tied_heads(matrix for adapter in adapters for matrix in adapter.matrices)
    with installed(model, activations.earlier):
        shared = names_of_shared(model)
        return {
            each.name: [*name_in_each_module(model, names_to_change(shared, each.name, heads)).values()]
            for each in adapters
        }


def _loss(
    activations: Activations,
    adapters: Sequence[_Adapter],
    names: Mapping[str, Sequence[str]],
    inputs: Mapping[str, Tensor],
    asked: Tensor,
) -> Tensor:
    model = activations.model
    units: dict[str, list[Unit]] = {}
    for adapter in adapters:
        units.setdefault(adapter.name, []).append(adapter.trained())
    call, asked = {name: ids.to(model.device) for name, ids in inputs.items()}, asked.to(model.device)
    with torch.no_grad():
        wanted = log_softmax(model(**call).logits[asked].float(), dim=-1)
    with installed(model, activations.earlier):
        changed: dict[str, Tensor] = {}
        for name, some in units.items():
            changed |= dict.fromkeys(names[name], parameter_values(model.get_parameter(name).detach(), some))
        # The names say which layers share a weight: a tied head that is trained leaves the embedding as it is.
        logits = functional_call(model, changed, kwargs=call, tie_weights=False).logits[asked]
    return kl_div(log_softmax(logits.float(), dim=-1), wanted, log_target=True, reduction="batchmean")


def _batches(calls: Sequence[Mapping[str, Tensor]], random: Generator) -> Iterator[Mapping[str, Tensor]]:
    """Yield batches of sequences of equal length, without end; each pass is in an order of its own."""
    while True:
        batches = [
            {name: ids[rows] for name, ids in call.items()}
            for call in calls
            for rows in torch.randperm(len(call["input_ids"]), generator=random).split(
                max(1, _TOKENS_PER_STEP // call["input_ids"].shape[1])
            )
        ]
        for place in torch.randperm(len(batches), generator=random).tolist():
            yield batches[place]
