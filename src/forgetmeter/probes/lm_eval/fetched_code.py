"""Keeps tasks from running fetched code: metrics of the ``evaluate`` library, and code of model repositories."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from forgetmeter.basics.own_code import is_about_own_code, without_own_code
from forgetmeter.errors import UserError


@contextmanager
def without_fetched_code(task: str) -> Iterator[None]:
    """Refuse fetched code wherever a task's functions are called, even if lm-eval or the task catches the refusal.

    Some functions of lm-evaluation-harness's own tasks load tokenizers and trust their code.

    Args:
        task: The task's name, for messages.

    Raises:
        UserError: The task asked for it.
    """
    refused = UserError(
        f"task '{task}' loads a model or tokenizer that needs custom code, which is never run; in the task's "
        "definition, name one without custom code, or choose another task"
    )
    with _without_fetched_metrics(task), without_own_code() as refusals:
        try:
            yield
        except Exception as error:
            if refusals or is_about_own_code(error):
                raise refused from error
            raise
        if refusals:
            raise refused


@contextmanager
def _without_fetched_metrics(task: str) -> Iterator[None]:
    """Refuse ``evaluate.load``, which also runs ``./NAME/NAME.py`` of the current directory.

    Unless already imported, the library, which takes seconds to import, is replaced by a stub: lm-eval and its tasks
    use nothing else of it.

    Raises:
        UserError: It was called.
    """
    refusals: list[UserError] = []

    def load(path: object = None, *_: object, **__: object) -> NoReturn:
        refusals.append(
            UserError(
                f"task '{task}' needs the metric '{path}' of the evaluate library, which is downloaded code and never "
                "run; choose a task with metrics of lm-evaluation-harness"
            )
        )
        raise refusals[-1]

    own, stand_in = sys.modules.get("evaluate"), ModuleType("evaluate")
    module: Any = own or stand_in
    own_load = getattr(module, "load", None)
    module.load = load
    sys.modules["evaluate"] = module
    try:
        yield
    finally:
        if own is None:
            del sys.modules["evaluate"]
        else:
            module.load = own_load
        if refusals:
            raise refusals[0]
