"""Checks on every answer of an endpoint, added to lm-evaluation-harness's classes for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from forgetmeter.engines.answer_problems import EngineAnswerError

_SPACES = "Ġ▁Ċ \t\n"
"""White space, as tokens are written in vocabularies."""


class Endpoint:
    """Mixed into a subclass of lm-evaluation-harness's ``TemplateAPI`` (0.4.13)."""

    async def get_batched_requests(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Send requests at the same time."""
        # If an endpoint dies, many fail at once. One is reported; asyncio would print the others whenever they are
        # collected.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        return await super().get_batched_requests(*arguments, **options)  # type: ignore[misc]


class CompletionsEndpoint(Endpoint):
    """An endpoint that speaks the completions protocol, mixed into ``LocalCompletionsAPI``.

    lm-evaluation-harness takes the log-probabilities from the places where they should be. An endpoint that reads other
    tokens than were sent, or not all of them, would give those of others, without an error.
    """

    tokenizer: Any
    tokenizer_backend: str | None

    def parse_logprobs(
        self,
        outputs: Any,  # noqa: ANN401
        tokens: Sequence[Sequence[int]] = (),
        ctxlens: Sequence[int] = (),
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return the log-likelihoods in an answer of the endpoint.

        Args:
            outputs: The endpoint's answer.
            tokens: Token ids of each request.
            ctxlens: Number of those that are not scored.

        Raises:
            EngineAnswerError: It does not list the log-probability of each of the tokens.
        """
        for choice, ids in zip(_choices(outputs, len(tokens)), tokens, strict=True):
            self._check(choice.get("logprobs"), ids)
        return super().parse_logprobs(outputs=outputs, tokens=tokens, ctxlens=ctxlens, **options)  # type: ignore[misc]

    def parse_generations(self, outputs: Any, contexts: Sequence[str] | None = None, **options: Any) -> Any:  # noqa: ANN401
        """Return the texts in an answer of the endpoint.

        Raises:
            EngineAnswerError: It has none.
        """
        for choice in _choices(outputs, None if contexts is None else len(contexts)):
            if not isinstance(choice.get("text"), str):
                raise EngineAnswerError(
                    f"it returned {choice.get('text')!r:.60}, which is not a text; check that base_url ends with "
                    "/v1/completions"
                )
        return super().parse_generations(outputs=outputs, contexts=contexts, **options)  # type: ignore[misc]

    def _check(self, logprobs: Any, ids: Sequence[int]) -> None:  # noqa: ANN401
        listed, tops = (_list(logprobs, name) for name in ("token_logprobs", "top_logprobs"))
        if not listed:
            raise EngineAnswerError("it gives no log-probabilities")
        if len(listed) != len(ids) + 1:
            raise EngineAnswerError(
                f"it returned {len(listed)} log-probabilities for {len(ids)} prompt tokens and one generated token; it "
                "truncates texts (see its maximum length), adds tokens, or returns none for the prompt (echo)"
            )
        # The first token has none, and what was written is not scored.
        if not all(isinstance(value, int | float) for value in listed[1:-1]):
            raise EngineAnswerError(
                "it gives no log-probabilities for some tokens of a text; use a server that returns them for the "
                "prompt (echo)"
            )
        if len(tops) != len(listed) or not all(isinstance(top, Mapping) and top for top in tops[1:-1]):
            raise EngineAnswerError("it does not list the most likely token at each position (top_logprobs)")
        if self.tokenizer_backend == "huggingface":
            self._compare_tokens(_list(logprobs, "tokens"), ids)

    def _compare_tokens(self, listed: Sequence[Any], ids: Sequence[int]) -> None:
        """Compare the tokens that the endpoint read with those that were sent, if it lists them."""
        for token, meant, read in zip(ids, self.tokenizer.convert_ids_to_tokens(list(ids)), listed, strict=False):
            words = [str(text).strip(_SPACES) for text in (meant, read)]
            # How others are written differs between runtimes.
            if words[0] != words[1] and all(word.isascii() and word.isalpha() for word in words):
                raise EngineAnswerError(
                    f"token {token} is '{words[1]}' for the endpoint, but '{words[0]}' in the tokenizer that encoded "
                    "the texts; name the endpoint's own tokenizer with tokenizer=…"
                )


def _choices(outputs: Any, expected: int | None) -> list[Mapping[str, Any]]:  # noqa: ANN401
    """Return the choices of an answer in the order of the requests."""
    answer = outputs[0] if isinstance(outputs, list) and len(outputs) == 1 else outputs
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list) or not all(
        isinstance(each, Mapping) and isinstance(each.get("index"), int) for each in choices
    ):
        raise EngineAnswerError(
            f"it answered {answer!r:.120}, which is not a list of completions; "
            "check that base_url ends with /v1/completions"
        )
    if sorted(each["index"] for each in choices) != list(range(len(choices) if expected is None else expected)):
        given = f"{len(choices)} completions with the indices {[each['index'] for each in choices]!r:.60}"
        raise EngineAnswerError(f"it gave {given}, not one per text; set batch_size to 1")
    return sorted(choices, key=itemgetter("index"))


def _list(found: Any, name: str) -> list[Any]:  # noqa: ANN401
    values = found.get(name) if isinstance(found, Mapping) else None
    return values if isinstance(values, list) else []
