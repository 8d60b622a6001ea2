"""The number of tokens a model reads, from its configuration or its tokenizer.

Covers ``scoring.batch_invariance.limits``.
"""

from __future__ import annotations

from typing import Any

import pytest
from tiny_models import make_llama, make_tokenizer

from forgetmeter.errors import UserError
from forgetmeter.scoring.batch_invariance.limits import max_length

UNLIMITED = 2048
"""What is read if nothing sets a limit: lm-evaluation-harness's default."""


def longest(*, tokenizer_says: Any, **config_says: Any) -> int:
    model, tokenizer = make_llama(), make_tokenizer()
    vars(model.config).update({"max_position_embeddings": 0} | config_says)
    tokenizer.model_max_length = tokenizer_says
    return max_length(model, tokenizer, "m")


@pytest.mark.parametrize(
    ("said", "expected"), [(64, 64), (64.0, 64), (1, 1), (int(1e30), UNLIMITED), (1e30, UNLIMITED)]
)
def test_without_a_limit_of_the_model_its_tokenizer_has_one(said: Any, expected: int) -> None:
    assert longest(tokenizer_says=said) == expected


@pytest.mark.parametrize("said", [-1, 0, "x", "512", 2.5, [3], True, None, float("nan"), float("inf")])
def test_a_length_that_is_not_a_number_of_tokens_is_refused(said: Any) -> None:
    with pytest.raises(UserError, match=r"^model 'm': model_max_length in tokenizer_config.json is .* not a number of"):
        longest(tokenizer_says=said)
    # It is not used if the model has a limit of its own.
    assert longest(tokenizer_says=said, max_position_embeddings=128) == 128


@pytest.mark.parametrize("said", ["x", 2.5, [3], -7])
def test_a_setting_that_is_not_a_number_of_tokens_is_refused(said: Any) -> None:
    with pytest.raises(UserError, match=r"^model 'm': n_ctx in config.json is .* not a number of tokens"):
        longest(tokenizer_says=64, n_ctx=said)


@pytest.mark.parametrize("none", [None, 0, -1])
def test_a_configuration_may_set_no_limit(none: int | None) -> None:
    assert longest(tokenizer_says=64, max_position_embeddings=none, n_ctx=none) == 64
