"""``forgetmeter forgotten``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.errors import UserError
from forgetmeter.report.formats import ledger_rows, ledger_text
from forgetmeter.results import ledger as ledger_entries
from forgetmeter.results import results
from forgetmeter.specs.suggestion import unknown

if TYPE_CHECKING:
    from forgetmeter.report.formats.ledger_rows import Chosen
    from forgetmeter.results.ledger import Ledger, LedgerEntry

_FORMATS = ("table", "csv", "json", "markdown")
_STATUSES = ("forgotten", "gained", "kept", "wrong")
_SHOWN = 20


def forgotten_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    *,
    recipe: Annotated[
        str, typer.Option(help="One recipe of the run, such as l1_unstructured:overall:0.5, or a candidate.")
    ],
    task: Annotated[str | None, typer.Option(help="Only this task.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.", show_default=False)] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="forgotten, gained, kept, or wrong (before and after).", show_default="forgotten; all in csv and json"
        ),
    ] = None,
    relation: Annotated[
        str | None, typer.Option(help="List only items of this relation (counts cover all).", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="At most N items per model and task, most confident first.",
            show_default="20; all in csv and json",
        ),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="table, csv, json or markdown.")] = "table",
) -> None:
    """List what a recipe made the model forget, item by item, with old and new answers."""
    if format not in _FORMATS:
        raise UserError(unknown("format", format, _FORMATS))
    if status is not None and status not in _STATUSES:
        raise UserError(unknown("status", status, _STATUSES))
    ledgers = results.open_run(run).ledgers(recipe, task=task, model=model)
    _check_relation(ledgers, relation)
    is_for_readers = format in ("table", "markdown")
    wanted = status or ("forgotten" if is_for_readers else None)
    chosen = [(ledger, _wanted(ledger, wanted, relation)) for ledger in ledgers]
    most = _SHOWN if limit is None and is_for_readers else limit
    if most is not None:
        chosen = [(ledger, ledger_entries.surest_first(entries)) for ledger, entries in chosen]
    if format == "table":
        _print_tables(chosen, wanted or "forgotten", most)
    else:
        _write(format, [(ledger, entries[:most]) for ledger, entries in chosen])


def _check_relation(ledgers: Sequence[Ledger], relation: str | None) -> None:
    relations = dict.fromkeys(count.group for ledger in ledgers for count in ledger.by_relation)
    if relation is None or relation in relations:
        return
    if not relations:
        raise UserError(f"--relation {relation}: the items have no relations; omit the option")
    raise UserError(unknown("relation", relation, relations, within="this run"))


def _wanted(ledger: Ledger, status: str | None, relation: str | None) -> list[LedgerEntry]:
    return [
        entry
        for entry in ledger.entries
        if status in (None, entry.status) and (relation is None or entry.relation == relation)
    ]


def _print_tables(chosen: Chosen, status: str, most: int | None) -> None:
    console = Console()
    for ledger, entries in chosen:
        text = ledger_text.ledger_text(
            ledger,
            entries[:most],
            status=status,  # type: ignore[arg-type]
            total=len(entries),
            width=text_width(),
        )
        print_text(text if console.is_terminal else text.append("\n"))


def _write(format: str, chosen: Chosen) -> None:
    rows = ledger_rows
    write = {"csv": rows.ledger_csv, "json": rows.ledger_json, "markdown": rows.ledger_markdown}[format]
    print_text(write(chosen))
