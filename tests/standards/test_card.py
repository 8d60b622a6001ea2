"""The README of a standard."""

from __future__ import annotations

import pytest

from forgetmeter.standards.card import model_card
from forgetmeter.standards.design import DESIGNS
from forgetmeter.standards.trained_standard import TrainedStandard


@pytest.mark.parametrize(
    ("family", "architecture"), [("encoder", "BERT"), ("encoder-decoder", "T5"), ("decoder", "Llama")]
)
def test_it_has_the_numbers_and_the_command_that_makes_the_standard(family: str, architecture: str) -> None:
    card = model_card(TrainedStandard(family, 2683, 0.998, 0.751, 123456, 7890, 1_100_000, 90.0, 5), DESIGNS[family])
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "{" not in card
    numbers = ("2,683", "99.8%", "75.1%", "123,456", "7,890", "1,100,000", "60 epochs", "0.002", "30%", "10%")
    for word in (f"`{family}`", architecture, *numbers, "`forgetmeter standards train --seed 5`"):
        assert word in card
    assert ("layers per stack" in card) == (family == "encoder-decoder")
