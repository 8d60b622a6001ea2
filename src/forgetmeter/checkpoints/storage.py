"""How the tensors of a compressed model are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from torch import Tensor

from forgetmeter.checkpoints.outputs import Output
from forgetmeter.checkpoints.writer import CheckpointWriter
from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.surgery.installation import parameter_values


class Storage(Protocol):
    """A way of storing tensors."""

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store a parameter that was compressed.

        Args:
            output: Its names.
            old: What it held before.
            units: What it holds now; where these are parts of it, the others are as before.
            writer: Writes tensors.
        """
        ...

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store a tensor that is as it was."""
        ...

    def names(self, outputs: Iterable[Output]) -> Iterable[str]:
        """Return all names that tensors may get, or more."""
        ...

    def quantization_config(self) -> dict[str, Any] | None:
        """Say what readers have to know, once all is stored: an entry of the model's configuration."""
        ...


class DenseStorage:
    """Plain tensors, as ``from_pretrained`` reads them with nothing else installed."""

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store the values that the weights stand for, in the parameter's dtype.

        What was cast to 16 bits is stored so; it is read in the dtype that the configuration names.
        """
        weight = units[0].weight
        is_kept = len(units) == 1 and weight.keeps_dtype and weight.shape == tuple(old.shape)
        writer.append(output.name, weight.values() if is_kept else parameter_values(old, units))

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store it."""
        writer.append(output.name, tensor)

    def names(self, outputs: Iterable[Output]) -> Iterable[str]:
        """Return one name a tensor."""
        return [output.name for output in outputs]

    def quantization_config(self) -> None:
        """Return nothing: plain tensors explain themselves."""
