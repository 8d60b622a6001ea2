"""Making a standard: complete, reproducible, and never in place of other files.

Covers ``standards.design`` and ``standards.trained_standard``.
"""

from dataclasses import replace

import pytest

from forgetmeter.errors import UserError
from forgetmeter.models.loading import load
from forgetmeter.models.standard import standard_folder
from forgetmeter.standards import making
from forgetmeter.standards.making import check_epochs, check_output_folder, make_standard


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    designs = {family: replace(design, epochs=1, batch_size=512) for family, design in making.DESIGNS.items()}
    monkeypatch.setattr(making, "DESIGNS", designs)


def _nothing(epoch):
    """Ignore the epoch."""


@pytest.mark.slow
def test_a_standard_is_complete_and_replaces_the_previous_one(tmp_path):
    made = make_standard("decoder", tmp_path, seed=0, after_epoch=_nothing)
    assert [path.name for path in tmp_path.iterdir()] == ["decoder"]
    folder = standard_folder("decoder", shipped=tmp_path)
    assert load(f"{folder}").family == "decoder"
    assert made.bytes == (folder / "model.safetensors").stat().st_size
    weights = (folder / "model.safetensors").read_bytes()
    again = make_standard("decoder", tmp_path, seed=0, after_epoch=_nothing)
    assert (folder / "model.safetensors").read_bytes() == weights
    assert (again.known, again.held_out) == (made.known, made.held_out)
    make_standard("decoder", tmp_path, seed=1, after_epoch=_nothing)
    assert (folder / "model.safetensors").read_bytes() != weights
    assert [path.name for path in tmp_path.iterdir()] == ["decoder"]


@pytest.mark.slow
def test_an_interrupted_training_keeps_the_previous_standard(tmp_path):
    make_standard("encoder", tmp_path, seed=0, after_epoch=_nothing)
    before = {path.name: path.read_bytes() for path in (tmp_path / "encoder").iterdir()}

    def interrupt(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_standard("encoder", tmp_path, seed=1, after_epoch=interrupt)
    assert {path.name: path.read_bytes() for path in (tmp_path / "encoder").iterdir()} == before
    with pytest.raises(KeyboardInterrupt):
        make_standard("decoder", tmp_path, seed=1, after_epoch=interrupt)
    assert not (tmp_path / "decoder").exists()


def test_only_standards_are_replaced(tmp_path):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "mine").touch()
    with pytest.raises(UserError, match="is not a standard"):
        check_output_folder(tmp_path, ["encoder"])
    check_output_folder(tmp_path, ["decoder"])


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another --out"):
        check_output_folder(tmp_path / "file" / "below", ["encoder"])


@pytest.mark.slow
def test_the_model_after_an_epoch_is_kept(tmp_path, monkeypatch):
    designs = {family: replace(design, epochs=2) for family, design in making.DESIGNS.items()}
    monkeypatch.setattr(making, "DESIGNS", designs)
    make_standard("decoder", tmp_path / "plain", seed=0, after_epoch=_nothing)
    make_standard("decoder", tmp_path, seed=0, after_epoch=_nothing, keep=(1, 2))
    weights = {
        name: (tmp_path / name / "model.safetensors").read_bytes()
        for name in ("decoder", "decoder-epoch-1", "decoder-epoch-2", "plain/decoder")
    }
    # Keeping a copy changes nothing in the training.
    assert weights["decoder"] == weights["decoder-epoch-2"] == weights["plain/decoder"] != weights["decoder-epoch-1"]
    assert load(f"{tmp_path}/decoder-epoch-1").family == "decoder"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "decoder",
        "decoder-epoch-1",
        "decoder-epoch-2",
        "plain",
    ]


def test_epochs_that_are_not_trained_and_foreign_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="--keep-epochs 2: must be from 1 to 1, the number of epochs"):
        check_epochs(["encoder", "decoder"], [1, 2])
    (tmp_path / "decoder-epoch-1").mkdir()
    with pytest.raises(UserError, match="decoder-epoch-1 already exists and is not a standard"):
        check_output_folder(tmp_path, ["decoder"], [1])
