"""``forgetmeter standards train``, without the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.cli.commands.standards_command import print_epoch, train_command
from forgetmeter.errors import UserError
from forgetmeter.standards import parallel_training
from forgetmeter.standards.trained_standard import TrainedStandard
from forgetmeter.standards.training import Epoch


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list:
    seen = []

    def make(families, out, *, seed, workers, after_epoch, keep):
        seen.append((families, out, seed, workers, keep))
        return [TrainedStandard(family, 2683, 0.998, 0.751, 123456, 7890, 1_100_000, 90.0, seed) for family in families]

    monkeypatch.setattr(parallel_training, "make_standards", make)
    return seen


def test_what_was_made_is_shown(requests: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_command(out=tmp_path, only="decoder, encoder", seed=3, workers=2, keep_epochs="5, 20")
    assert requests == [(("encoder", "decoder"), tmp_path, 3, 2, (5, 20))]
    printed = capsys.readouterr().out
    for word in ("2,683", "99.8%", "75.1%", "123,456", "1.10", "1.5", f"--model {tmp_path / 'encoder'}"):
        assert word in printed


def test_all_standards_are_made_by_default(requests: list, tmp_path: Path) -> None:
    train_command(out=tmp_path, only=None, seed=0, workers=None)
    assert requests[0][0] == ("encoder", "encoder-decoder", "decoder")
    assert requests[0][3] >= 1


def test_an_unknown_standard_is_refused(requests: list, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'decodr'; did you mean 'decoder'"):
        train_command(out=tmp_path, only="encoder,decodr", seed=0, workers=1)
    assert requests == []


@pytest.mark.parametrize(("epochs", "lines"), [(60, 6), (4, 4), (7, 7)])
def test_some_epochs_are_reported_and_the_last_one(epochs: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, epochs + 1):
        print_epoch("decoder", Epoch(number, epochs, 1 / number))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert said[-1] == f"decoder: epoch {epochs} of {epochs}, loss {1 / epochs:.3f}"
