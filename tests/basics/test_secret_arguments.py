"""Arguments of models that must not be stored."""

from __future__ import annotations

import pytest

from forgetmeter.basics.secret_arguments import is_secret


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "s") for name in ("token", "hf_token", "access_token", "use_auth_token", "api_key", "OPENAI_API_KEY")),
        *((name, "s") for name in ("apikey", "key", "client_secret", "Password", "credentials", "header", "headers")),
        ("base_url", "https://me:word@example.org/v1"),
        ("base_url", "https://example.org/v1?code=s"),
    ],
)
def test_secrets(name: str, value: str) -> None:
    assert is_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "1") for name in ("tokenizer", "add_bos_token", "eos_token", "think_end_token", "max_tokens")),
        *((name, "1") for name in ("custom_prefix_token_id", "tokenized_requests", "use_fast_tokenizer", "keys_only")),
        ("base_url", "http://127.0.0.1:8000/v1/completions"),
    ],
)
def test_other_arguments_are_stored(name: str, value: str) -> None:
    assert not is_secret(name, value)
