"""The chat template of a study's model."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from forgetmeter.errors import UserError, one_line
from forgetmeter.probes.lm_eval.prompting import ChatTemplate


def chat_template_of(
    tokenizer: PreTrainedTokenizerBase, model: str, *, system_instruction: str | None = None
) -> ChatTemplate:
    """Return a function that renders messages with a tokenizer's template.

    As in lm-evaluation-harness's ``hf`` (0.4.13), a task's own system messages are left out if the template rejects
    them.

    Raises:
        UserError: The tokenizer has no template, or it cannot be used, or it rejects the user's system instruction.
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
        except TemplateError as error:
            # If this fails as well, the system message is not the reason.
            without_system = rendered([message for message in messages if message["role"] != "system"])
            if system_instruction:
                raise UserError(
                    f"system_instruction: the chat template of model '{model}' rejects system messages "
                    f"({one_line(error)}); omit system_instruction"
                ) from error
            return without_system

    try:
        system = [{"role": "system", "content": system_instruction}] if system_instruction else []
        render([*system, {"role": "user", "content": "Hello"}])
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"chat_template: the chat template of model '{model}' cannot be used ({one_line(error)}); "
            "omit chat_template"
        ) from error
    return render
