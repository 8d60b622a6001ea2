"""The ledger inside the page: what each recipe forgot and gained, in columns of numbers of limited size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forgetmeter.report.html.ledger_changes import Change, changes_of, most_certain, most_of_each
from forgetmeter.report.html.ledger_texts import LedgerTexts
from forgetmeter.runs.run import Run

MOST_ENTRIES = 200_000
MOST_BYTES = 2_500_000


@dataclass(frozen=True)
class LedgerData:
    """The ledger of a run.

    Attributes:
        document: JSON document for the page's script, in the form described in ``ledger_data``.
        entries: Number of forgotten and gained items in it.
        left_out: Number of items left out for lack of space.
        most: Maximum number of items per recipe, task and kind; ``None`` if all items are included.
    """

    document: dict[str, Any]
    entries: int
    left_out: int
    most: int | None


def ledger_data(run: Run, *, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> LedgerData:
    """Collect what every recipe forgot and gained.

    The document has ``tasks``, each with ``name``, ``relations`` (in words), their ``names`` and ``strings``, and per
    item ``statement``, ``gold`` (both indices into ``strings``) and ``relation``. It has ``changes``, each with
    ``model``, ``recipe``, ``words``, ``kind``, ``task`` (an index) and ``total``, and per entry ``item`` (difference
    from the previous entry), ``before``, ``after`` (indices into ``strings``) and ``rank`` (of the right answer under
    the variant if forgotten, under the baseline if gained; 0 if unknown). For facts asked in several phrasings,
    ``elsewhere`` lists the entries whose fact is still right in another phrasing.

    If not everything fits, the items of which the baseline was most confident are kept for each recipe.

    Args:
        most_entries: Maximum number of entries.
        most_bytes: Maximum size of the items' texts and the answers.
    """
    changes = [change for answers in run.answers for change in changes_of(answers)]
    total = sum(change.total for change in changes)
    most = most_of_each([change.total for change in changes], most_entries)
    texts = _texts(run, most_certain(changes, most))
    while (size := sum(each.bytes for each in texts)) > most_bytes and most > 1:
        most = max(1, int(most * 0.8 * most_bytes / size))
        texts = _texts(run, most_certain(changes, most))
    entries = sum(len(change["item"]) for each in texts for change in each.changes)
    document = {
        "tasks": [each.document() for each in texts],
        "changes": [{**change, "task": place} for place, each in enumerate(texts) for change in each.changes],
    }
    return LedgerData(document, entries, total - entries, most if entries < total else None)


def _texts(run: Run, changes: Sequence[Change]) -> list[LedgerTexts]:
    found: dict[str, LedgerTexts] = {}
    for answers in run.answers:
        mine = [change for change in changes if change.answers is answers]
        if mine:
            if answers.task not in found:
                found[answers.task] = LedgerTexts(run, answers.task)
            found[answers.task].add(answers, mine)
    return list(found.values())
