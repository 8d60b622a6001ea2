"""How many threads a model is computed by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

_SMALL = 5_000_000
"""Parameters below which sharing a matrix product costs more than it saves (docs/decisions/014-threads.md)."""


@contextmanager
def threads_for(model: PreTrainedModel) -> Iterator[None]:
    """Compute by one thread while a small model is at work, by as many as torch has for any other."""
    before = torch.get_num_threads()
    if model.num_parameters() < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
