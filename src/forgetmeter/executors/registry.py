"""The registry of executors by name: the built-in one and plug-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forgetmeter.errors import UserError
from forgetmeter.specs.registry import Registry
from forgetmeter.specs.suggestion import unknown

if TYPE_CHECKING:
    from forgetmeter.executors.executor import Executor

EXECUTORS = Registry("executor", "forgetmeter.executors", {"local": "forgetmeter.executors.local:LocalExecutor"})
"""Classes of executors: a plug-in's entry point is ``NAME = "package.module:CLASS"``."""


def executor_named(name: str) -> Executor:
    """Return an executor made without arguments.

    Raises:
        UserError: The executor is unknown, its name is taken twice, or a plug-in cannot be loaded.
    """
    check_executor(name)
    made = EXECUTORS.load(name)
    executor: Executor = made() if name in EXECUTORS.built_in else EXECUTORS.guarded(name, made)()
    if not callable(getattr(executor, "execute", None)):
        raise EXECUTORS.failure(name, "makes no executor: it has no method execute(work, progress)")
    return executor


def check_executor(name: str) -> None:
    """Check that an executor has this name, without importing it.

    Raises:
        UserError: It is unknown, or its name is taken twice.
    """
    if name not in (entries := EXECUTORS.entries()):
        raise UserError(unknown("executor", name, entries))
