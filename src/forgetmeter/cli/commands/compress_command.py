"""``forgetmeter compress``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from forgetmeter.basics.plural import counted
from forgetmeter.cli import options
from forgetmeter.config.study import AUTO, MAX_SEED, CalibrationSettings

if TYPE_CHECKING:
    from forgetmeter.checkpoints.written import Written


def compress_command(
    model: Annotated[
        str, typer.Argument(help="The model: org/name, ./folder, ./file.gguf, package:MODULE, or standard:FAMILY.")
    ],
    recipe: Annotated[str, typer.Argument(help="The recipe, such as l1_unstructured:overall:0.5.")],
    *,
    out: Annotated[str, typer.Option(help="Output folder; must be empty or not exist.")],
    format: Annotated[str, typer.Option("--format", help="dense, compressed-tensors or gptq.")] = "dense",
    dtype: Annotated[
        str | None,
        typer.Option(help="Cast weights to float32, bfloat16 or float16 first.", show_default="as stored"),
    ] = None,
    max_shard_size: Annotated[str, typer.Option(help="Maximum size of the weights in one file.")] = "5GB",
    seed: Annotated[int, typer.Option(help="Seed for random methods.", min=0, max=MAX_SEED)] = 0,
    calibration: options.CalibrationFile = None,
    sequences: Annotated[
        int, typer.Option(help="Number of sequences of the calibration text.", min=1)
    ] = CalibrationSettings.sequences,
    length: Annotated[int, typer.Option(help="Number of tokens of each.", min=2)] = CalibrationSettings.length,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="Reload the output and compare its logits with those of the model compressed in memory, as "
            "`forgetmeter run` scores it.",
            show_default="up to 1 GB of weights",
        ),
    ] = None,
) -> None:
    """Compress a checkpoint, tensor by tensor, into a folder that other libraries can load.

    The whole model is held in memory only to check the result, to convert a
    GGUF file, for architectures whose weights transformers converts while
    loading, such as some mixtures of experts, and for calibrated methods, if
    there is room for it.
    """
    # Importing torch and transformers takes seconds; help and wrong options need not wait.
    from forgetmeter.checkpoints.compressing import compress_checkpoint

    written = compress_checkpoint(
        model,
        recipe,
        out,
        format=format,
        dtype=dtype,
        max_shard_size=max_shard_size,
        seed=seed,
        check=check,
        calibration=CalibrationSettings(calibration or AUTO, sequences, length),
    )
    for line in _lines(written):
        typer.echo(line)


def _lines(written: Written) -> list[str]:
    reached, before, after = written.reached, written.bytes_before, written.bytes_after
    files = counted(len(written.files), "file")
    return [
        f"{written.model} + {written.recipe}",
        f"zeros in its scopes: {reached.selected_zeros:,} of {reached.selected_weights:,} ({reached.sparsity:.2%}); "
        f"removed: {reached.removed_weights:,}",
        f"bytes of weights on disk: {before:,} before, {after:,} after ({after / before:.1%}), {files}",
        *written.notes,
        _checked(written),
        f"written to {written.folder}",
    ]


def _checked(written: Written) -> str:
    if not written.is_checked:
        return "not checked; --check loads the result and compares its logits"
    if not written.rounding:
        return "checked: the logits of the written folder match those of the compressed model"
    return (
        f"checked: rounding the weights to 16 bits changes the logits by {written.rounding:.1%} of their standard "
        "deviation; 'forgetmeter run' with this recipe scores the unrounded weights, with this folder the rounded ones"
    )
