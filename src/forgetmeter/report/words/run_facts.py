"""Facts about a run: models, tasks, evaluation, noise, hardware, versions, cells and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from forgetmeter.basics.plural import counted
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.report.words.guessing_facts import guessing_facts
from forgetmeter.report.words.numbers import count, percent
from forgetmeter.report.words.recipe_words import recipe_in_words
from forgetmeter.results.profile import Profile, profile
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run
from forgetmeter.runs.study_record import StudyRecord
from forgetmeter.specs.recipe import BASELINE

_MOST_FAILURES = 200
_SHORT = 12
"""Digits of a hash that are shown."""


@dataclass(frozen=True)
class FactGroup:
    """Facts under one heading, as pairs of name and value."""

    heading: str
    facts: tuple[tuple[str, str], ...]


def run_facts(run: Run, summary: Summary) -> list[FactGroup]:
    """Return the facts about a run, without empty groups."""
    study = run.study
    groups = [
        FactGroup("Models", tuple(_models(study))),
        FactGroup("Imported", tuple(_imported(study))),
        FactGroup("Tasks", tuple(_tasks(run, summary))),
        FactGroup("Evaluation", tuple(_plain(study.settings))),
        FactGroup("Noise floor", tuple(_noise(run))),
        FactGroup("Hardware", tuple(_plain(study.hardware))),
        FactGroup("Computed on", tuple(_computed_on(run))),
        FactGroup("Versions", tuple(_plain(study.versions))),
        FactGroup("Cells", tuple(_cells(summary))),
        FactGroup("Time", tuple(_time(profile(run)))),
        FactGroup("Failures", tuple(_failures(summary))),
    ]
    return [group for group in groups if group.facts]


def _models(study: StudyRecord) -> Iterable[tuple[str, str]]:
    for model in dict.fromkeys((*study.models, *study.model_content)):
        content = study.model_content.get(model)
        yield model, "content not recorded" if content is None else f"content {content}"


def _imported(study: StudyRecord) -> Iterable[tuple[str, str]]:
    for name, origin in study.origins.items():
        settings = [f"{key} {value}" for key, value in origin.settings.items()]
        files = [f"{file} (SHA-256 {str(digest)[:_SHORT]}…)" for file, digest in origin.files.items()]
        yield name, visible_line("; ".join([origin.tool, *settings, *files, *origin.notes]))


def _tasks(run: Run, summary: Summary) -> Iterable[tuple[str, str]]:
    stored = {each.task: each.facts for each in run.tasks}
    for task in summary.tasks:
        row = stored.get(task.task, {})
        said = [counted(task.items, "item")]
        official = row.get("official_size")
        if official is not None and official != task.items:
            said.append(f"of {count(official)} in total")
        said += [f"source {row['source']}"] if row.get("source") else []
        said += [f"version {row['version']}"] if row.get("version") else []
        said += [f"left out: {count(number)} {reason}" for reason, number in task.filters.items()]
        said += guessing_facts([cell for cell in summary.cells if cell.task == task.task], guessing="guessing")
        yield task.task, ", ".join(said)
    yield from _not_asked(summary)


def _not_asked(summary: Summary) -> Iterable[tuple[str, str]]:
    seen = set()
    for cell in summary.all_cells:
        reasons = ", ".join(f"{count(number)} {reason}" for reason, number in cell.dropped.items())
        if reasons and (cell.model, cell.task, reasons) not in seen:
            seen.add((cell.model, cell.task, reasons))
            variant = "" if cell.recipe == BASELINE else f": {recipe_in_words(cell.recipe, summary.methods)}"
            yield f"{cell.task}, {cell.model}{variant}", f"not scorable: {reasons}"


def _plain(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        yield str(name).replace("_", " "), _value(value)


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(each)}" for key, each in value.items())
    return "none" if value is None else str(value)


def _noise(run: Run) -> Iterable[tuple[str, str]]:
    for (model, task), noise in run.noise.items():
        yield f"{model}, {task}", f"{noise.what} changes {percent(noise.floor)} of the answers"


def _computed_on(run: Run) -> Iterable[tuple[str, str]]:
    found = Counter(cell.computed_on for cell in run.cells if cell.computed_on is not None)
    for name, number in found.items():
        yield name, counted(number, "cell")


def _cells(summary: Summary) -> Iterable[tuple[str, str]]:
    times = [cell.seconds for cell in summary.all_cells]
    seconds = sum(each for each in times if each is not None)
    yield "done", f"{count(len(times))}, in {seconds / 60:,.1f} minutes of scoring"
    if summary.missing:
        missing = Counter((model, task) for model, _, task in summary.missing)
        for (model, task), number in missing.items():
            yield f"missing: {model}, {task}", f"{counted(number, 'recipe')}; run the study again to do the rest"
    simulated = [each for each in summary.variants if each.simulated]
    if simulated:
        yield (
            "simulated",
            f"{counted(len(simulated), 'variant')}, in floating point: same arithmetic, not the same speed",
        )


def model_times(model: str, profile: Profile) -> Iterable[str]:
    """Yield phrases on the time of a model, apart from its tasks."""
    if model in profile.load:
        yield f"loading {profile.load[model]:,.1f} s"
    yield f"compressing {profile.compress.get(model, 0.0):,.1f} s"
    if model in profile.rates:
        yield f"matrix product {profile.rates[model] / 1e9:,.0f} GFLOP/s"


def _time(profile: Profile) -> Iterable[tuple[str, str]]:
    for model in profile.load:
        yield model, ", ".join(model_times(model, profile))
    for each in profile.tasks:
        said = [f"{seconds:,.1f} s to {what}" for what, seconds in each.stages.items() if seconds]
        said += [] if each.tokens is None else [f"{each.tokens:,.0f} tokens/s"]
        said += [] if each.padding is None else [f"padding {percent(each.padding)}"]
        said += [] if each.product_share is None else [f"{percent(each.product_share)} of the product's rate"]
        yield f"{each.task}, {each.model}", ", ".join(said)


def _failures(summary: Summary) -> Iterable[tuple[str, str]]:
    for failure in summary.failures[:_MOST_FAILURES]:
        name = f"{failure.model}, {failure.task}: {recipe_in_words(failure.recipe, summary.methods)}"
        yield name, visible_line(failure.error) or "no cause was recorded"
    if len(summary.failures) > _MOST_FAILURES:
        yield "and more", counted(len(summary.failures) - _MOST_FAILURES, "failure")
