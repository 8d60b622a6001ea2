"""Metadata of a model card: what the Hub shows of a variant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from huggingface_hub import CardData, EvalResult, ModelCardData

from forgetmeter.basics.visible_text import visible_line
from forgetmeter.probes.declaration import Metric
from forgetmeter.probes.registry import metrics_of
from forgetmeter.report.words.public_names import public_task, short_name
from forgetmeter.report.words.recipe_words import candidate_of
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.measured import MeasuredSummary
from forgetmeter.results.results import Results
from forgetmeter.specs.method_facts import BY_NAME
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.statistics.paired import Estimate

_TOOL = "forgetmeter"
_TASK_TYPES = {"encoder": "fill-mask", "encoder-decoder": "text2text-generation", "decoder": "text-generation"}
_UNKNOWN_TYPE = "other"


def card_metadata(
    theirs: CardData,
    results: Results,
    variant: tuple[str, str],
    cells: Sequence[CellSummary],
    measured: Sequence[MeasuredSummary],
) -> ModelCardData:
    """Return the metadata of a card with a variant's results, which replace those that forgetmeter wrote before.

    Args:
        theirs: The metadata so far.
        results: Results of the run.
        variant: Model and recipe.
        cells: The variant's cells of tasks with right answers.
        measured: Its cells of other tasks.
    """
    data: dict[str, Any] = theirs.to_dict()  # type: ignore[no-untyped-call]
    for name in ("model-index", "model_name"):
        data.pop(name, None)
    data |= _about(results, *variant, data)
    data["tags"] = list(dict.fromkeys([*(data.get("tags") or []), _TOOL, "compressed"]))
    name = getattr(theirs, "model_name", None) or card_title(*variant)
    kind = _task_type(results, variant[0])
    others = [each for each in getattr(theirs, "eval_results", None) or () if not _is_ours(each)]
    found = [*(_judged(cell, kind) for cell in cells), *(each for cell in measured for each in _measured(cell, kind))]
    return ModelCardData(model_name=name, eval_results=[*others, *found], **data)


def card_title(model: str, recipe: str) -> str:
    """Return a name for a variant: that of the candidate, or of the model with the recipe."""
    parsed = parse_recipe(recipe)
    steps = "+".join(map(str, parsed.steps))
    name = visible_line(short_name(parse_model_reference(candidate_of(recipe) or model).place))
    return f"{name} ({steps})" if steps else name


def card_metrics(cell: MeasuredSummary) -> list[Metric]:
    """Return the metrics of a task without right answers that a card shows: means and the perplexity, else all."""
    metrics = [each for each in metrics_of(cell.task, cell.metrics) if each.name in cell.metrics]
    perplexity = next((each for each in metrics if each.is_perplexity), None)
    return [each for each in metrics if each.weight or each is perplexity] or metrics


def _is_ours(result: EvalResult) -> bool:
    args = result.metric_args
    # Earlier versions named a source.
    return result.source_name == _TOOL or (isinstance(args, dict) and args.get("tool") == _TOOL)


def _about(results: Results, model: str, recipe: str, data: dict[str, Any]) -> dict[str, Any]:
    reference = parse_model_reference(model)
    about: dict[str, Any] = {"base_model": reference.place} if reference.source == "hub" else {}
    parsed = parse_recipe(recipe)
    methods = (results.summary.methods.get(step.method, BY_NAME) for step in parsed.steps)
    is_packed = str(parsed.candidate) in results.summary.study.sources
    if (about or data.get("base_model")) and (is_packed or any(each.quantizes for each in methods)):
        about["base_model_relation"] = "quantized"
    return about


def _task_type(results: Results, model: str) -> str:
    reference = parse_model_reference(model)
    recorded = [each.facts.get("family") for each in results.run.variants if each.model == model]
    families = [reference.place] if reference.source == "standard" else [each for each in recorded if each]
    return _TASK_TYPES.get(str(families[0]), _UNKNOWN_TYPE) if families else _UNKNOWN_TYPE


def _judged(cell: CellSummary, kind: str) -> EvalResult:
    if cell.retained is None:
        return _result(cell, kind, cell.items, Metric("accuracy"), round(cell.accuracy.value, 4), cell.accuracy)
    retained = Metric("retained", meaning="share of the original's right answers that are still right")
    items = cell.items if cell.paired is None else cell.paired
    return _result(cell, kind, items, retained, round(cell.retained.value, 4), cell.retained)


def _measured(cell: MeasuredSummary, kind: str) -> Iterator[EvalResult]:
    for metric in card_metrics(cell):
        value = cell.metrics[metric.name]
        # JSON, which the Hub turns the metadata into, has no infinity.
        if math.isfinite(value):
            yield _result(cell, kind, cell.items, metric, _rounded(value), cell.intervals.get(metric.name))


def _result(
    cell: CellSummary | MeasuredSummary,
    kind: str,
    items: int,
    metric: Metric,
    value: float,
    estimate: Estimate | None,
) -> EvalResult:
    limits = {} if estimate is None else {"low": _rounded(estimate.low), "high": _rounded(estimate.high)}
    return EvalResult(
        task_type=kind,
        dataset_type=cell.task.partition(":")[0],
        dataset_name=public_task(cell.task),
        # Results of one type and configuration share the name of the first.
        dataset_config=public_task(cell.task),
        dataset_args={"items": items},
        metric_type=metric.name,
        metric_name=metric.meaning.partition(";")[0] or metric.heading or metric.name,
        metric_value=value,
        metric_args={**limits, **({"confidence": 0.95} if limits else {}), "tool": _TOOL},
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
