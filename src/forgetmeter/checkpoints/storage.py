"""How the tensors of a compressed model are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from forgetmeter.checkpoints.outputs import Output
from forgetmeter.checkpoints.writer import CheckpointWriter
from forgetmeter.compression.installation import parameter_values
from forgetmeter.compression.unit import Unit


class Storage(Protocol):
    """A way of storing tensors."""

    def put(self, output: Output, old: Tensor, units: Sequence[Unit]) -> None:
        """Store a parameter that was compressed.

        Args:
            output: Its names.
            old: What it held before.
            units: What it holds now; where these are parts of it, the others are as before.
        """
        ...

    def copy(self, output: Output, tensor: Tensor) -> None:
        """Store a tensor that is as it was."""
        ...


class DenseStorage:
    """Plain tensors, as ``from_pretrained`` reads them with nothing else installed."""

    def __init__(self, writer: CheckpointWriter) -> None:
        """Take what writes them."""
        self._writer = writer

    def put(self, output: Output, old: Tensor, units: Sequence[Unit]) -> None:
        """Store the values that the weights stand for, in the parameter's dtype."""
        self._writer.append(output.name, parameter_values(old, units))

    def copy(self, output: Output, tensor: Tensor) -> None:
        """Store it."""
        self._writer.append(output.name, tensor)
