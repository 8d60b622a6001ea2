"""Results of a run, computed on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from forgetmeter.basics.plural import counted
from forgetmeter.records.noise import Noise
from forgetmeter.results import frames
from forgetmeter.results.findings.all_findings import find
from forgetmeter.results.findings.finding import Finding
from forgetmeter.results.frontier import Frontier, frontiers
from forgetmeter.results.ledger import Ledger
from forgetmeter.results.open_ledgers import open_ledgers
from forgetmeter.results.profile import Profile, profile
from forgetmeter.results.retained_curve import RetainedCurve, all_curves
from forgetmeter.results.sensitivity import Sensitivity, sensitivities
from forgetmeter.results.standing import Standings, standings
from forgetmeter.results.summary import Summary, summarise
from forgetmeter.runs.run import Run, read_run
from forgetmeter.runs.tables.frames import cells_frame, failures_frame, tasks_frame, variants_frame
from forgetmeter.specs.suggestion import refuse_type


@dataclass(frozen=True, eq=False)
class Results:
    """A run and its results; rows of data frames are in the study's order of models, recipes and tasks."""

    run: Run

    def __repr__(self) -> str:
        """Return a short text for notebooks."""
        numbers = {"variant": self.run.variants, "task": self.run.task_names, "finished cell": self.run.cells}
        counts = ", ".join(counted(len(each), name) for name, each in numbers.items())
        return f"<Results of '{self.run.location}': {counts}>"

    @cached_property
    def summary(self) -> Summary:
        """Summary of every variant, and of every cell compared with the baseline."""
        return summarise(self.run)

    @cached_property
    def profile(self) -> Profile:
        """Where the run's time went."""
        return profile(self.run)

    @cached_property
    def retained_curves(self) -> tuple[RetainedCurve, ...]:
        """Retained share over the level, one curve per model, task, method and scope."""
        return all_curves(self.run, self.summary)

    @cached_property
    def tested_claims(self) -> tuple[Finding, ...]:
        """The claims of the paper and of related work, tested on the run."""
        return find(self.run, self.summary)

    @cached_property
    def frontiers(self) -> tuple[Frontier, ...]:
        """Costs and retained shares of variants, per model and task."""
        return frontiers(self.summary)

    @cached_property
    def sensitivities(self) -> tuple[Sensitivity, ...]:
        """What each part of a model loses when it is compressed alone, per model, task, method and level."""
        return sensitivities(self.run, self.summary)

    def ledgers(self, recipe: str, *, task: str | None = None, model: str | None = None) -> tuple[Ledger, ...]:
        """Return a recipe's ledgers, one per model and task.

        Args:
            recipe: One of the run's recipes, as text; not the baseline.
            task: Only this task; the options of its name may be omitted.
            model: Only this model.

        Raises:
            UserError: The recipe, task or model is not in the run, or outcomes to compare are missing.
        """
        return open_ledgers(self.run, recipe, task=task, model=model)

    def standings(self, recipes: Sequence[str], *, sizes: Mapping[str, int] | None = None) -> Standings:
        """Rank recipes of a run of one model by what they retain; ties keep the given order.

        Args:
            recipes: The recipes, without the baseline.
            sizes: Bytes of each recipe. Of recipes with equal bytes that are statistically indistinguishable, the
                simpler one comes first.
        """
        return standings(self.run, self.summary, recipes, sizes=sizes)

    # Data frames.

    @property
    def location(self) -> str:
        """Location of the run: a folder or an fsspec URL."""
        return self.run.location

    @property
    def study(self) -> Mapping[str, Any]:
        """The content of ``study.json``."""
        return self.run.study.document

    @property
    def noise(self) -> Mapping[tuple[str, str], Noise]:
        """By model and task, the difference between two scorings of the baseline, if it was measured."""
        return self.run.noise

    @cached_property
    def variants(self) -> pd.DataFrame:
        """One row per variant; its numbers are missing until it has been run.

        Columns: ``variant`` (its id), ``model``, ``recipe``, ``sparsity``, ``weights``, ``zeros``, the other numbers of
        ``Reached``, ``zeros.<role>``, the recorded facts (``seconds`` ...), and, of packed models without steps,
        ``bits.<role>``: bits per weight in their files.
        """
        return variants_frame(self.run)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell that is done.

        Columns: ``variant``, ``model``, ``recipe``, ``task``, ``rows``, the recorded facts (``seconds``, ``tokens``
        ...), ``metric.<name>`` per aggregated metric, and ``dropped.<reason>``: number of items that the model could
        not be scored on.
        """
        return cells_frame(self.run)

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """One row per task with stored items.

        Columns: its description, ``items`` (number), ``items_hash`` and ``filters.<reason>``: number of items that the
        task itself left out.
        """
        return tasks_frame(self.run)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """One row per failed cell: ``variant``, ``model``, ``recipe``, ``task``, ``error``."""
        return failures_frame(self.run)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row per outcome: ``variant``, ``model``, ``recipe``, ``task``, the outcome, its metrics."""
        return self.run.outcomes()

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row per item: ``task``, then the columns of the items table."""
        return self.run.items()

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """One row per cell, compared with the baseline on the same items.

        Columns: ``model``, ``recipe``, ``task``, ``items``, ``paired``; ``accuracy``, ``drop``, ``retained`` and
        ``gained_share``, each also with ``_low`` and ``_high`` of its 95% interval; ``p_value`` (exact McNemar),
        ``p_holm``, ``relations`` (number that the intervals are over), ``p_relations``, ``p_relations_holm``;
        ``forgotten``, ``gained``, ``flips``, ``prediction_flips``, ``rank_shift``, ``margin_shift``, ``divergence``;
        ``chance``, ``p_chance``, ``majority_accuracy``, ``p_majority``, ``noise_floor``; ``seconds``, ``tokens``,
        ``is_timed``, ``precision``; ``verdict``, ``holds_elsewhere`` and ``metric.<name>``.
        ``CellSummary`` documents each.
        """
        return frames.comparisons_frame(self.summary)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per point of the curves of retained share over the level.

        Columns: ``model``, ``task``, ``method``, ``scope``, ``recipe``, ``level``, ``removed_weights``; ``retained``
        and ``area`` (mean of retained from level 0 to the last), each with ``_low`` and ``_high``; ``knee_low`` and
        ``knee_high`` (the levels between which retained falls fastest), ``knee_interval_low`` and
        ``knee_interval_high`` (their 95% interval), ``knee_share`` (share of the resamples that agree).
        """
        return frames.curves_frame(self.retained_curves)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """One row per claim, model and task, and one per claim and model, whose ``task`` is missing.

        Columns: ``finding``, ``claim``, ``model``, ``task``, ``verdict``, ``effect`` with ``_low`` and ``_high``,
        ``threshold``, ``unit``, ``p_value``, ``p_holm``, ``detail``, ``missing``.
        """
        return frames.findings_frame(self.tested_claims)

    @cached_property
    def frontier(self) -> pd.DataFrame:
        """One row per variant and task.

        Columns: ``model``, ``task``, ``recipe``, ``items``, ``retained`` with ``_low`` and ``_high``; ``dense_bytes``,
        ``bitmask_bytes``, ``quantized_bytes``, ``smallest_bytes``, ``tokens_per_second``, ``simulated``; and for each
        of these costs ``pareto.<cost>``: whether no other variant is at least as good in both and better in one.
        """
        return frames.frontier_frame(self.frontiers)

    def forgotten(self, recipe: str, *, task: str | None = None, model: str | None = None) -> pd.DataFrame:
        """Return the ledger of a recipe, one row per item.

        Columns: ``model``, ``recipe``, ``task``, ``item_id``, ``status`` (``kept``, ``forgotten``, ``gained``,
        ``wrong``), ``fate`` (of forgotten items: ``still near``, ``other phrasing``, ``lost``), ``statement``,
        ``subject``, ``relation``, ``relation_label``, ``gold``, ``before``, ``after``, ``rank_before``,
        ``rank_after``, ``margin_before``, ``margin_after``, ``popularity``, ``popularity_tercile``,
        ``margin_tercile``. ``LedgerEntry`` documents each.

        Raises:
            UserError: The recipe, task or model is not in the run, or outcomes to compare are missing.
        """
        return frames.ledger_frame(self.ledgers(recipe, task=task, model=model))

    def read_outcomes(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return selected columns of the outcomes, which is much faster for a large run."""
        return self.run.outcomes(columns)


def open_run(location: str | Path) -> Results:
    """Open a run, finished or not; cells whose file is damaged count as not done.

    Args:
        location: A folder or an fsspec URL.

    Raises:
        UserError: The run does not exist, or this version cannot read it.
    """
    refuse_type("run", location, str, Path)
    return Results(read_run(str(location)))
