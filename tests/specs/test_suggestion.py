"""Suggestions for misspelled names."""

from __future__ import annotations

from forgetmeter.specs.suggestion import did_you_mean, unknown

FAMILIES = ("encoder", "encoder-decoder", "decoder")


def test_the_nearest_name_is_suggested_whatever_its_case() -> None:
    assert did_you_mean("decodr", FAMILIES) == "; did you mean 'decoder'?"
    assert did_you_mean("bear", ["BEAR", "LAMA"]) == "; did you mean 'BEAR'?"
    assert did_you_mean("gguf", FAMILIES) == did_you_mean("decoder", ()) == ""


def test_allowed_names_are_listed_up_to_a_limit() -> None:
    line = unknown("standard", "decodr", FAMILIES)
    assert line == "unknown standard 'decodr'; did you mean 'decoder'? (allowed: encoder, encoder-decoder, decoder)"
    assert unknown("letter", "?", iter("abcdef"), most=4) == "unknown letter '?' (allowed: a, b, c, d and 2 more)"
    assert unknown("letter", "?", ()) == "unknown letter '?' (there are none)"
