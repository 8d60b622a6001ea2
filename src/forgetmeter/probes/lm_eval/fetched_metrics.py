"""Keeps tasks from using metrics of the ``evaluate`` library, which fetches their code and runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from forgetmeter.errors import UserError


@contextmanager
def without_fetched_metrics(task: str) -> Iterator[None]:
    """Refuse ``evaluate.load``, which also runs ``./NAME/NAME.py`` of the current directory.

    The library itself, which takes seconds to import, is replaced: lm-eval and its tasks use nothing else of it.

    Raises:
        UserError: It was called, even if lm-eval caught the refusal.
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
