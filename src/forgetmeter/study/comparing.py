"""Compares existing checkpoints with the model they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forgetmeter.executors.executor import Progress
from forgetmeter.results.results import Results, open_run
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.study.running import run


def compare(
    baseline: str | Path,
    candidates: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]],
    tasks: str | Sequence[str],
    *,
    output: str | Path,
    progress: Progress | None = None,
    data: Path | None = None,
    **evaluation: Any,  # noqa: ANN401
) -> Results:
    """Compare checkpoints with the model they were made from, item by item, like ``forgetmeter compare``.

    Answers that ``output`` already holds are kept; candidates and tasks may be added to it later.

    Args:
        baseline: The original model: ``org/name``, a folder, a GGUF file, ``package:MODULE`` or ``standard:FAMILY``.
        candidates: Models that were made from it, or engines such as ``{"engine": "llama_cpp", "file": PATH}``; a
            single one needs no list.
        tasks: Names of tasks; a single one needs no list.
        output: Folder or URL of the run.
        progress: Progress listener.
        data: Data folder of the probes; by default ``FORGETMETER_DATA``, else ``data`` in the cache folder.
        evaluation: Settings of a study's ``evaluation``, such as ``limit`` or ``dtype``.

    Returns:
        The results of the run. Cells that failed are in ``failures``; the same call tries them again.

    Raises:
        UserError: The request is not valid; raised before any work.
    """
    run(
        {
            "models": [_text(baseline)],
            "candidates": [_text(each) for each in _listed(candidates)],
            "tasks": list(_listed(tasks)),
            "output": str(output),
            **{f"evaluation.{key}": value for key, value in evaluation.items()},
        },
        progress=progress,
        data=data,
    )
    return open_run(output)


def _listed(given: Any) -> Sequence[Any]:  # noqa: ANN401
    return given if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def _text(model: Any) -> Any:  # noqa: ANN401 - the study says what is not a model
    return str(parse_model_reference(model)) if isinstance(model, Path) else model
