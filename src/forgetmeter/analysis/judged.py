"""Whether there is right and wrong in a cell's task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from forgetmeter.store.outcomes_table import JUDGED


def is_judged(row: Mapping[Any, Any]) -> bool:
    """Return whether a row of ``Run.cells`` is of a task with right answers; which need not say so."""
    judged = row.get(JUDGED)
    return judged is None or bool(pd.isna(judged)) or bool(judged)
