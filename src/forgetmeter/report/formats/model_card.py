"""A Hub model card that says what a variant still knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError, one_line
from forgetmeter.report.formats.show_markdown import escaped
from forgetmeter.report.words.numbers import count, percent_interval, points_interval
from forgetmeter.report.words.recipe_words import candidate_of, is_candidate
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.ledger import surest_first
from forgetmeter.results.results import Results
from forgetmeter.specs.method_facts import BY_NAME
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

_START, _END = "<!-- forgetmeter -->", "<!-- /forgetmeter -->"
_SECTION = re.compile(rf"\n*{_START}.*?{_END}\n*", re.DOTALL)
_EXAMPLES = 3


def model_card(results: Results, model: str, recipe: str, *, existing: str = "") -> str:
    """Return a model card with a variant's results, or an existing card with them added or replaced.

    Args:
        results: Results of the run.
        model: The original.
        recipe: The variant's recipe.
        existing: The card so far; empty if there is none.

    Raises:
        UserError: The variant has no answers to compare, or the metadata of the card cannot be read.
    """
    cells = [
        cell for cell in results.summary.cells if (cell.model, cell.recipe) == (model, recipe) and cell.drop is not None
    ]
    if not cells:
        raise UserError(f"a card needs answers of '{recipe}' and of its baseline on a task with right answers")
    try:
        card = ModelCard(existing, ignore_metadata_errors=False)
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"the metadata of the existing card cannot be read ({one_line(error)}); correct it") from None
    data: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]
    others = [each for each in getattr(card.data, "eval_results", None) or () if each.source_name != "forgetmeter"]
    data.pop("model-index", None)
    data |= _about(results, model, recipe)
    data["tags"] = list(dict.fromkeys([*(data.get("tags") or []), "forgetmeter", "compressed"]))
    name = data.pop("model_name", None) or (candidate_of(recipe) or recipe).rstrip("/").rpartition("/")[2]
    about = ModelCardData(model_name=name, eval_results=[*others, *map(_result, cells)], **data)
    text = _SECTION.sub("\n", card.text).strip()
    body = f"{text}\n\n" if text else f"# {name}\n\n"
    return f"---\n{about.to_yaml()}\n---\n\n{body}{_section(results, model, recipe, cells)}\n"


def _about(results: Results, model: str, recipe: str) -> dict[str, Any]:
    reference = parse_model_reference(model)
    about: dict[str, Any] = {"base_model": reference.place} if reference.source == "hub" else {}
    parsed = parse_recipe(recipe)
    methods = (results.summary.methods.get(step.method, BY_NAME) for step in parsed.steps)
    is_packed = str(parsed.candidate) in results.summary.study.sources
    if is_packed or any(each.quantizes for each in methods):
        about["base_model_relation"] = "quantized"
    return about


def _result(cell: CellSummary) -> EvalResult:
    estimate = cell.retained or cell.accuracy
    is_retained = cell.retained is not None
    return EvalResult(
        task_type="text-generation",
        dataset_type=cell.task.partition(":")[0],
        dataset_name=cell.task,
        dataset_args={"items": cell.paired or cell.items},
        metric_type="retained" if is_retained else "accuracy",
        metric_name="share of the original's right answers that are still right" if is_retained else "accuracy",
        metric_value=round(estimate.value, 4),
        metric_args={"low": round(estimate.low, 4), "high": round(estimate.high, 4), "confidence": 0.95},
        source_name="forgetmeter",
        source_url="https://arxiv.org/abs/2312.00960",
    )


def _section(results: Results, model: str, recipe: str, cells: Sequence[CellSummary]) -> str:
    content = results.run.study.model_content.get(model)
    of = f"`{model}`" + (f" (content {content})" if content else "")
    lines = [
        _START,
        "## What it still knows",
        "",
        f"Compared with {of} on the same items, by forgetmeter. Intervals are at 95%.",
        "",
        "| task | items | accuracy | drop (points) | retained | |",
        "|:---|---:|---:|---:|---:|:---|",
        *map(_row, cells),
        "",
        "*drop*: accuracy of the original minus that of this model. *retained*: share of the original's right answers "
        "that are still right. *lost*, *gained* and *unclear*: whether the change is significant.",
        "",
        *_examples(results, model, recipe),
        *_command(results, model, recipe),
        _END,
    ]
    return "\n".join(lines)


def _row(cell: CellSummary) -> str:
    retained = "—" if cell.retained is None else percent_interval(cell.retained)
    assert cell.drop is not None
    values = (cell.task, count(cell.items), percent_interval(cell.accuracy), points_interval(cell.drop), retained)
    return f"| {' | '.join(map(escaped, (*values, cell.verdict or '')))} |"


def _examples(results: Results, model: str, recipe: str) -> Iterator[str]:
    for ledger in results.ledgers(recipe, model=model):
        gone = surest_first(each for each in ledger.entries if each.status == "forgotten")
        if gone:
            yield f"Forgotten of {escaped(ledger.task)}: {counted(len(gone), 'item')}{_among(gone)}"
            yield ""
            for each in gone[:_EXAMPLES]:
                yield f"- {escaped(each.statement)} → {escaped(each.gold)}, now: {escaped(each.after)}"
            yield ""


def _among(gone: Sequence[object]) -> str:
    return ", among them those that the original was surest of:" if len(gone) > _EXAMPLES else ":"


def _command(results: Results, model: str, recipe: str) -> Iterator[str]:
    study = results.run.study
    tasks = ",".join(dict.fromkeys(study.tasks))
    name = candidate_of(recipe)
    limit = study.settings.get("limit")
    options = ["--tasks", tasks, *(["--limit", str(limit)] if limit else []), "--out", "run"]
    if name is not None and is_candidate(recipe):
        yield f"    {shlex.join(['forgetmeter', 'compare', model, name, *options])}"
    elif name is None:
        yield f"    {shlex.join(['forgetmeter', 'run', '--model', model, '--recipes', recipe, *options])}"
