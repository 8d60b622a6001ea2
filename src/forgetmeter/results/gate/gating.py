"""The gate as a function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from forgetmeter.config.policy import Policy, policy_from_options, read_policy
from forgetmeter.errors import UserError
from forgetmeter.results.gate.gate import Gate, check_policy
from forgetmeter.results.results import Results, open_run
from forgetmeter.specs.condition import Quantity
from forgetmeter.specs.suggestion import refuse_type

GateLimit = str | float
"""A limit as text, such as ``1pt`` or ``98%``, or as a number, such as 0.01 or 0.98."""


def gate(
    run: str | Path | Results,
    *,
    policy: str | Path | None = None,
    margin: GateLimit | None = None,
    min_retained: GateLimit | None = None,
    min_accuracy: GateLimit | None = None,
    max_divergence: GateLimit | None = None,
    min_agreement: GateLimit | None = None,
    max_size: GateLimit | None = None,
    tasks: Iterable[str] = (),
    recipes: Iterable[str] = (),
) -> Gate:
    """Check whether the variants of a run meet conditions, which come from a policy file, from limits, or both.

    Args:
        run: Folder or URL of a run, or an open one.
        policy: A policy file (YAML).
        margin: Largest acceptable drop of accuracy, such as ``1pt`` (one percentage point) or 0.01.
        min_retained: Smallest acceptable share of the baseline's right answers that are still right.
        min_accuracy: Smallest acceptable accuracy.
        max_divergence: Largest acceptable mean divergence from the baseline, in nats.
        min_agreement: Smallest acceptable share of tokens whose most likely next token is the baseline's.
        max_size: Largest acceptable size: a share of the original's, or bytes such as ``200MB``.
        tasks: The tasks to which ``margin``, ``min_retained`` and ``min_accuracy`` apply; all by default.
        recipes: The recipes or candidates to check; all of the run by default.

    Returns:
        The verdict on each check, on each variant and, as ``verdict``, on the whole run.

    Raises:
        UserError: No condition is given, one is not valid, or the run lacks what it names.
    """
    limits = limits_of(
        margin=margin,
        min_retained=min_retained,
        min_accuracy=min_accuracy,
        max_divergence=max_divergence,
        min_agreement=min_agreement,
        max_size=max_size,
    )
    conditions = policy_of(policy, limits, tasks=tasks)
    return checked(run if isinstance(run, Results) else open_run(run), conditions, recipes=recipes)


def checked(results: Results, policy: Policy, *, recipes: Iterable[str] = ()) -> Gate:
    """Check whether the variants of an open run meet the conditions of a policy.

    Raises:
        UserError: The run lacks what the conditions or recipes name.
    """
    return check_policy(results.run, results.summary, policy, recipes=_names("recipes", recipes))


def limits_of(
    *,
    margin: GateLimit | None,
    min_retained: GateLimit | None,
    min_accuracy: GateLimit | None,
    max_divergence: GateLimit | None,
    min_agreement: GateLimit | None,
    max_size: GateLimit | None,
) -> dict[Quantity, GateLimit]:
    """Return the limits that are given, by what they limit."""
    limits: dict[Quantity, GateLimit | None] = {
        "drop": margin,
        "retained": min_retained,
        "accuracy": min_accuracy,
        "divergence": max_divergence,
        "agreement": min_agreement,
        "size": max_size,
    }
    return {quantity: limit for quantity, limit in limits.items() if limit is not None}


def policy_of(policy: str | Path | None, limits: Mapping[Quantity, GateLimit], *, tasks: Iterable[str] = ()) -> Policy:
    """Return the conditions of a policy file, and those of limits that are given.

    Raises:
        UserError: None is given, or one is not valid.
    """
    if policy is None and not limits:
        raise UserError("give a condition, such as --margin 1pt or --min-retained 98%, or a policy file with --policy")
    from_file = Policy(())
    if policy is not None:
        refuse_type("policy", policy, str, Path)
        from_file = read_policy(Path(policy))
    from_options = policy_from_options(limits, tasks=_names("tasks", tasks))
    return Policy((*from_file.conditions, *from_options.conditions), from_file.digest)


def _names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        return (names,)
    names = tuple(names)
    for name in names:
        refuse_type(f"an item of {what}", name, str)
    return names
