"""The tables of a summary, independent of any output format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from forgetmeter.basics.plural import counted, listed, megabytes
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.probes.registry import counted_things
from forgetmeter.report.candidates_table import candidates_table, candidates_terms
from forgetmeter.report.group_tables import group_tables
from forgetmeter.report.items_column import items_terms, with_items
from forgetmeter.report.measured_tables import measured_tables, measured_terms
from forgetmeter.report.table import Table, TableRow, Term, failed_row
from forgetmeter.report.words.guessing_facts import guessing_facts
from forgetmeter.report.words.left_out_facts import (
    left_out_facts,
    left_out_remarks,
    not_numbers_remarks,
    shown_cell,
)
from forgetmeter.report.words.numbers import (
    MISSING,
    count,
    magnitude,
    percent,
    percent_interval,
    points_interval,
    probability,
)
from forgetmeter.report.words.origin_words import origin_remarks
from forgetmeter.report.words.size_words import SIZES, packed_remark, reading_remark
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.summary import Summary, TaskSummary, VariantSummary
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.paired import value

STAR = "*"
DAGGER = "†"
_MOST_NAMED = 3

VARIANT_COLUMNS = ("sparsity", "removed", *SIZES.values())
TASK_COLUMNS = ("accuracy", "drop [95%]", "retained", "gained", "flips", "p (Holm)")
_FEW = Term(
    "P@5",
    "share of items whose right answer is in the top five. For decoders, with multi_token, and for probes other "
    "than LAMA, the relation's objects are ranked; otherwise the whole vocabulary. Accuracy is P@1",
)
_RECIPROCAL = Term("MRR", "mean reciprocal rank of the right answer, in percent")
_MACRO = Term("macro", "mean accuracy over relations, equally weighted")
MORE_COLUMNS = {
    "p_at_5": _FEW,
    "mrr": _RECIPROCAL,
    "p_at_1_macro": _MACRO,
    "accuracy_macro": _MACRO,
    "acc_macro": _MACRO,
}
"""Additional columns of tasks that have these metrics."""

_VARIANT_TERMS = (
    Term("sparsity", "share of zeros among the weights in the recipe's scopes"),
    Term("removed", "weights that became zero"),
    Term("dense", "size of the whole model, with every weight stored"),
    Term("bitmask", "the same, with one bit per weight that marks zeros, and only the nonzero weights stored"),
    Term("quantized", "the same, with quantized weights stored at their bit width"),
    Term("smallest", "the same, with each matrix in its smallest form, which may combine the two above"),
)
_TASK_TERMS = (
    Term("accuracy", "share of items answered right; for the baseline with its 95% interval"),
    Term(
        "drop",
        "percentage points of accuracy lost relative to the baseline on the same items, with the 95% interval (over "
        "relations if the task has at least five, else over items); negative means better than the baseline",
    ),
    Term("retained", "share of the baseline's right answers that are still right"),
    Term("gained", "number of items that the baseline got wrong and the variant gets right"),
    Term("flips", "share of items that changed from right to wrong or from wrong to right"),
    Term(
        "p (Holm)",
        "probability that chance alone makes the numbers of forgotten and gained items at least this unequal (exact "
        "McNemar test), Holm-corrected for all comparisons in this run",
    ),
    Term(
        STAR,
        "significant for these items: p (Holm) below 0.05, and the whole interval beyond zero and the noise floor; "
        "p (relations) in --format shifts tests whether the effect extends to other relations",
    ),
    Term("chance", "accuracy of random guessing"),
    Term(
        "majority",
        "accuracy of always giving the most frequent right answer of a relation or, without relations, the most "
        "frequent position of the right answer in the list",
    ),
)
_NOISE = Term(
    "noise",
    "share of items that change when the baseline is scored again: in batches of different shapes or, if it "
    "computed in 16 bits, in float32",
)
_SIMULATED = Term(
    DAGGER,
    "simulated: computed in floating point for lack of a kernel; the arithmetic is the same, the speed is not",
)


def tables(summary: Summary) -> list[Table]:
    """Return, for each model, the table of its variants, one table per task and the table of its candidates."""
    models = list(dict.fromkeys(variant.model for variant in summary.variants))
    found = []
    for model in models:
        if _has_sizes(summary):
            found.append(_variants_table(model, [each for each in summary.variants if each.model == model]))
        measured = measured_tables(model, summary)
        for task in summary.tasks:
            if any(table.name == task.task for table in measured):
                continue
            table = _task_table(model, task, summary)
            if table.rows:
                found.append(table)
        found += [*measured, *group_tables(model, summary)]
        if (candidates := candidates_table(model, summary)) is not None:
            found.append(candidates)
    return found


def legend(summary: Summary) -> list[Term]:
    """Return the terms that explain the summary's tables."""
    terms = list(_VARIANT_TERMS) if _has_sizes(summary) else []
    if any(variant.simulated for variant in summary.variants):
        terms.append(_SIMULATED)
    more = dict.fromkeys(MORE_COLUMNS[name] for name in _more_columns(summary.cells))
    noise = [_NOISE] if any(cell.noise_floor is not None for cell in summary.cells) else []
    terms += [*_TASK_TERMS, *noise, *more] if summary.cells else []
    return [*terms, *measured_terms(summary), *items_terms(summary.all_cells), *candidates_terms(summary)]


