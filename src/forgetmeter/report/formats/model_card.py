"""A Hub model card that says what a variant still knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import yaml
from huggingface_hub import ModelCard

from forgetmeter.basics.plural import joined, listed
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.config.study import Evaluation
from forgetmeter.errors import UserError, one_line
from forgetmeter.probes.registry import counted_things
from forgetmeter.report.formats.card_metadata import card_metadata, card_metrics, card_title
from forgetmeter.report.formats.show_markdown import code, escaped
from forgetmeter.report.measured_tables import metric_ratio, metric_value
from forgetmeter.report.tables import stop_reasons
from forgetmeter.report.words.numbers import MISSING, count, percent_interval, points_interval
from forgetmeter.report.words.public_names import public_model, public_task
from forgetmeter.report.words.recipe_words import candidate_of, is_candidate
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.measured import MeasuredSummary
from forgetmeter.results.compared.stopped import asked_items
from forgetmeter.results.gate.answered import VariantAnswers
from forgetmeter.results.ledger import LedgerEntry, surest_first
from forgetmeter.results.results import Results

_START, _END = "<!-- forgetmeter -->", "<!-- /forgetmeter -->"
_SECTION = re.compile(rf"\n*{_START}.*?{_END}\n*", re.DOTALL)
_EXAMPLES = 3
_LONGEST = 300
"""Characters of an example's question and answers; the end of a prompt is the question."""
_MOST_FILES = 4
_SETTINGS = ("limit", "dtype", "seed", "num_fewshot", "system_instruction", "chat_template")


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
    summary = results.summary
    cells = [each for each in summary.cells if (each.model, each.recipe) == (model, recipe) and each.drop is not None]
    measured = [each for each in summary.measured if (each.model, each.recipe) == (model, recipe)]
    if not cells and not measured:
        raise UserError(
            f"a card needs answers of '{recipe}' and of its baseline on the same task; "
            "run the study again to complete it"
        )
    try:
        card = ModelCard(existing, ignore_metadata_errors=False)
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"the metadata of the existing card cannot be read ({one_line(error)}); correct it") from None
    guessed = results.summary.guessed(model)
    cells = [replace(cell, retained=None) if cell.task in guessed else cell for cell in cells]
    about = card_metadata(card.data, results, (model, recipe), cells, measured)
    text = _SECTION.sub("\n", card.text).strip()
    body = f"{text}\n\n" if text else f"# {escaped(card_title(model, recipe))}\n\n"
    section = "\n\n".join(_section(results, model, recipe, cells, measured))
    return f"---\n{about.to_yaml()}\n---\n\n{body}{_START}\n{section}\n{_END}\n"


def _section(
    results: Results, model: str, recipe: str, cells: Sequence[CellSummary], measured: Sequence[MeasuredSummary]
) -> Iterator[str]:
    content = None if results.run.study.origins else results.run.study.model_content.get(model)
    of = code(public_model(model)) + (f" (content {content})" if content else "")
    yield "## What it still knows"
    yield f"Compared with the original, {of}, on the same items, by forgetmeter. {_intervals(cells, measured)}".strip()
    if cells:
        yield _table("| task | items | accuracy | drop (points) | retained | change |", map(_row, cells))
        yield (
            "*drop*: accuracy of the original minus that of this model. *retained*: share of the original's right "
            "answers that are still right. *lost*, *gained* and *unclear*: whether the change is significant."
        )
        if guessed := [public_task(cell.task) for cell in cells if cell.task in results.summary.guessed(model)]:
            yield (
                f"On {escaped(joined(guessed))}, the original is not better than guessing, so it has nothing to forget "
                "there."
            )
        yield from _stopped(cells)
        yield from _missing(results, cells)
    if measured:
        yield _measured_table(measured)
        metrics = dict.fromkeys(metric for cell in measured for metric in card_metrics(cell) if metric.meaning)
        meanings = (f"*{escaped(each.heading or each.name)}*: {escaped(each.meaning)}." for each in metrics)
        yield " ".join([*meanings, "The *baseline* is the original, the *variant* this model."])
    if without := [*_without_results(results, model, recipe)]:
        yield f"Without results: {', '.join(without)}."
    if cells:
        yield from _examples(results, model, recipe)
    yield from _origin(results, model, recipe) if results.run.study.origins else _command(results, model, recipe, cells)


def _intervals(cells: Sequence[CellSummary], measured: Sequence[MeasuredSummary]) -> str:
    """Return what is to be said about the intervals of a card."""
    has_any = [each.name in cell.intervals for cell in measured for each in card_metrics(cell) if each.weight]
    said = ["Intervals are at 95%."] if cells or any(has_any) else []
    return " ".join([*said, *([] if all(has_any) else ["Means over fewer than five texts have no interval."])])


def _stopped(cells: Sequence[CellSummary]) -> Iterator[str]:
    for cell in cells:
        if cell.precision is None and cell.margin is not None:
            yield (
                f"Evaluation on {escaped(public_task(cell.task))} could have stopped early, and did not. The intervals "
                "of drop and retained allow for that."
            )
        if cell.precision is not None:
            yield (
                f"Evaluation on {escaped(public_task(cell.task))} stopped once {stop_reasons([cell])}. The intervals "
                "of drop and retained allow for that; accuracy and its interval are those of the items evaluated."
            )


def _missing(results: Results, cells: Sequence[CellSummary]) -> Iterator[str]:
    """Yield how many of the items that were asked only the original answered."""
    answers = {(each.model, each.task): each for each in results.run.answers}
    for cell in cells:
        of = answers[cell.model, cell.task]
        row, every, asked = of.recipes.index(cell.recipe), np.ones(len(of.items), dtype=np.bool_), None
        if cell.precision is not None:
            asked = asked_items(of, row, seed=int(results.run.study.settings["seed"]))
        if missing := VariantAnswers(of, row, every, asked_of=asked).missing.sum():
            yield (
                f"Missing: answers to {counted_things(cell.task, int(missing))} of {escaped(public_task(cell.task))} "
                "that the original answered. They may be right or wrong, and are in none of these numbers."
            )


