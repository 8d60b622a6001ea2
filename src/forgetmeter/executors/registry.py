"""The registry of executors by name: built-in ones and plug-ins."""

from __future__ import annotations

import math
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


_OPTIONS = {"workers": "number of workers", "address": "address", "time_limit": "time limit"}
"""Names of the options in messages."""


def executor_named(
    name: str, *, workers: int | None = None, address: str | None = None, time_limit: float | None = None
) -> Executor:
    """Return an executor, made with those of the options that are given.

    Raises:
        UserError: As for ``check_executor``, or a plug-in cannot be loaded or does not have one of the options.
    """
    check_executor(name, workers, time_limit)
    if name == "ray" and find_spec("ray") is None:
        raise UserError("executor ray needs Ray; install it with: pip install 'forgetmeter[ray]'")
    made = EXECUTORS.load(name)
    options = {"workers": workers, "address": address, "time_limit": time_limit}
    given = {key: value for key, value in options.items() if value is not None}
    # Classes written in C have no signature.
    with suppress(ValueError):
        try:
            signature(made).bind(**given)
        except TypeError:
            refused = [key for key in given if key not in signature(made).parameters]
            flags = " and ".join(f"--{key.replace('_', '-')}" for key in refused)
            none = f"takes no {' and no '.join(map(_OPTIONS.__getitem__, refused))}; omit {flags}"
            if name in EXECUTORS.built_in:
                raise UserError(f"executor {name} {none}") from None
            raise EXECUTORS.failure(name, none if refused else "needs other arguments") from None
    executor: Executor = made(**given) if name in EXECUTORS.built_in else EXECUTORS.guarded(name, made)(**given)
    if not callable(getattr(executor, "execute", None)):
        raise EXECUTORS.failure(
            name, "makes an object without the method execute(work, progress), so it is not an executor"
        )
    return executor


def check_executor(name: str, workers: int | None = None, time_limit: float | None = None) -> None:
    """Check that an executor has this name, without importing it.

    Raises:
        UserError: It is unknown, its name is taken twice, or the number of workers or seconds is not positive.
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise UserError(f"--workers must be a positive integer, not '{workers}'")
    if time_limit is not None and not (type(time_limit) in (int, float) and 0 < time_limit < math.inf):
        raise UserError(f"--time-limit must be a positive number of seconds, not '{time_limit}'")
    if name not in (entries := EXECUTORS.entries()):
        raise UserError(unknown("executor", name, entries))
