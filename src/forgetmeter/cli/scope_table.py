"""Table of what each scope selects in a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from forgetmeter.basics.plural import counted
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.roles.scope_rows import ScopeRows, rows_of_model
from forgetmeter.specs.scope import pattern_of, unnumbered

_PIPED_WIDTH = 120


def print_scopes_of(model: str, stream: TextIO) -> None:
    """Print what each scope selects in a model, named as in a study.

    Raises:
        UserError: The model does not exist, cannot be loaded, or is already quantized.
    """
    checkpoint = open_checkpoint(model)
    checkpoint.refuse_quantized()
    # Without the tokenizer, whose vocabulary takes longer to read than all else.
    print_scope_rows(rows_of_model(checkpoint.skeleton), stream)
    if checkpoint.packed is not None:
        stream.write(f"{checkpoint.packed.sizes(checkpoint.name)}\n")


def print_scope_rows(rows: ScopeRows, stream: TextIO) -> None:
    """Print the tables."""
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        console = Console(file=stream, highlight=False, width=_PIPED_WIDTH)
    for title, listed in (("scope", rows.scopes), ("left alone", rows.left_alone)):
        if not listed:
            continue
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(title, min_width=24)
        for heading in ("matrices", "weights", "share of model"):
            table.add_column(heading, justify="right", min_width=len(heading))
        for row in listed:
            table.add_row(row.name, f"{row.matrices:,}", f"{row.weights:,}", f"{100 * row.share:.1f}%")
        console.print(table)
    for line in _notes(rows):
        console.print(line, soft_wrap=True, markup=False)


def _notes(rows: ScopeRows) -> Iterable[str]:
    if rows.tied_to:
        yield f"The head shares its weights with {rows.tied_to}, until a recipe compresses it."
    if rows.shared:
        own, run = rows.shared
        sets, names = ("one set", "layer 0") if own == 1 else (f"{own} sets", f"layers 0 to {own - 1}")
        yield f"Its {run} layers share {sets} of weights, which scopes call {names}."
    if rows.keys_and_values:
        yield f"attention.key also produces the values; there is no attention.value: {_named(rows.keys_and_values)}."
    if rows.unknown:
        yield (
            f"Unknown role ({counted(len(rows.unknown), 'weight')}): {_named(rows.unknown)}. Scopes other than "
            "head are refused where they may include them; to select these weights, write "
            f"regex({pattern_of(rows.unknown)})."
        )
    if rows.without_part:
        whole, part = (" and ".join(f"{each}{end}" for each in rows.components_without_part) for end in ("", ".…"))
        yield (
            f"Unknown part ({counted(len(rows.without_part), 'weight')}): {_named(rows.without_part)}. The scopes of "
            f"single parts ({part}) are refused for this model; to select these weights without the rest of {whole}, "
            f"write regex({pattern_of(rows.without_part)})."
        )
    if rows.empty:
        yield f"Scopes that select nothing here: {', '.join(rows.empty)}."


def _named(names: Iterable[str]) -> str:
    counts = Counter(unnumbered(name) for name in names)
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items())
