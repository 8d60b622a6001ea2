"""Making several standards in processes of their own."""

from __future__ import annotations

from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import pytest

from forgetmeter.errors import UserError
from forgetmeter.models.family import Family
from forgetmeter.standards import parallel_training
from forgetmeter.standards.parallel_training import make_standards
from forgetmeter.standards.training import Epoch


def fail(family: Family, epoch: Epoch) -> None:
    raise RuntimeError(f"{family} at epoch {epoch.number} of {epoch.of}")


@pytest.mark.slow
def test_a_failure_in_a_process_is_raised_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="decoder at epoch 1 of 60"):
        make_standards(["decoder"], tmp_path, seed=0, workers=2, after_epoch=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_up_front(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another --out"):
        make_standards(["decoder"], tmp_path / "file" / "below", seed=0, workers=1, after_epoch=fail)


def test_standards_are_returned_in_the_order_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, finished = [], []

    def pool(workers, initializer):
        sizes.append(workers)
        return ThreadPool(workers)

    def make(family, out, *, seed, after_epoch, keep):
        assert keep == (1, 2)
        after_epoch(Epoch(1, 1, seed))
        return SimpleNamespace(family=family)

    monkeypatch.setattr(parallel_training.multiprocessing, "get_context", lambda _method: SimpleNamespace(Pool=pool))
    monkeypatch.setattr(parallel_training, "make_standard", make)
    families = ["decoder", "encoder", "encoder-decoder"]
    told_of = finished.append
    made = make_standards(families, tmp_path, seed=4, workers=8, after_epoch=lambda *told: told_of(told), keep=(1, 2))
    assert [each.family for each in made] == families
    assert sizes == [3]
    assert sorted(finished, key=lambda told: told[0]) == [(family, Epoch(1, 1, 4)) for family in families]
