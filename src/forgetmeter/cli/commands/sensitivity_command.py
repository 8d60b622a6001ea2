"""``forgetmeter sensitivity``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from forgetmeter.basics.visible_text import visible_line
from forgetmeter.cli import options, progress
from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.config.study_file import option_name
from forgetmeter.errors import UserError
from forgetmeter.plan import model_parts
from forgetmeter.report.formats import sensitivity_json, sensitivity_text
from forgetmeter.results import results
from forgetmeter.runs import run_store
from forgetmeter.specs.suggestion import unknown
from forgetmeter.study import checked_study, measuring_sensitivity, running

_SOME_FAILED = 1
_PRECISION = "evaluation.precision"


def sensitivity_command(
    model: Annotated[
        str,
        typer.Argument(
            help="The model: org/name, ./folder, ./file.gguf, package:MODULE, or standard:FAMILY. "
            "Or a run whose recipes compress single parts: its folder or URL.",
            metavar="MODEL|RUN",
        ),
    ],
    *,
    tasks: Annotated[str | None, typer.Option(help="Tasks whose loss counts, separated by commas.")] = None,
    out: Annotated[str | None, options.Out] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Methods with a level, separated by commas: recipes without the scope.",
            show_default="l1_unstructured:0.6,round_to_nearest:3",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Parts of each band of layers: role (single projections), component, or layer.", show_default="role"
        ),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            help="Number of bands of layers.",
            show_default="one per layer, or fewer, so that there are at most 60 variants",
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            help="Half-width of the drop's interval for parts whose rank is undecided (0.02: ±2 points of accuracy); "
            "4 times that for the others.",
            show_default="0.02",
        ),
    ] = None,
    limit: options.Limit = None,
    dtype: options.DTypeName = None,
    device: options.DeviceName = None,
    seed: options.Seed = None,
    batch_tokens: options.BatchTokens = None,
    calibration_file: options.CalibrationFile = None,
    noise_floor: options.NoiseFloor = None,
    data: options.DataFolder = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what a model loses when each of its parts is compressed alone.

    Every role in every band of layers is compressed on its own, and the loss is
    shown per MB saved and per weight removed. All parts are evaluated on a
    share of the items; those not yet clearly in the more sensitive or the less
    sensitive half are evaluated on more. Answers are stored; after an
    interruption, the same command continues. For an existing run, the parts
    that its recipes compress are shown.
    """
    settings = options.evaluation(locals()) | options.given("calibration.", text=calibration_file)
    asked: dict[str, Any] = {"out": out, "methods": methods, "by": by, "layers": layers, "data": data}
    if run_store.RunStore(model).has_study():
        _refuse(model, ["tasks"] * (tasks is not None) + list(options.given(**asked)) + list(settings))
        location, is_whole = model, True
    elif tasks is None or out is None:
        missing = [name for name, value in (("--tasks", tasks), ("--out", out)) if value is None]
        raise UserError(f"'{model}' is not a run; to measure a model, also give {' and '.join(missing)}")
    else:
        request = _request(model, options.split(tasks) or (), location := out, settings, asked)
        is_whole = _measure(request)
    opened = results.open_run(location)
    if not (found := opened.sensitivities):
        raise UserError(
            f"the run at '{location}' has no recipe that compresses a single part, such as "
            "l1_unstructured:layers[0-3]/attention.query:0.5, with outcomes to compare with a baseline's; "
            "to measure a model, give it with --tasks and --out"
        )
    if json:
        print_text(sensitivity_json.sensitivity_json(location, found))
    else:
        print_text(sensitivity_text.sensitivity_text(found, opened.summary.methods, width=text_width()))
    raise typer.Exit(0 if is_whole else _SOME_FAILED)


def _refuse(run: str, given: Sequence[str]) -> None:
    """Raise if an option is given that would have no effect on a run."""
    if given:
        name = option_name(given[0])
        raise UserError(f"'{run}' is a run, which is only shown, so {name} would have no effect; omit it")


def _request(
    model: str, tasks: Sequence[str], out: str, settings: Mapping[str, object], asked: Mapping[str, Any]
) -> measuring_sensitivity.SensitivityRequest:
    by, methods = asked["by"] or "role", asked["methods"]
    if by not in model_parts.DIVISIONS:
        raise UserError(unknown("value of --by", by, model_parts.DIVISIONS))
    precision = settings.get(_PRECISION, measuring_sensitivity.DEFAULT_PRECISION)
    return measuring_sensitivity.SensitivityRequest(
        model=model,
        tasks=tasks,
        output=out,
        methods=measuring_sensitivity.DEFAULT_METHODS if methods is None else options.split(methods) or (),
        by=by,
        bands=asked["layers"],
        precision=precision,  # type: ignore[arg-type]
        options={key: value for key, value in settings.items() if key != _PRECISION},
        data=asked["data"],
    )


def _measure(request: measuring_sensitivity.SensitivityRequest) -> bool:
    """Measure a model, print what could not be measured, and return whether no cell failed."""
    made = measuring_sensitivity.measure_sensitivity(
        request, listener=progress.StageLines(sys.stderr), complete=_complete
    )
    for recipe, reason in made.unusable:
        typer.echo(visible_line(f"left out: {recipe}: {reason}"), err=True)
    for failure in made.finished.failures:
        typer.echo(visible_line(f"failed: {failure.recipe} on {failure.task}: {failure.error}"), err=True)
    if made.finished.failures:
        typer.echo("the same command retries failed cells", err=True)
    return not made.finished.failures


def _complete(checked: checked_study.CheckedStudy) -> checked_study.Finished:
    with progress.progress_on(sys.stderr, checked) as shown:
        return running.run_checked(checked, progress=shown)
