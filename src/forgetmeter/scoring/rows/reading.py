"""Running a model on a batch and reading log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from forgetmeter.scoring.question import TokenReadings, VocabularyReadings
from forgetmeter.scoring.rows.batch import Batch

Forward = Callable[[PreTrainedModel, Batch], Tensor]
"""Runs a model on a batch; returns its logits, shape ``(rows, length, vocabulary)``."""

TOP = 5
_LOGITS_AT_ONCE = {"cpu": 1 << 22}
_LOGITS_AT_ONCE_ELSEWHERE = 1 << 28
"""Chunk size of float32 copies: larger chunks leave a CPU's caches, smaller ones idle a GPU (docs/results/gpu.md)."""


@dataclass(frozen=True)
class BatchReadings:
    """Results of one batch, with one entry per reading, in order."""

    tokens: TokenReadings
    vocabulary: VocabularyReadings

    def __reduce__(self) -> tuple[Callable[..., BatchReadings], tuple[NDArray[Any], ...]]:
        """Have other processes receive values; torch would send a place in memory, which is lost with its process."""
        values = (*vars(self.tokens).values(), *vars(self.vocabulary).values())
        return _of_arrays, tuple(value.numpy() for value in values)


def _of_arrays(*arrays: NDArray[Any]) -> BatchReadings:
    values = [torch.from_numpy(array) for array in arrays]
    return BatchReadings(TokenReadings(*values[:2]), VocabularyReadings(*values[2:]))


@torch.inference_mode()  # type: ignore[untyped-decorator]
def read(model: PreTrainedModel, batch: Batch, forward: Forward) -> BatchReadings:
    """Run a batch and return its readings.

    A hook selects the wanted positions before the projection onto the vocabulary, so other logits are not computed.
    """
    logits = wanted_logits(model, batch, forward)
    return BatchReadings(_read_tokens(logits, batch), _read_vocabulary(logits, batch))


def wanted_logits(model: PreTrainedModel, batch: Batch, forward: Forward) -> Tensor:
    """Return logits of shape ``(wanted, vocabulary)``."""
    has_read = False

    # Only the head's input is reduced, so that anything the model does to logits afterwards still applies.
    def only_wanted(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal has_read
        has_read = True
        return (inputs[0][batch.rows, batch.places][None], *inputs[1:])

    def only_wanted_outputs(_: nn.Module, __: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        nonlocal has_read
        has_read = True
        return outputs[batch.rows, batch.places][None]

    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module) or isinstance(head, nn.Embedding):
        # The projection is not a module that can be hooked.
        return forward(model, batch)[batch.rows, batch.places]
    if type(head) is nn.Linear:
        hook = head.register_forward_pre_hook(only_wanted)
    else:
        # Other heads, such as dynamic int8, may not process positions independently.
        hook = head.register_forward_hook(only_wanted_outputs)
    try:
        logits = forward(model, batch)
    finally:
        hook.remove()
    # MobileBERT multiplies by its head's weight without calling the head.
    return logits[0] if has_read else logits[batch.rows, batch.places]


def _read_tokens(logits: Tensor, batch: Batch) -> TokenReadings:
    readings = batch.single
    wanted = torch.empty(len(readings.which), dtype=torch.float32, device=logits.device)
    greedy = torch.empty(len(readings.which), dtype=torch.bool, device=logits.device)
    for start, part in _parts(logits):
        here = (readings.which >= start) & (readings.which < start + len(part))
        which, targets = readings.which[here] - start, readings.targets[here]
        wanted[here] = part[which, targets] - part.logsumexp(1)[which]
        # With NaN among the logits, argmax returns its index.
        greedy[here] = (part.argmax(1)[which] == targets) & wanted[here].isfinite()
    return TokenReadings(wanted.cpu().double(), greedy.cpu())


def _read_vocabulary(logits: Tensor, batch: Batch) -> VocabularyReadings:
    readings = batch.vocabulary
    number = min(TOP, logits.shape[1])
    top = torch.empty(len(readings.which), number, dtype=torch.int64, device=logits.device)
    ranks = torch.empty(len(readings.which), dtype=torch.int64, device=logits.device)
    logprobs, others = (torch.empty(len(readings.which), device=logits.device) for _ in range(2))
    for start in range(0, len(readings.which), step := rows_at_once(logits)):
        here = slice(start, start + step)
        rows = logits[readings.which[here]].float()
        targets = readings.targets[here, None]
        right = rows.gather(1, targets)
        total = rows.logsumexp(1)
        best = rows.topk(number)
        top[here] = _first_in_front(best.indices, rows.argmax(1))
        ranks[here] = _ranks(rows, targets, right)
        logprobs[here] = right[:, 0] - total
        first_other = torch.where(best.indices[:, :1] == targets, best.values[:, 1:2], best.values[:, :1])
        others[here] = first_other[:, 0] - total
    return VocabularyReadings(top.cpu(), ranks.cpu(), logprobs.cpu().double(), others.cpu().double())


def _ranks(rows: Tensor, targets: Tensor, right: Tensor) -> Tensor:
    """Return the 1-based rank of each target, ties broken by vocabulary order."""
    larger = (rows > right).sum(1)
    tied = ((rows >= right).sum(1) - larger > 1).nonzero().view(-1)
    if len(tied):
        before = torch.arange(rows.shape[1], device=rows.device) < targets[tied]
        larger[tied] += ((rows[tied] == right[tied]) & before).sum(1)
    return 1 + larger


def _first_in_front(top: Tensor, first: Tensor) -> Tensor:
    """Move the first of the likeliest tokens to the front, which ``topk`` does not guarantee."""
    for row in (top[:, 0] != first).nonzero().view(-1).tolist():
        others = top[row][top[row] != first[row]]
        top[row] = torch.cat([first[row : row + 1], others])[: top.shape[1]]
    return top


def _parts(logits: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield chunks of the logits in float32, each with the index of its first row."""
    for start in range(0, len(logits), step := rows_at_once(logits)):
        yield start, logits[start : start + step].float()


def rows_at_once(logits: Tensor) -> int:
    """Return the number of rows of logits to copy to float32 at once."""
    most = _LOGITS_AT_ONCE.get(logits.device.type, _LOGITS_AT_ONCE_ELSEWHERE)
    return max(1, most // int(logits.shape[-1]))
