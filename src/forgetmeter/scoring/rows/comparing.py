"""Running two models on a batch, and comparing their predictions of its tokens."""

from __future__ import annotations

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
    total_p, total_q = p.logsumexp(1), q.logsumexp(1)
    return divergences(p, q, total_p, total_q), p.argmax(1) == q.argmax(1), total_p, total_q


def divergences(p: Tensor, q: Tensor, total_p: Tensor, total_q: Tensor) -> Tensor:
    """Return KL(p ‖ q) in nats for each pair of distributions, shape ``(distributions,)``; never negative.

    It is the sum of q - p + p (ln p - ln q) over the vocabulary, in which no term is negative. Summed without
    q - p, whose sum is zero, an error in either ``logsumexp`` would be an error of the result; here, only its square
    is (docs/decisions/032-divergence.md). Where the models' outputs differ in width, as by padding, the extra outputs
    of the wider one are left out.

    Args:
        p: Logits, float32, shape ``(distributions, vocabulary)``.
        q: Logits to compare with, same number of distributions.
        total_p: ``logsumexp`` of ``p``.
        total_q: ``logsumexp`` of ``q``.
    """
    width = min(p.shape[1], q.shape[1])
    total_p, total_q = (
        total if logits.shape[1] == width else logits[:, :width].logsumexp(1)
        for logits, total in ((p, total_p), (q, total_q))
    )
    log_p, log_q = p[:, :width] - total_p[:, None], q[:, :width] - total_q[:, None]
    p, difference = log_p.exp(), log_p - log_q
    # For similar probabilities, q - p would lose their difference.
    similar = torch.expm1(-difference).add_(difference).mul_(p)
    # What the baseline rules out has p = 0, and 0 ln 0 = 0.
    different = log_q.exp_().sub_(p).add_(torch.where(p == 0, 0.0, p * difference))
    return torch.where(difference.abs() < 1, similar, different).sum(1).clamp_(min=0)


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
