"""A pytest fixture that fails a test if compressed models do not pass a gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import forgetmeter
from forgetmeter.cli.lazy_commands import imported_on_first_use

# pytest imports this module in every session.
with imported_on_first_use():
    from forgetmeter.report.gate import gate_text

_WIDTH = 140


@pytest.fixture
def forgetmeter_gate() -> Callable[..., Any]:
    """Return a function with the arguments of ``forgetmeter.gate`` that fails the test unless the verdict is PASS.

    Its further argument ``inconclusive`` is ``fail``, ``skip`` or ``pass``: what happens to the test if the verdict is
    INCONCLUSIVE or UNMEASURED. It returns the verdicts.
    """

    def check(run: Any, *, inconclusive: str = "fail", **options: Any) -> Any:  # noqa: ANN401
        if inconclusive not in ("fail", "skip", "pass"):
            raise ValueError(f"inconclusive must be 'fail', 'skip' or 'pass', not {inconclusive!r}")
        found = forgetmeter.gate(run, **options)
        if found.verdict != "PASS":
            said = gate_text.gate_text(found, width=_WIDTH).plain
            if found.verdict == "FAIL" or inconclusive == "fail":
                pytest.fail(said, pytrace=False)
            if inconclusive == "skip":
                pytest.skip(said)
        return found

    return check