def _table(heading: str, rows: Iterable[str]) -> str:
    rule = [":---" if name.strip() in ("task", "measure", "change") else "---:" for name in heading.split("|")[1:-1]]
    return "\n".join([heading, f"|{'|'.join(rule)}|", *rows])


def _row(cell: CellSummary) -> str:
    assert cell.drop is not None
    retained = MISSING if cell.retained is None else percent_interval(cell.retained)
    items = count(cell.items) + (f" ({count(cell.paired)} compared)" if cell.paired != cell.items else "")
    values = (public_task(cell.task), items, percent_interval(cell.accuracy), points_interval(cell.drop), retained)
    return f"| {' | '.join(map(escaped, (*values, cell.verdict or '')))} |"


def _measured_table(cells: Sequence[MeasuredSummary]) -> str:
    shown = [(cell, metric) for cell in cells for metric in card_metrics(cell)]
    has_ratios = any(metric.ratio for _, metric in shown)
    rows = []
    for cell, metric in shown:
        values = [public_task(cell.task), count(cell.items), metric.heading or metric.name, metric_value(metric, cell)]
        values += [metric_ratio(metric, cell) if metric.ratio else ""] if has_ratios else []
        rows.append(f"| {' | '.join(map(escaped, values))} |")
    return _table(f"| task | items | measure | value |{' × baseline |' if has_ratios else ''}", rows)


def _without_results(results: Results, model: str, recipe: str) -> Iterator[str]:
    summary = results.summary
    for each in summary.failures:
        if (each.model, each.recipe) == (model, recipe):
            yield f"{escaped(public_task(each.task))} (failed)"
    yield from (escaped(public_task(task)) for *variant, task in summary.missing if variant == [model, recipe])


def _examples(results: Results, model: str, recipe: str) -> Iterator[str]:
    guessed = results.summary.guessed(model)
    for ledger in results.ledgers(recipe, model=model):
        if ledger.task in guessed:
            continue
        gone = surest_first(each for each in ledger.entries if each.status == "forgotten")
        if not gone:
            continue
        shown = [each for each in gone if _has_text(each)][:_EXAMPLES]
        number = counted_things(ledger.task, len(gone))
        yield f"Forgotten of {escaped(public_task(ledger.task))}: {number}{_among(gone, shown)}"
        if shown:
            yield "\n".join(
                f"- {_short(each.statement)} → {_short(each.gold)}, now: {_short(each.after)}" for each in shown
            )


def _has_text(entry: LedgerEntry) -> bool:
    """Return whether the question and both answers are known: an import may lack them, and asks by the item's id."""
    return all((entry.statement.strip(), entry.gold.strip(), entry.after.strip())) and entry.statement != entry.item_id


def _among(gone: Sequence[LedgerEntry], shown: Sequence[LedgerEntry]) -> str:
    if not shown:
        return "."
    if len(shown) == len(gone):
        return ":"
    is_surest = gone[0].margin_before is not None and gone[: len(shown)] == shown
    return f", among them {'those that the original was surest of' if is_surest else 'these'}:"


def _short(text: str) -> str:
    line = visible_line(text)
    return escaped(line if len(line) <= _LONGEST else f"…{line[-_LONGEST:]}")


def _origin(results: Results, model: str, recipe: str) -> Iterator[str]:
    origins = results.run.study.origins
    lines = []
    for name in (model, candidate_of(recipe) or ""):
        if name in origins:
            origin = origins[name]
            files = listed([each.rpartition("/")[2] for each in origin.files], _MOST_FILES)
            said = [f"{origin.tool} ({files})", *origin.notes]
            lines.append(f"- {code(public_model(name))}: {escaped('; '.join(said))}")
    yield "The answers were not computed by forgetmeter but imported:"
    yield "\n".join(lines)


def _command(results: Results, model: str, recipe: str, cells: Sequence[CellSummary]) -> Iterator[str]:
    """Yield the command that measures the variant again, if one can: steps on a candidate need a study file."""
    name = candidate_of(recipe)
    if name is None:
        what = ["run", "--model", public_model(model), "--recipes", recipe]
    elif is_candidate(recipe):
        what = ["compare", public_model(model), public_model(name)]
    else:
        return
    tasks = ",".join(dict.fromkeys(map(public_task, results.run.study.tasks)))
    options = ["--tasks", tasks, *_settings(results, cells), "--out", "run"]
    command = shlex.join(["forgetmeter", *what, *options])
    if "```" in command or visible_line(command) != command:
        # It would end the block, or read differently from what it is.
        return
    yield f"To measure it again{', on all items' if any(cell.margin is not None for cell in cells) else ''}:"
    yield f"```bash\n{command}\n```"


def _settings(results: Results, cells: Sequence[CellSummary]) -> Iterator[str]:
    usual, used = Evaluation(), results.run.study.settings
    for name in _SETTINGS:
        value = used.get(name, getattr(usual, name))
        if value != getattr(usual, name):
            yield f"--{name.replace('_', '-')}"
            yield from () if value is True else [str(value)]
    # Where a cell stops at a margin depends on the run's other cells, so the command evaluates all items.
    if precision := next(
        (cell.precision for cell in cells if cell.precision is not None and cell.margin is None), None
    ):
        yield from ("--precision", str(precision))
    if any(cell.noise_floor is not None for cell in cells):
        yield "--noise-floor"
