"""A gate: whether the variants of a run meet the conditions of a policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forgetmeter.config.policy import Policy
from forgetmeter.errors import UserError, refuse
from forgetmeter.results.gate.check import CheckResult, GateCheck, GateVerdict, judge, worst
from forgetmeter.results.gate.measuring import Measuring, NotMeasured
from forgetmeter.results.open_ledgers import find_names, find_recipe
from forgetmeter.results.sizes import original_bytes, variant_bytes
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run
from forgetmeter.specs.condition import Condition
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.specs.suggestion import unknown


@dataclass(frozen=True)
class VariantGate:
    """The verdict on a variant.

    Attributes:
        results: Its checks, in the policy's order.
        bytes: Its size; ``None`` if it is not known.
        original: Size of the model it was made from; ``None`` likewise.
    """

    model: str
    recipe: str
    results: tuple[CheckResult, ...]
    bytes: int | None
    original: int | None

    @property
    def verdict(self) -> GateVerdict:
        """The verdict on all conditions together."""
        return worst(each.verdict for each in self.results)


@dataclass(frozen=True)
class Gate:
    """The verdict on a run.

    Attributes:
        run: Location of the run.
        policy: The conditions.
        variants: The variants, in the study's order.
    """

    run: str
    policy: Policy
    variants: tuple[VariantGate, ...]

    @property
    def checks(self) -> int:
        """Number of checks of all variants, for which FAIL is corrected."""
        return sum(len(each.results) for each in self.variants)

    @property
    def verdict(self) -> GateVerdict:
        """The verdict on all variants together."""
        return worst(each.verdict for each in self.variants)


def check_policy(run: Run, summary: Summary, policy: Policy, *, recipes: Sequence[str] = ()) -> Gate:
    """Check whether variants meet the conditions of a policy.

    Args:
        run: The run.
        summary: Its summary, with 95% intervals.
        policy: The conditions.
        recipes: The recipes or candidates to check; all of the run by default.

    Raises:
        UserError: A recipe or task is not in the run, the run has only baselines, or no task has what a condition
            limits.
    """
    variants = _variants(run, [find_recipe(run, each) for each in recipes])
    of_conditions = [_Extent(run, condition) for condition in policy.conditions]
    refuse(problem for each in of_conditions for problem in each.problems)
    checks = [[check for each in of_conditions for check in each.checks(*variant)] for variant in variants]
    measuring = Measuring(run, summary, checks=sum(map(len, checks)))
    return Gate(
        run.location,
        policy,
        tuple(
            VariantGate(
                model,
                recipe,
                tuple(_result(measuring, check) for check in mine),
                variant_bytes(model, recipe, summary),
                original_bytes(model, summary),
            )
            for (model, recipe), mine in zip(variants, checks, strict=True)
        ),
    )


def _variants(run: Run, recipes: Sequence[str]) -> list[tuple[str, str]]:
    found = [(each.model, each.recipe) for each in run.variants if each.recipe != BASELINE]
    if not found:
        raise UserError("nothing to check: the run has no variant except the baseline; add recipes or candidates to it")
    return [each for each in found if not recipes or each[1] in recipes]


class _Extent:
    """The tasks and relations that a condition holds for."""

    def __init__(self, run: Run, condition: Condition) -> None:
        self._condition, self._run = condition, run
        self._groups = {group.name: group.tasks for group in run.study.groups}
        unjudged = dict.fromkeys(cell.task for cell in run.cells if not cell.is_judged)
        self._possible = [task for task in run.task_names if (task in unjudged) == condition.is_of_texts]
        if condition.is_of_texts:
            measured = {cell.task for cell in run.cells if condition.metric in cell.metrics}
            self._possible = [task for task in self._possible if task in measured]
        self.problems: list[str] = []
        self._names = [] if condition.quantity == "size" else list(dict.fromkeys(self._chosen()))
        self._relations = list(self._of_relations()) if condition.extent == "relation" else []

    def _chosen(self) -> Iterator[str]:
        """Yield tasks and groups that are named; all possible tasks if none is; collect what is wrong with them."""
        if not self._possible:
            needs = "a divergence task" if self._condition.is_of_texts else "tasks with right answers"
            self.problems.append(
                f"{self._condition.source}: {self._condition.quantity} needs {needs}, and the run has none"
            )
            return
        for name in self._condition.tasks or self._possible:
            if name in self._groups and not self._condition.is_of_texts:
                yield name
                continue
            try:
                yield from find_names("task", self._possible, name)
            except UserError:
                allowed = [*self._possible, *self._groups]
                message = unknown("task", name, allowed, within="this run")
                self.problems.append(f"{self._condition.source}: {message}")

    def checks(self, model: str, recipe: str) -> Iterator[GateCheck]:
        """Yield the checks of a variant."""
        if self._condition.quantity == "size":
            yield GateCheck(self._condition, model, recipe, None, ())
        elif self._condition.extent == "all":
            tasks = (task for name in self._names for task in self._groups.get(name, (name,)))
            yield GateCheck(self._condition, model, recipe, None, tuple(dict.fromkeys(tasks)))
        elif self._condition.extent == "relation":
            for task, relation in self._relations:
                yield GateCheck(self._condition, model, recipe, task, (task,), relation)
        else:
            for name in self._names:
                yield GateCheck(self._condition, model, recipe, name, self._groups.get(name, (name,)))

    def _of_relations(self) -> Iterator[tuple[str, str]]:
        """Yield tasks with each of their relations, and with an empty one for items that have none.

        Raises:
            UserError: A task that is named has no relations, or no task has any.
        """
        tasks = dict.fromkeys(task for name in self._names for task in self._groups.get(name, (name,)))
        shapes, has_any = self._run.item_shapes, False
        for task in tasks:
            of_items = shapes[shapes["task"] == task]["relation"]
            relations = sorted(map(str, of_items.dropna().unique()))
            if not relations and self._condition.tasks:
                raise UserError(
                    f"{self._condition.source}: the items of {task} have no relations; "
                    "leave out this task, or 'by: relation'"
                )
            has_any = has_any or bool(relations)
            yield from ((task, relation) for relation in relations)
            if relations and of_items.isna().any():
                yield task, ""
        if not has_any:
            raise UserError(
                f"{self._condition.source}: 'by: relation' needs items with relations, and the run has none; "
                "leave out 'by: relation'"
            )


def _result(measuring: Measuring, check: GateCheck) -> CheckResult:
    try:
        measured = measuring.measure(check)
        return judge(check, _limit(measuring, check), measured)
    except NotMeasured as reason:
        return CheckResult(check, "UNMEASURED", None, reason=str(reason))


def _limit(measuring: Measuring, check: GateCheck) -> float:
    limit = check.condition.limit
    if isinstance(limit, float):
        return limit
    original = original_bytes(check.model, measuring.summary)
    if original is None and limit.size is None:
        raise NotMeasured("the size of the original is not known")
    return float(limit.within(original or 0))