def remarks(summary: Summary) -> list[str]:
    """Return remarks on the run that readers of the tables need, one sentence each."""
    found = []
    if summary.missing:
        done = len(summary.all_cells)
        planned = len(summary.missing) + done + len(summary.failures)
        rest = "import the rest" if summary.study.origins else "run the study again to do the rest"
        found.append(f"Not finished: {done} of {counted(planned, 'cell')} done; {rest}.")
    if summary.damaged:
        shown = listed([visible_line(each) for each in summary.damaged], _MOST_NAMED)
        found.append(
            f"Damaged, edited or belonging to another cell, so not counted: {shown}; run the study again to "
            "replace them."
        )
    if summary.failures:
        number = len(summary.failures)
        retry = f"; run the study again to retry {'it' if number == 1 else 'them'}"
        found.append(f"{counted(number, 'cell')} failed{'' if summary.study.origins else retry}.")
    found += [
        # Candidates have a table.
        visible_line(packed_remark(model, source) + reading_remark(source))
        for model, source in summary.study.sources.items()
        if model in summary.study.models
    ]
    found += origin_remarks(summary.study.origins)
    found += _stopped_remarks(summary.cells)
    found += left_out_remarks(summary.all_cells)
    found += not_numbers_remarks(summary.all_cells)
    found += [
        f"{task.task}: its items are missing or damaged, so relations, questions and the accuracy of guessing are "
        "unknown, and intervals are over items, which is too narrow for a task with relations; run the study again to "
        "store them."
        for task in summary.tasks
        if not task.has_items
    ]
    answered = dict.fromkeys(cell.model for cell in summary.cells)
    baselines = {cell.model for cell in summary.cells if cell.recipe == BASELINE}
    for model in answered:
        if model not in baselines:
            found.append(f"{model}: the baseline has no outcomes, so there is nothing to compare with.")
    return found


def _stopped_remarks(cells: Sequence[CellSummary]) -> list[str]:
    stopped, whole = list[CellSummary](), list[CellSummary]()
    for cell in cells:
        if cell.aim is not None:
            (whole if cell.precision is None else stopped).append(cell)
    found = [_stopped_remark(stopped)] if stopped else []
    if whole:
        found.append(
            f"{counted(len(whole), 'cell')} evaluated on all items did not stop early by --margin; the intervals of "
            "drop and retained, and the p-values, allow for stopping all the same."
        )
    return found


def _stopped_remark(stopped: Sequence[CellSummary]) -> str:
    options = sorted({cell.stop_option for cell in stopped}, reverse=True)
    return (
        f"{counted(len(stopped), 'cell')} stopped before the last item, once {stop_reasons(stopped)}. The intervals of "
        "drop and retained, and the p-values, allow for that; accuracy and other metrics are those of the items "
        f"evaluated. Run the study again without {' and '.join(options)} to evaluate all."
    )


