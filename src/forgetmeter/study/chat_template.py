"""The chat template of a study's model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Self

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from forgetmeter.errors import UserError, one_line
from forgetmeter.probes.lm_eval.prompting import ChatTemplate

_OTHER = "\nAnd another thing?"

Message = dict[str, str]


@dataclass(frozen=True)
class TokenizersTemplate:
    """A tokenizer's chat template, which renders every message that it is given, and always tells the same time.

    Attributes:
        tokenizer: The tokenizer.
        model: The model's name in errors.
        system_instruction: The user's own system message.
        has_parts: Whether the template reads contents as lists of parts, as those of models that also see images do.
    """

    tokenizer: PreTrainedTokenizerBase
    model: str
    system_instruction: str | None = None
    has_parts: bool = False

    def __call__(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """Render messages.

        As in lm-evaluation-harness's ``hf`` (0.4.13), a task's own system messages are left out if the template rejects
        them.

        Raises:
            UserError: The template rejects the user's system instruction, or leaves out a message.
        """
        try:
            text = self._rendered(messages, add_generation_prompt)
            reason = "leaves them out" if self._drops(messages, text, add_generation_prompt, ("system",)) else None
        except TemplateError as error:
            reason = one_line(error)
        if reason is not None:
            messages = [message for message in messages if message["role"] != "system"]
            # If this fails as well, the system message is not the reason.
            text = self._rendered(messages, add_generation_prompt)
            if self.system_instruction:
                raise UserError(
                    f"system_instruction: the chat template of model '{self.model}' rejects system messages "
                    f"({reason}); omit system_instruction"
                )
        if dropped := self._drops(messages, text, add_generation_prompt, ("user", "assistant")):
            asked = [message for message in messages if message["role"] == "user"][-1]
            kind = "the question" if dropped == asked else "earlier turns, such as few-shot examples"
            raise UserError(
                f"chat_template: the chat template of model '{self.model}' leaves out {kind}; omit chat_template"
            )
        return text

    def _drops(
        self, messages: Sequence[Message], text: str, add_generation_prompt: bool, roles: Sequence[str]
    ) -> Message | None:
        """Return a message of these roles that has no part in the text."""
        for place, message in enumerate(messages):
            content = message["content"].strip()
            if message["role"] not in roles or not content or content in text:
                continue
            # It may be there in other letters.
            other = [*messages[:place], {**message, "content": message["content"] + _OTHER}, *messages[place + 1 :]]
            if self._rendered(other, add_generation_prompt) == text:
                return message
        return None

    def _rendered(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        chosen = [
            {**message, "content": [{"type": "text", "text": message["content"]}]} if self.has_parts else message
            for message in messages
        ]
        with _stopped_clock():
            text = self.tokenizer.apply_chat_template(
                chosen,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        return str(text)


class _FixedClock(datetime):
    """Always says the day that Llama 3's templates assume if they are told none."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:  # noqa: ARG003 - of datetime
        return cls(2024, 7, 26)


@contextmanager
def _stopped_clock() -> Iterator[None]:
    """Have templates always told the same day; transformers has no argument for it."""
    own = chat_template_utils.datetime
    chat_template_utils.datetime = _FixedClock
    try:
        yield
    finally:
        chat_template_utils.datetime = own


def chat_template_of(
    tokenizer: PreTrainedTokenizerBase, model: str, *, system_instruction: str | None = None
) -> ChatTemplate:
    """Return what renders messages with a tokenizer's template.

    Raises:
        UserError: The tokenizer has no template, or it cannot be used, or it rejects the user's system instruction.
    """
    if not tokenizer.chat_template:
        raise UserError(f"chat_template: the tokenizer of model '{model}' has no chat template; omit chat_template")
    plain = TokenizersTemplate(tokenizer, model, system_instruction)
    system = [{"role": "system", "content": system_instruction}] if system_instruction else []
    question = [*system, {"role": "user", "content": "Which is it?"}]
    problems: list[UserError] = []
    for template in (plain, replace(plain, has_parts=True)):
        try:
            template(question)
            return template
        except UserError as error:
            problems.append(error)
        except Exception as error:  # noqa: BLE001 - a template may raise anything
            problems.append(
                UserError(
                    f"chat_template: the chat template of model '{model}' cannot be used ({one_line(error)}); "
                    "omit chat_template"
                )
            )
    raise problems[0]
