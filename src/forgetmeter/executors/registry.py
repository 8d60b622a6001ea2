"""The registry of executors by name: the built-in one and plug-ins."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING

from forgetmeter.errors import UserError
from forgetmeter.specs.registry import Registry
from forgetmeter.specs.suggestion import unknown

if TYPE_CHECKING:
    from forgetmeter.executors.executor import Executor

EXECUTORS = Registry(
    "executor",
    "forgetmeter.executors",
    {
        "local": "forgetmeter.executors.workers:on_this_machine",
        "ray": "forgetmeter.executors.ray_cluster:RayExecutor",
    },
)
"""Classes of executors, or functions that make one: a plug-in's entry point is ``NAME = "package.module:CLASS"``."""


def executor_named(name: str, workers: int | None = None, address: str | None = None) -> Executor:
    """Return an executor, made without arguments or with ``workers`` and ``address``, if given.

    Raises:
        UserError: As ``check_executor``, or a plug-in cannot be loaded.
    """
    check_executor(name, workers)
    if name == "ray" and find_spec("ray") is None:
        raise UserError("executor ray needs Ray; install it with: pip install 'forgetmeter[ray]'")
    made = EXECUTORS.load(name)
    given = {key: value for key, value in (("workers", workers), ("address", address)) if value is not None}
    # Classes written in C have no signature.
    with suppress(ValueError):
        try:
            signature(made).bind(**given)
        except TypeError:
            words = {"workers": "number of workers", "address": "address"}
            none = f"takes no {' and no '.join(map(words.__getitem__, given))}; omit --{' and --'.join(given)}"
            if name in EXECUTORS.built_in:
                raise UserError(f"executor {name} {none}") from None
            raise EXECUTORS.failure(name, none if given else "needs arguments") from None
    executor: Executor = made(**given) if name in EXECUTORS.built_in else EXECUTORS.guarded(name, made)(**given)
    if not callable(getattr(executor, "execute", None)):
        raise EXECUTORS.failure(name, "makes no executor: it has no method execute(work, progress)")
    return executor


def check_executor(name: str, workers: int | None = None) -> None:
    """Check that an executor has this name, without importing it.

    Raises:
        UserError: It is unknown, its name is taken twice, or the number of workers is not positive.
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise UserError(f"--workers must be a positive integer, not '{workers}'")
    if name not in (entries := EXECUTORS.entries()):
        raise UserError(unknown("executor", name, entries))
