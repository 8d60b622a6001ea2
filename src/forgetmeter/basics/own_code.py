"""Keeps transformers from asking for, and running, the code of model repositories.

``trust_remote_code=False`` covers only the model that is opened: for one in a nested configuration or a subfolder,
transformers still asks on standard input, and takes "y" for consent. Libraries that load tokenizers of their own, such
as lm-evaluation-harness's tasks, may trust their code. compressed-tensors runs the file of a format ``file.py:name``.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from transformers import dynamic_module_utils

REFUSED = "needs custom code, which is never run"

_REFUSALS: ContextVar[list[str] | None] = ContextVar("refusals of own code", default=None)
"""What was refused so far; ``None`` where nothing is."""
_utils: Any = dynamic_module_utils
_load_class = _utils.get_class_in_module


@contextmanager
def without_own_code() -> Iterator[list[str]]:
    """Refuse all code of model repositories in this thread; also a decorator.

    Yields:
        The names of what was refused, so that a caller notices even if a library caught the error.
    """
    refusals: list[str] = []
    token = _REFUSALS.set(refusals)
    try:
        yield refusals
    finally:
        _REFUSALS.reset(token)


@cache
def guard_compressed_tensors() -> None:
    """Have compressed-tensors, if it is installed, run no files within ``without_own_code``.

    Importing it takes a second.
    """
    if find_spec("compressed_tensors") is None:
        return
    registry: Any = import_module("compressed_tensors.registry.registry")
    run_file = registry._import_and_get_value_from_module

    def run_if_allowed(module_path: str, value_name: str) -> Any:  # noqa: ANN401
        _refuse_code(module_path)
        return run_file(module_path, value_name)

    registry._import_and_get_value_from_module = run_if_allowed


def is_about_own_code(error: BaseException) -> bool:
    """Return whether transformers raised an error, or a cause of it, because it was not allowed to run code."""
    cause: BaseException | None = error
    while cause is not None:
        if REFUSED in str(cause) or "trust_remote_code" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _answer(prompt: str = "") -> str:
    refusals = _REFUSALS.get()
    if refusals is None:
        return builtins.input(prompt)
    refusals.append("code that it asked for")
    return "n"


def _load_class_if_allowed(class_name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
    _refuse_code(class_name)
    return _load_class(class_name, *arguments, **options)


def _refuse_code(name: str) -> None:
    refusals = _REFUSALS.get()
    if refusals is not None:
        refusals.append(name)
        raise ImportError(REFUSED)


# Patched permanently, because threads may load models at once; outside without_own_code, both behave as before.
_utils.input = _answer
_utils.get_class_in_module = _load_class_if_allowed
