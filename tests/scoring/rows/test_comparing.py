"""Divergence of two distributions, against float64 and at its limits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from forgetmeter.scoring.rows.comparing import divergences

NEVER = float("-inf")


def divergence(p: Tensor, q: Tensor) -> Tensor:
    return divergences(p, q)[0].double()


def exact(p: Tensor, q: Tensor) -> Tensor:
    log_p, log_q = p.double().log_softmax(1), q.double().log_softmax(1)
    return torch.where(log_p == NEVER, 0.0, log_p.exp() * (log_p - log_q)).sum(1)


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0, 30.0])
def test_it_is_that_of_softmaxes_in_float64(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    p = 8 * torch.randn(20, 49_152, generator=generator)
    q = p + scale * torch.randn(20, 49_152, generator=generator)
    torch.testing.assert_close(divergence(p, q), exact(p, q), rtol=1e-4, atol=1e-11)
    for found, logits in zip(divergences(p, q)[1:], (p, q), strict=True):
        torch.testing.assert_close(found, logits.logsumexp(1))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-200, 200, width=32), st.floats(-200, 200, width=32)), min_size=1, max_size=9))
def test_it_is_never_negative_and_never_nan(pairs: list[tuple[float, float]]) -> None:
    p, q = torch.tensor(pairs).T[:, None]
    found = divergence(p, q)
    assert found.item() >= 0
    torch.testing.assert_close(found, exact(p, q), rtol=1e-4, atol=1e-6)
    assert divergence(p, p).item() == 0


def test_what_is_ruled_out() -> None:
    p, q = torch.tensor([[0.0, 0.0, NEVER]]), torch.tensor([[0.0, 0.0, 0.0]])
    # Two halves against two thirds.
    assert divergence(p, q).item() == pytest.approx(torch.tensor(1.5).log().item())
    assert divergence(p, p).item() == 0
    assert divergence(q, p).item() == float("inf")


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_not_a_number_stays_one(broken: float) -> None:
    p, q = torch.tensor([[0.0, broken]]), torch.zeros(1, 2)
    assert divergence(p, q).isnan().all()
    assert divergence(q, p).isnan().all()
