"""``forgetmeter gate``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forgetmeter.basics.plural import counted
from forgetmeter.basics.visible_text import encodable
from forgetmeter.cli import options
from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.cli.progress import StageLines
from forgetmeter.config import study_file
from forgetmeter.errors import UserError
from forgetmeter.report.gate import gate_json, gate_junit, gate_markdown, gate_text, resolution_text
from forgetmeter.results import results
from forgetmeter.results.gate import check, gating, resolution
from forgetmeter.specs import condition
from forgetmeter.specs.suggestion import unknown
from forgetmeter.study import running

if TYPE_CHECKING:
    from forgetmeter.results.gate.resolution import PlannedMargin
    from forgetmeter.specs.condition import Condition

_CODES = {"PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11, "UNMEASURED": 12}
_UNDECIDED = ("pass", "fail")


def gate_command(
    run: Annotated[str | None, typer.Argument(help="Folder or URL of the run.", show_default=False)] = None,
    *,
    policy: Annotated[Path | None, typer.Option(help="Policy file (YAML) with conditions.")] = None,
    margin: Annotated[
        str | None,
        typer.Option(help="Largest acceptable drop in accuracy, such as 1pt (one percentage point) or 0.01."),
    ] = None,
    min_retained: Annotated[
        str | None,
        typer.Option(
            help="Smallest acceptable share of the original's right answers that are still right, such as 98%."
        ),
    ] = None,
    min_accuracy: Annotated[str | None, typer.Option(help="Smallest acceptable accuracy, such as 60%.")] = None,
    max_divergence: Annotated[
        str | None, typer.Option(help="Largest acceptable mean divergence from the baseline, in nats.")
    ] = None,
    min_agreement: Annotated[
        str | None,
        typer.Option(
            help="Smallest acceptable share of positions at which the model and the baseline predict the same next "
            "token, such as 99%."
        ),
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(help="Largest acceptable size: a share of the original's, such as 50%, or 200MB.")
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(help="Tasks that --margin, --min-retained and --min-accuracy apply to.", show_default="all"),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Check only this recipe or candidate; can be repeated.", show_default="all"),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="Study file to use instead of a run: say whether its items are enough to decide the margin."),
    ] = None,
    seen: Annotated[
        str | None,
        typer.Option(help="With --plan: a run from which to take the share of answers that flip on each task."),
    ] = None,
    flips: Annotated[
        str | None,
        typer.Option(
            help="With --plan: share of answers that flip.",
            show_default="as in --seen, else in the study's run, else 10%",
        ),
    ] = None,
    undecided: Annotated[
        bool, typer.Option("--allow-undecidable", help="With --plan: exit with 0 if a margin cannot be decided.")
    ] = False,
    inconclusive: Annotated[
        str,
        typer.Option(
            help="Whether INCONCLUSIVE and UNMEASURED count as 'pass' or 'fail'. "
            "With 'pass', --junit reports them as skipped."
        ),
    ] = "fail",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the checks as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the verdicts as Markdown, for a job summary.")] = None,
) -> None:
    """Decide whether compressed models may ship: pass, fail, or cannot tell.

    Conditions come from options, a policy file, or both; all of them must
    hold. A condition passes only if its whole 95% interval is within the
    limit, and fails only if the whole interval, corrected for the number of
    checks, is beyond it. INCONCLUSIVE: the interval spans the limit.
    UNMEASURED: data is missing or unusable.

    Exit codes: 0 PASS, 10 FAIL, 11 INCONCLUSIVE, 12 UNMEASURED.
    """
    if inconclusive not in _UNDECIDED:
        raise UserError(unknown("value of --inconclusive", inconclusive, _UNDECIDED))
    for file in (junit, markdown):
        _check_writable(file)
    limits = gating.limits_of(
        margin=margin,
        min_retained=min_retained,
        min_accuracy=min_accuracy,
        max_divergence=max_divergence,
        min_agreement=min_agreement,
        max_size=max_size,
    )
    if (run is None) == (plan is None):
        raise UserError("give a run to check, or --plan STUDY.yaml to plan one")
    conditions = gating.policy_of(policy, limits, tasks=options.split(tasks) or ())
    if plan is not None:
        _refuse({"--recipe": recipe, "--json": json, "--junit": junit, "--markdown": markdown}, "needs a run")
        _plan(plan, conditions.conditions, seen=seen, flips=flips, is_allowed=undecided)
        return
    _refuse({"--seen": seen, "--flips": flips, "--allow-undecidable": undecided}, "needs --plan")
    found = gating.checked(results.open_run(run or ""), conditions, recipes=recipe or ())
    if junit is not None:
        _write(junit, gate_junit.gate_junit(found, inconclusive=inconclusive))  # type: ignore[arg-type]
    if markdown is not None:
        _write(markdown, gate_markdown.gate_markdown(found))
    print_text(gate_json.gate_json(found) if json else gate_text.gate_text(found, width=text_width()))
    is_let_through = inconclusive == "pass" and found.verdict != "FAIL"
    raise typer.Exit(0 if is_let_through else _CODES[found.verdict])


def _refuse(given: Mapping[str, object], needs: str) -> None:
    """Raise if an option is given that would have no effect."""
    for name, value in given.items():
        if value:
            raise UserError(f"{name} {needs}, and would have no effect here")


def _plan(
    study: Path, conditions: Sequence[Condition], *, seen: str | None, flips: str | None, is_allowed: bool
) -> None:
    """Print whether the items of a study can decide the margins.

    Raises:
        UserError: They cannot, and this is not allowed; or the study is not valid.
    """
    share = None if flips is None else _share(flips)
    stages = StageLines(sys.stderr)
    checked = running.check_study(lambda vocabulary: study_file.read_study_file(study, vocabulary=vocabulary))
    tasks = running.check_tasks(checked, stages)
    earlier = seen or (checked.store.location if checked.store.has_files() else None)
    run = None if earlier is None else results.open_run(earlier).run
    of_tasks = resolution.resolutions(tasks, seen=run, flips=share)
    margins, others = resolution.planned_margins(conditions, of_tasks)
    if not margins:
        raise UserError("nothing to plan: --plan is for margins on the drop, on tasks with right answers")
    print_text(resolution_text.margin_text(margins, width=text_width()))
    if checked.plan.stop is not None:
        typer.echo(resolution_text.EARLY)
    for other in others:
        typer.echo(f"not planned (only margins on the drop of single tasks are): {other}")
    # Before an error, where both go to the same place.
    sys.stdout.flush()
    if resolution.joint_power(margins) >= check.POWER or is_allowed:
        return
    hardest = min(margins, key=lambda each: (each.needed is not None, each.power / each.goal))
    what = "use more items, accept" if hardest.has_enough else "accept"
    raise UserError(
        f"{counted(hardest.of.items, 'item')} of {hardest.of.task} will probably not decide '{hardest.condition}'"
        f"{' and the other margins' if len(margins) > 1 else ''} ({_needs(hardest)}); {what} a larger loss, or add "
        "--allow-undecidable"
    )


def _needs(planned: PlannedMargin) -> str:
    """Return how many items would decide a margin, and how many there are."""
    of = planned.of
    if planned.needed is None:
        return (
            f"no number of items from {counted(of.expected.relations, 'relation')} suffices if {of.expected.flips:.1%} "
            "of answers flip; --flips or --seen RUN set another share"
            if of.expected.relations
            else "no realistic number can"
        )
    exist = "" if planned.has_enough else f", and {of.available:,} exist"
    return f"about {planned.needed:,} items would be needed{exist}"


def _share(text: str) -> float:
    try:
        return float(condition.QUANTITIES["retained"].parse(text))  # type: ignore[arg-type]
    except UserError:
        raise UserError(f"--flips: '{text}' is not a valid share (allowed: a share such as 0.1 or 10%)") from None


def _check_writable(file: Path | None) -> None:
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        problem = "is a folder" if file.is_dir() else "is in a folder that does not exist"
        raise UserError(f"'{file}' {problem}; give the path of a file")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(encodable(text), encoding="utf-8")
    except OSError as error:
        raise UserError(f"'{file}' cannot be written: {error.strerror}") from None