def stop_reasons(stopped: Sequence[CellSummary]) -> str:
    """Return what was known of the drops of cells that stopped early."""
    of_margins = {cell.margin for cell in stopped if cell.margin is not None}
    precise = [cell.precision or 0.0 for cell in stopped if cell.margin is None]
    points = [f"{100 * margin:g}" for margin in sorted(of_margins)]
    reasons = [f"the drop was known to ±{100 * max(precise):g} points"] if precise else []
    reasons += [f"it was certain whether the drop is at most {' or '.join(points)} points"] if points else []
    return ", or ".join(reasons)


def _has_sizes(summary: Summary) -> bool:
    """Whether the sizes of variants may be known; those of imported answers are not."""
    return not summary.all_cells or any(variant.dense_bytes is not None for variant in summary.variants)


def _variants_table(model: str, variants: Sequence[VariantSummary]) -> Table:
    sizes = zip(
        *(megabytes(getattr(variant, kind) for variant in variants) for kind in SIZES),
        strict=True,
    )
    rows = tuple(_variant_row(variant, size) for variant, size in zip(variants, sizes, strict=True))
    return Table(model, "Variants", ("sizes in MB",), VARIANT_COLUMNS, rows)


def _variant_row(variant: VariantSummary, sizes: Iterable[str]) -> TableRow:
    dense, bitmask, quantized, smallest = sizes
    sign = f" {DAGGER}" if variant.simulated else ""
    removed = magnitude(variant.removed_weights) if variant.removed_weights else MISSING
    return TableRow(variant.recipe, (percent(variant.sparsity), removed, dense, bitmask, quantized + sign, smallest))


def _task_table(model: str, task: TaskSummary, summary: Summary) -> Table:
    done = {cell.recipe: cell for cell in summary.cells if (cell.model, cell.task) == (model, task.task)}
    failed = {each.recipe: each for each in summary.failures if (each.model, each.task) == (model, task.task)}
    recipes = dict.fromkeys(variant.recipe for variant in summary.variants if variant.model == model)
    rows = []
    for recipe in recipes:
        if recipe in done:
            rows.append(_cell_row(done[recipe]))
        elif recipe in failed:
            rows.append(failed_row(failed[recipe]))
    more = _more_columns(done.values())
    rows = [
        replace(row, cells=(*row.cells, *_more_values(done[row.recipe], more))) if row.cells else row for row in rows
    ]
    columns = (*TASK_COLUMNS, *(MORE_COLUMNS[name].name for name in more))
    facts = _task_facts(task, tuple(done.values()))
    return with_items(Table(model, task.task, facts, columns, tuple(rows), len(more)), done.values())


def _more_columns(cells: Iterable[CellSummary]) -> tuple[str, ...]:
    """Return the metrics with their own column that any of the cells has."""
    known = {name for cell in cells for name in cell.metrics}
    return tuple(name for name in MORE_COLUMNS if name in known)


def _more_values(cell: CellSummary, metrics: Iterable[str]) -> tuple[str, ...]:
    return tuple(percent(cell.metrics.get(name)) for name in metrics)


def _task_facts(task: TaskSummary, cells: Sequence[CellSummary]) -> tuple[str, ...]:
    facts = [counted_things(task.task, shown_cell(cells).items if cells else task.items)]
    facts += left_out_facts(cells, task.filters)
    facts += guessing_facts(cells)
    noise = next((cell.noise_floor for cell in cells if cell.noise_floor is not None), None)
    facts += [] if noise is None else [f"noise {percent(noise)}"]
    return tuple(facts)


def _cell_row(cell: CellSummary) -> TableRow:
    if cell.drop is None:
        # Without a baseline, only the accuracy is known; it gets an interval, as the baseline's does.
        reached = percent_interval(cell.accuracy)
        return TableRow(cell.recipe, (reached, *[MISSING] * (len(TASK_COLUMNS) - 1)))
    sign = f" {STAR}" if cell.is_significant else ""
    return TableRow(
        cell.recipe,
        (
            percent(cell.accuracy.value),
            points_interval(cell.drop),
            percent(value(cell.retained)),
            count(cell.gained),
            percent(cell.flips),
            probability(cell.p_holm) + sign,
        ),
        is_strong=cell.is_significant,
    )
