"""The chat template of a study's model."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from forgetmeter.errors import UserError, one_line
from forgetmeter.probes.lm_eval.prompting import ChatTemplate


def chat_template_of(tokenizer: PreTrainedTokenizerBase, model: str) -> ChatTemplate:
    """Return a function that renders messages by a tokenizer's template, like lm-evaluation-harness's ``hf`` (0.4.13).

    System messages are left out if the template rejects them.

    Raises:
        UserError: The tokenizer has no template.
    """
    if not tokenizer.chat_template:
        raise UserError(f"chat_template: the tokenizer of model '{model}' has no chat template; omit chat_template")

    def render(messages: Sequence[dict[str, str]], *, add_generation_prompt: bool = True) -> str:
        def rendered(chosen: Sequence[dict[str, str]]) -> str:
            text = tokenizer.apply_chat_template(
                list(chosen),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
            return str(text)

        try:
            return rendered(messages)
        except TemplateError:
            return rendered([message for message in messages if message["role"] != "system"])

    try:
        render([{"role": "user", "content": "Hello"}])
    except Exception as error:
        raise UserError(f"chat_template: that of model '{model}' cannot be used ({one_line(error)})") from error
    return render
