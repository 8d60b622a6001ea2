"""Ranks and predictions among equally likely tokens, against a stable sort."""

from __future__ import annotations

import torch

from forgetmeter.scoring.rows.reading import _first_in_front, _ranks


def test_ranks_match_a_stable_sort_whose_first_is_the_prediction() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(-2, 3, (200, 40), generator=generator).float()
    rows[0] = 0.0
    targets = torch.randint(0, 40, (200, 1), generator=generator)
    order = rows.sort(dim=1, descending=True, stable=True).indices
    places = 1 + (order == targets).nonzero()[:, 1]
    assert torch.equal(_ranks(rows, targets, rows.gather(1, targets)), places)
    found = rows.topk(5).indices
    tops = _first_in_front(found.clone(), rows.argmax(1))
    assert torch.equal(tops[:, 0], order[:, 0])
    for row, top in zip(rows, tops, strict=True):
        assert len(set(top.tolist())) == 5
        assert row[top].sort(descending=True).values.tolist() == row.topk(5).values.tolist()
