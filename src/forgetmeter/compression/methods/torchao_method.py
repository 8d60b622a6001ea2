"""The base class of torchao's methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError, refuse_not_finite
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.ranges import count
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix

INSTALL = "pip install 'forgetmeter[torchao]'"


@dataclass(frozen=True)
class TorchaoMethod(MatrixMethod):
    """A method that quantizes whole linear layers by torchao."""

    def problems(
        self, matrices: Sequence[Matrix], level: Level | None, options: Options, *, model: Sequence[Matrix]
    ) -> Iterator[str]:
        """Report that torchao is missing, that a layer is selected in part, or what the method's own check finds."""
        name = self.declaration.name
        if find_spec("torchao") is None:
            yield f"{name} needs the package torchao: {INSTALL}"
        for matrix in matrices:
            chosen, whole = (
                sum(count(each.ranges) for each in some if each.parameter == matrix.parameter)
                for some in (matrices, model)
            )
            if chosen != whole:
                yield (
                    f"{name} quantizes whole layers, and the scope selects only part of {matrix.parameter}; "
                    "choose attention"
                )
                break
        yield from super().problems(matrices, level, options, model=model)


def quantized_by_torchao(weight: Weight, config: Callable[[], Any]) -> Tensor:
    """Return a linear layer's weight, ``(output units, input units)``, quantized by ``torchao.quantization.quantize_``.

    Raises:
        UnusableWeightError: The weights are not finite, or not on a CPU (other devices are untested).
    """
    from torchao.quantization import quantize_

    values = weight.values().detach()
    refuse_not_finite(values, "quantized")
    if values.device.type != "cpu":
        raise UnusableWeightError(f"is on {values.device}; torchao's kernels support CPUs only; use device cpu")
    layer = nn.Linear(values.shape[1], values.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(values.contiguous(), requires_grad=False)
    holder = nn.Sequential(layer)
    quantize_(holder, config())
    quantized: Tensor = holder[0].weight.detach()
    return quantized
