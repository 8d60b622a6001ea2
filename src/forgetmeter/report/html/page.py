"""The page: one HTML document that contains its style, scripts, drawings and data."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from itertools import count as numbers_from
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from forgetmeter.basics.visible_text import visible
from forgetmeter.report.candidates_table import CANDIDATES
from forgetmeter.report.figures.figure import DrawnFigure
from forgetmeter.report.formats.findings_text import effect_text
from forgetmeter.report.html.inline_svg import inline_svg
from forgetmeter.report.html.json_block import json_block
from forgetmeter.report.html.ledger_data import LedgerData
from forgetmeter.report.run_figures import RunFigures, TaskFigures
from forgetmeter.report.shift_tables import shift_tables, shift_terms
from forgetmeter.report.side_by_side import SideBySide
from forgetmeter.report.tables import legend, remarks, tables
from forgetmeter.report.words.decision import Decision
from forgetmeter.report.words.headline import Headline
from forgetmeter.report.words.numbers import count, percent, points, points_interval, probability
from forgetmeter.report.words.recipe_words import recipe_in_words, task_label, variant_noun
from forgetmeter.report.words.run_facts import run_facts
from forgetmeter.results.findings.finding import VERDICTS, Finding
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run
from forgetmeter.specs.recipe import BASELINE

_FIRST_CHECKS = 5
_FIRST_DECISIONS = 6
_PACKAGE = "forgetmeter.report.html"

HeroKind = Literal["level", "sensitivity", "frontier"]
"""Field of ``RunFigures`` with the charts of the first screen."""


@dataclass(frozen=True, eq=False)
class PageContent:
    """Content of the page.

    Attributes:
        drawn: The drawings of all figures, by name.
        ledger: What was forgotten and gained.
        other: Comparison with another run, on request.
        decisions: The verdicts of a gate, on request; without them, what is known of each candidate.
        overview: How many variants may ship; empty without a gate or for a single variant.
        reading: What the verdicts mean, or how to get them.
        files: SHA-256 of the checksums of the report's other files.
    """

    run: Run
    summary: Summary
    headlines: Sequence[Headline]
    figures: RunFigures
    drawn: Mapping[str, DrawnFigure]
    findings: Sequence[Finding]
    ledger: LedgerData
    other: SideBySide | None = None
    decisions: Sequence[Decision] = ()
    overview: str = ""
    reading: str = ""
    files: str = ""


def render_page(content: PageContent) -> str:
    """Return the whole document."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE, "."),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "percent": percent,
        "points": points,
        "count": count,
        "points_interval": points_interval,
        "probability": probability,
        "words": partial(recipe_in_words, methods=content.summary.methods),
        "effect": effect_text,
        "quoted": shlex.quote,
        "noun": variant_noun(variant.recipe for variant in content.summary.variants),
    }
    tasks = [task.task for task in content.summary.tasks]
    environment.globals["label"] = lambda task: task_label(task, tasks)
    hero, hero_kind = _hero(content)
    shifts, every = shift_tables(content.summary), tables(content.summary)
    theme, script = _resource("theme.js"), _resource("page.js")
    page = environment.get_template("page.html.j2").render(
        title=_title(content.run.location),
        location=content.run.location,
        style=Markup(_resource("style.css")),
        theme_script=Markup(theme),
        page_script=Markup(script),
        policy=_policy(theme, script),
        files=content.files,
        headlines=_by_model(content.headlines),
        remarks=remarks(content.summary),
        hero=hero,
        hero_kind=hero_kind,
        guessable={cell.task for cell in content.summary.cells if cell.chance is not None},
        level=_without(content.figures.level, hero),
        frontier=_without(content.figures.frontier, hero),
        sensitivity=_without(content.figures.sensitivity, hero),
        figures=content.figures,
        uncompared=_uncompared(content.summary),
        is_baseline_alone=_is_baseline_alone(content.summary),
        findings=content.findings,
        verdicts=VERDICTS,
        ledger=content.ledger,
        ledger_json=json_block(content.ledger.document),
        tables=[table for table in every if table.name != CANDIDATES],
        candidates=[table for table in every if table.name == CANDIDATES],
        shifts=shifts,
        legend=list(dict.fromkeys([*legend(content.summary), *shift_terms(shifts)])),
        groups=run_facts(content.run, content.summary),
        other=content.other,
        decisions=content.decisions,
        overview=content.overview,
        reading=content.reading,
        first_decisions=_FIRST_DECISIONS,
        first_checks=_FIRST_CHECKS,
        draw=_Drawings(content.drawn),
    )
    return page.strip() + "\n"


def _shown(value: object) -> object:
    """Return a value of the template with its control characters visible; our own markup is left as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


class _Drawings:
    """Returns the inline drawing of a figure, with ids that are unique within the page."""

    def __init__(self, drawn: Mapping[str, DrawnFigure]) -> None:
        self._drawn = drawn
        self._numbers = numbers_from()

    def __call__(self, name: str) -> Markup:
        drawn = self._drawn[name]
        return inline_svg(drawn.svg, prefix=f"f{next(self._numbers)}-", label=drawn.figure.alternative)


def _hero(content: PageContent) -> tuple[tuple[TaskFigures, ...], HeroKind]:
    """Return the charts of the first screen, and their kind.

    They are of the first task that a baseline knows anything about: curves over pruned weights, one per model; without
    curves, all heat maps of parts; without these, the chart of sizes, one per model.
    """
    known = {each.task for each in content.headlines if each.has_knowledge}
    kinds: tuple[HeroKind, ...] = ("level", "sensitivity", "frontier")
    kind = next((each for each in kinds if getattr(content.figures, each)), kinds[-1])
    groups = sorted(getattr(content.figures, kind), key=lambda group: group.task not in known)
    if not groups or kind == "sensitivity":
        return tuple(groups[:1]), kind
    first = {figure.model: figure for figure in reversed(groups[0].figures)}
    shown = tuple(figure for figure in groups[0].figures if figure in first.values())
    return (TaskFigures(groups[0].task, shown),), kind


def _uncompared(summary: Summary) -> str:
    """Return why no recipe is compared with a baseline; empty if one is."""
    if any(cell.retained is not None for cell in summary.cells if cell.recipe != BASELINE):
        return ""
    if _is_baseline_alone(summary):
        return "the run has no outcomes of a recipe besides the baseline"
    return "the baseline is missing or knows nothing"


def _is_baseline_alone(summary: Summary) -> bool:
    return all(cell.recipe == BASELINE for cell in summary.cells)


def _without(groups: Sequence[TaskFigures], shown: Sequence[TaskFigures]) -> list[TaskFigures]:
    names = {figure.name for group in shown for figure in group.figures}
    left = [replace(group, figures=tuple(each for each in group.figures if each.name not in names)) for group in groups]
    return [group for group in left if group.figures]


def _title(location: str) -> str:
    return location.rstrip("/").rpartition("/")[2] or location


def _by_model(headlines: Sequence[Headline]) -> dict[str, list[Headline]]:
    found: dict[str, list[Headline]] = {}
    # Tasks on which the baseline knows nothing come last.
    for each in sorted(headlines, key=lambda each: not each.has_knowledge):
        found.setdefault(each.model, []).append(each)
    return found


def _resource(name: str) -> str:
    return (files(_PACKAGE) / name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Return a content security policy that allows only these scripts and no network access."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
