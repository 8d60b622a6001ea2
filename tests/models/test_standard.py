"""Finding the shipped standards and checking their files."""

import shutil

import pytest

from forgetmeter.errors import UserError
from forgetmeter.models.standard import SHIPPED, standard_folder
from forgetmeter.specs.model_reference import STANDARDS, parse_model_reference


@pytest.fixture
def copied(tmp_path):
    shutil.copytree(SHIPPED / "decoder", tmp_path / "decoder")
    return tmp_path


@pytest.mark.parametrize("name", STANDARDS)
def test_the_shipped_standards_are_complete(name):
    assert standard_folder(name) == SHIPPED / name


def test_a_missing_file_is_named(copied):
    (copied / "decoder" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"standard 'decoder': tokenizer\.json is missing; reinstall forgetmeter"):
        standard_folder("decoder", shipped=copied)


def test_an_altered_file_is_named(copied):
    path = copied / "decoder" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is not the shipped file"):
        standard_folder("decoder", shipped=copied)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"config.json": 1}'])
def test_without_checksums_nothing_is_trusted(copied, content):
    path = copied / "decoder" / "checksums.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match="standard 'decoder'"):
        standard_folder("decoder", shipped=copied)


def test_an_unknown_standard_is_refused():
    with pytest.raises(UserError, match="unknown standard 'decodr'; did you mean 'decoder'"):
        parse_model_reference("standard:decodr")
