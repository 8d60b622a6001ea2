"""Questions that a model answers by generating text, and the generated texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_MAX_TOKENS = 256
"""As in lm-evaluation-harness."""
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of the same setting in lm-evaluation-harness (``normalize_gen_kwargs``, 0.4.13); the first one given counts."""
_WITHOUT_EFFECT = ("temperature", "top_p", "top_k")
"""Settings of sampling, which change nothing if nothing is sampled."""


@dataclass(frozen=True)
class Generation:
    """Asks for the text after a context, written greedily: each token is the most likely one.

    Attributes:
        context: The text before.
        arguments: Settings of lm-evaluation-harness, as in a task's ``generation_kwargs``.
    """

    context: str
    arguments: Mapping[str, Any]

    @property
    def until(self) -> tuple[str, ...]:
        """Stop strings: the answer ends at the first that occurs, or at the end of the sequence."""
        until = self.arguments.get("until", ())
        return (until,) if isinstance(until, str) else tuple(until)

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens in the answer."""
        return int(next((self.arguments[name] for name in _given(self.arguments)), DEFAULT_MAX_TOKENS))

    @property
    def problem(self) -> str | None:
        """Why these settings are not supported; ``None`` if they are."""
        arguments, until = self.arguments, self.arguments.get("until", ())
        if arguments.get("do_sample") or (arguments.get("do_sample") is None and arguments.get("temperature")):
            name = "do_sample" if arguments.get("do_sample") else "temperature"
            return (
                f"{name} is {arguments[name]!r}, which samples at random; only greedy generation is supported: "
                "set do_sample: false"
            )
        for name in _given(arguments):
            if type(arguments[name]) is not int or arguments[name] < 1:
                return f"{name} is {arguments[name]!r}, which is not a positive integer"
        listed = [until] if isinstance(until, str) else until
        if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
            return f"until is {until!r}, which is not text or a list of texts"
        if not all(listed):
            return "until has an empty text, which would end every answer at its first token; remove it"
        known = ("until", "do_sample", *_LENGTHS, *_WITHOUT_EFFECT)
        # A single beam is greedy.
        strange = [name for name in arguments if name not in known and (name, arguments[name]) != ("num_beams", 1)]
        if strange:
            return f"{strange[0]} is not supported (supported: {', '.join(known)}); remove it"
        return None


def before_ends(text: str, ends: Iterable[str]) -> str:
    """Return a text before the first of its ends; empty ends are ignored."""
    # In order, as lm-eval does, though the result does not depend on it.
    for end in filter(None, ends):
        text = text.partition(end)[0]
    return text


def _given(arguments: Mapping[str, Any]) -> list[str]:
    return [name for name in _LENGTHS if arguments.get(name) is not None]


@dataclass(frozen=True)
class GeneratedText:
    """A model's answer to a ``Generation``.

    Attributes:
        text: The text before the first of the texts that end it.
        is_number: Whether the logits of all its tokens were numbers.
        tokens: Number of tokens that the model wrote; 0 if unknown.
    """

    text: str
    is_number: bool = True
    tokens: int = 0
