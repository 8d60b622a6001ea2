"""Running two models on a batch, and comparing their predictions of its tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.scoring.batch_invariance.limits import Sharing
from forgetmeter.scoring.rows.batch import Batch
from forgetmeter.scoring.rows.reading import Forward, rows_at_once, wanted_logits

_COPIES = 8
"""About how many float32 arrays of the size of the logits a comparison works on; they should stay in a CPU's caches."""

_LARGEST = 80.0
"""Logarithm of the largest ratio of probabilities that float32 can hold, less a margin."""


@dataclass(frozen=True)
class ComparedTokens:
    """Comparison of two models at single tokens, each of shape ``(slots,)``; see ``ComparedAnswer``.

    Attributes:
        divergences: In nats, float64.
        agreements: Bool.
        logprobs: In nats, float64.
        baseline_logprobs: In nats, float64.
    """

    divergences: Tensor
    agreements: Tensor
    logprobs: Tensor
    baseline_logprobs: Tensor


@torch.inference_mode()  # type: ignore[untyped-decorator]
def compare(model: PreTrainedModel, baseline: PreTrainedModel, batch: Batch, forward: Forward) -> ComparedTokens:
    """Run two models on a batch and compare their predictions of its single tokens, with one entry per reading."""
    return _compared(wanted_logits(model, batch, forward), wanted_logits(baseline, batch, forward), batch)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def compare_with_itself(model: PreTrainedModel, batch: Batch, forward: Forward, sharing: Sharing) -> ComparedTokens:
    """Compare a model's predictions with its own in batches of another shape.

    Each row of the batch is read alone, or twice if it is the only one, as far as ``sharing`` allows.
    """
    # Distributions are in the order of the rows.
    apart = torch.cat([wanted_logits(model, row, forward)[:number] for row, number in _rows_of(batch, sharing)])
    return _compared(wanted_logits(model, batch, forward), apart, batch)


def _compared(logits: Tensor, baseline: Tensor, batch: Batch) -> ComparedTokens:
    step = max(1, min(rows_at_once(logits), rows_at_once(baseline)) // _COPIES)
    chunks = zip(baseline.split(step), logits.split(step), strict=True)
    found = [_compared_distributions(p.float(), q.float()) for p, q in chunks]
    divergence, agrees, total_p, total_q = map(torch.cat, zip(*found, strict=True))
    which, targets = batch.single.which, batch.single.targets
    return ComparedTokens(
        divergences=divergence[which].cpu().double(),
        agreements=agrees[which].cpu(),
        logprobs=(logits[which, targets].float() - total_q[which]).cpu().double(),
        baseline_logprobs=(baseline[which, targets].float() - total_p[which]).cpu().double(),
    )


def _compared_distributions(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return divergences, agreement, and the ``logsumexp`` of both."""
    agrees, width = p.argmax(1) == q.argmax(1), min(p.shape[1], q.shape[1])
    divergence, total_p, total_q = divergences(p[:, :width], q[:, :width])
    if p.shape[1] != q.shape[1]:
        # Outputs that only one model has, such as padding, count in its own perplexity.
        total_p, total_q = p.logsumexp(1), q.logsumexp(1)
    return divergence, agrees, total_p, total_q


def divergences(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return KL(p ‖ q) in nats for each pair of distributions, and the ``logsumexp`` of ``p`` and of ``q``.

    The divergence is the sum of q - p - p ln (q / p) over the vocabulary, in which no term is negative. Summed without
    q - p, whose sum is zero, an error in either ``logsumexp`` would be an error of the result; here, only its square is
    (docs/decisions/032-divergence.md).

    Args:
        p: Logits, float32, shape ``(distributions, vocabulary)``.
        q: Logits to compare with, same shape.
    """
    highest = p.amax(1, keepdim=True)
    weights = (p - highest).exp_()
    mass = weights.sum(1)
    total_p, total_q = highest[:, 0] + mass.log(), q.logsumexp(1)
    log_ratio = (q - p).add_((total_p - total_q)[:, None])
    low, high = log_ratio.aminmax()
    if low > -math.inf and high < _LARGEST:
        terms = torch.expm1(log_ratio).sub_(log_ratio).mul_(weights)
        return terms.sum(1).div_(mass).clamp_(min=0), total_p, total_q
    return _extreme(weights / mass[:, None], (q - total_q[:, None]).exp_(), log_ratio), total_p, total_q


def _extreme(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    """Return the divergences of distributions some of whose ratios are infinite, too large for ``exp`` or NaN."""
    # For similar probabilities, q - p would lose their difference.
    similar = torch.expm1(log_ratio).sub_(log_ratio).mul_(p)
    # What the baseline rules out has p = 0, and 0 ln 0 = 0.
    different = q.sub_(p).sub_(torch.where(p == 0, 0.0, p * log_ratio))
    return torch.where(log_ratio.abs() < 1, similar, different).sum(1).clamp_(min=0)


def _rows_of(batch: Batch, sharing: Sharing) -> Iterator[tuple[Batch, int]]:
    """Yield each row as a batch, with the number of its distributions."""
    for row, tokens in enumerate(batch.tokens):
        places = batch.places[batch.rows == row]
        length = len(tokens) if batch.mask is None else int(batch.mask[row].sum())
        is_twice = len(batch.tokens) == 1 and sharing.allows(length, length)
        copies = [row, row] if is_twice else [row]
        yield (
            replace(
                batch,
                tokens=batch.tokens[copies, :length],
                mask=None,
                positions=None if batch.positions is None else batch.positions[copies, :length],
                visible=None if batch.visible is None else batch.visible[copies, :, :length, :length],
                rows=torch.zeros_like(places),
                places=places,
            ),
            len(places),
        )
