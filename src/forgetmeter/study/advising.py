"""Finds the recipe that retains most knowledge within a size budget."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetmeter.basics.plural import counted
from forgetmeter.config.study import Study
from forgetmeter.config.study_file import argument_name, study_from_options
from forgetmeter.errors import UserError, refuse
from forgetmeter.executors.executor import Progress
from forgetmeter.models.location import Location
from forgetmeter.plan.halving import halving_rounds
from forgetmeter.probes.loading import load_task, single_tasks
from forgetmeter.probes.registry import find_task
from forgetmeter.results.advice import Advice, EliminatedRecipe, Mix, Sized
from forgetmeter.results.held_out import held_out, retained_of_used
from forgetmeter.results.results import open_run
from forgetmeter.results.standing import Standings
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.budget import Budget
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.preset import PREFIX
from forgetmeter.specs.recipe import BASELINE, Recipe, parse_recipe
from forgetmeter.study.checked_study import CheckedStudy, Finished
from forgetmeter.study.installed import InstalledVocabulary
from forgetmeter.study.running import check_study, reader, run_checked

if TYPE_CHECKING:
    from forgetmeter.models.checkpoint import Checkpoint

ADVICE_PRESET = f"{PREFIX}advice"
_CALIBRATED_PRESET = f"{PREFIX}advice/calibrated"
_NO_MIX = "the part-by-part choice of bits gives the same bits everywhere, or does not fit, or failed"
_CAST_BYTES = 2
_HALF = 0.5
"""Share of the items by which recipes are chosen if the others are held out."""


@dataclass(frozen=True)
class AdviceRequest:
    """A request for advice.

    Attributes:
        model: The model, as text.
        tasks: Names of the tasks to preserve.
        budget: Size limit of the compressed model.
        recipes: Recipes, as text, or ``preset:NAME``; by default ``preset:advice`` and the suggestions of plug-ins,
            from which recipes that do not fit the model are left out.
        options: Evaluation settings by dotted key, as for ``run``.
        mixed: Whether to try different bits for different parts, too.
        calibrated: Whether to try recipes that read a calibration text, too.
        output: Folder or URL of the runs; by default a folder under ``runs/`` named after the request.
        data: Data folder of the probes, if given.
    """

    model: str
    tasks: Sequence[str]
    budget: Budget
    recipes: Sequence[str] | None = None
    options: Mapping[str, Any] | None = None
    mixed: bool = False
    calibrated: bool = False
    output: str | None = None
    data: Path | None = None


def advise(
    request: AdviceRequest,
    *,
    listener: Progress | None = None,
    complete: Callable[[CheckedStudy], Finished] = run_checked,
) -> Advice:
    """Find the recipe that retains most of a model's knowledge within a size budget.

    The sizes of all recipes are computed, and those that fit are evaluated by successive halving in thirds: all on a
    share of the items, the better ones on more, the best on everything. Each round is an ordinary run, so an
    interrupted request resumes where it stopped.

    With ``mixed``, all of this happens on one half of the items. On these, the sensitivity of the model's parts is
    measured, too, from which the bits of each part follow. All items then compare the best recipes, and those of the
    other half, which were not used for choosing, decide whether mixed bits are better.

    Args:
        request: The request.
        listener: Receives the stages.
        complete: Completes the run of a round.

    Raises:
        UserError: The request is not valid, no recipe is small enough, or the baseline answers nothing right.
    """
    return _Advising(request, listener or Progress(), complete).advise()


class _Advising:
    def __init__(
        self, request: AdviceRequest, listener: Progress, complete: Callable[[CheckedStudy], Finished]
    ) -> None:
        self._request, self._listener, self._complete = request, listener, complete
        self._options = {
            "models": [request.model],
            "tasks": list(request.tasks),
            **(request.options or {}),
        }
        self._study, self._location = self._checked()
        self._output = request.output or f"runs/advice-{self._name()}"
        self._unusable: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def advise(self) -> Advice:
        self._check_output()
        # Imports torch and transformers, which take seconds; invalid requests have failed before.
        from forgetmeter.study import mixing_bits, recipe_sizes

        checkpoint, problems, unknown_role = recipe_sizes.checked_recipes(self._location, self._study)
        if self._request.mixed:
            mixing_bits.check_mixable(checkpoint)
        recipes = self._usable_recipes(problems, unknown_role)
        groups = self._groups()
        self._listener.stage(f"loading {self._request.model}")
        self._listener.stage(f"computing the sizes of {counted(len(recipes), 'recipe')}")
        dense, sizes, unusable = recipe_sizes.recipe_sizes(
            checkpoint,
            recipes,
            self._study.evaluation,
            on_advance=lambda done: self._listener.stage_advanced(done, len(recipes)),
        )
        self._unusable.update(unusable)
        sizes = _without_idle_casts(sizes)
        most = self._request.budget.within(dense)
        self._sizes = {recipe: each.bytes for recipe, each in sizes.items()}
        # Of recipes that retain the same, the smaller comes first, then the simpler.
        by_size = sorted(sizes.values(), key=lambda each: (each.bytes, parse_recipe(each.recipe).complexity))
        fits = [each.recipe for each in by_size if each.bytes <= most]
        if not fits:
            tokens = sum(matrix.size for matrix in checkpoint.matrices if matrix.is_lookup)
            raise UserError(_nothing_fits(most, dense, by_size[0] if by_size else None, tokens))
        found, left, rounds, runs = self._rounds(fits, groups, checkpoint)
        mix: Mix | None = None
        if self._request.mixed:
            mixes = mixing_bits.measured_mixes(
                replace(self._request, tasks=found.counted, output=f"{self._output}/sensitivity"),
                checkpoint,
                most,
                limit=limit_for([size for task in found.counted for size in groups[task]], _HALF),
                listener=self._listener,
                complete=self._complete,
            )
            found, mix, asked, location = self._validated(found, mixes, groups, checkpoint, runs[-1])
            sizes |= {each.recipe: each for each in mixes}
            rounds.append(asked)
            runs.append(location)
        return Advice(
            model=self._request.model,
            tasks=self._study.tasks,
            budget=self._request.budget,
            most_bytes=most,
            dense_bytes=dense,
            finalists=found.ranked,
            sizes=sizes,
            left=tuple(left),
            not_counted=found.not_counted,
            unusable=tuple(self._unusable.items()),
            rounds=tuple(rounds),
            runs=tuple(runs),
            source=checkpoint.packed,
            mix=mix,
            no_mix=_NO_MIX if self._request.mixed and mix is None else "",
        )

    def _validated(
        self,
        found: Standings,
        mixes: Sequence[Sized],
        groups: Mapping[str, Sequence[int]],
        checkpoint: Checkpoint,
        last: str,
    ) -> tuple[Standings, Mix | None, tuple[int, int], str]:
        """Ask the best recipes and mixes of bits all items.

        Returns:
            Their standings, the comparison, the numbers of items and recipes, and the location of the run.
        """
        tasks = found.counted
        self._sizes |= {each.recipe: each.bytes for each in mixes}
        used = {each.task: frozenset(each.items) for each in open_run(last).run.answers}
        names = [*(standing.recipe for standing in found.ranked), *(each.recipe for each in mixes)]
        items = sum(sum(groups[task]) for task in tasks)
        location = f"{self._output}/validation"
        self._listener.stage(f"validation: {counted(len(names), 'recipe')}, {counted(items, 'item')} each")
        ranked = self._asked(names, tasks, self._study.evaluation.limit, location, checkpoint)
        ranked = replace(ranked, not_counted=(*found.not_counted, *ranked.not_counted))
        answers = open_run(location).run.answers
        whole = {each.recipe for each in ranked.ranked}
        made = [each.recipe for each in mixes if each.recipe in whole]
        others = [each.recipe for each in found.ranked if each.recipe in whole]
        if not made or not others:
            return ranked, None, (items, len(names)), location
        best = max(made, key=lambda recipe: retained_of_used(answers, used, recipe))
        uniform = others[0]
        mix = Mix(best, uniform, held_out(answers, used, best, uniform))
        return ranked, mix, (items, len(names)), location

    def _checked(self) -> tuple[Study, Location]:
        locations: dict[ModelReference, Location] = {}
        # Imports torch, which takes a second; errors in the options are reported before.
        from forgetmeter.compression.registry import advised_plug_ins

        vocabulary = InstalledVocabulary(self._request.data, locations)
        recipes = list(self._request.recipes or (ADVICE_PRESET, *advised_plug_ins()))
        recipes += [_CALIBRATED_PRESET] if self._request.calibrated else []
        output = self._request.output or "runs/advice"
        options = {**self._options, "recipes": recipes, "output": output}
        study = study_from_options(options, vocabulary=vocabulary, name=argument_name)
        study = replace(study, tasks=single_tasks(study.tasks, study.task_folders))
        measured = [name for name in study.tasks if (task := find_task(name)) is not None and task.is_measured]
        refuse(f"task '{task}' has no right answers to retain; choose other tasks" for task in measured)
        if len(study.recipes) == 1:
            raise UserError("--recipes has only the baseline; name other recipes")
        return study, locations[study.models[0]]

    def _name(self) -> str:
        model = self._study.models[0]
        if model.source in ("folder", "gguf"):
            model = replace(model, place=str(self._location.path.resolve()))
        study = replace(self._study, output="", models=(model,))
        mixed = ["mixed"] if self._request.mixed else []
        content = json.dumps([str(study), self._location.identity, str(self._request.budget), *mixed])
        slug = "".join(each if each.isalnum() else "-" for each in str(model)).strip("-").lower()[-40:]
        return f"{slug}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    def _check_output(self) -> None:
        store = RunStore(self._output)
        if store.has_study():
            raise UserError(f"'{self._output}' is a run; choose another --out for the runs of the rounds")
        last = RunStore(f"{self._output}/last")
        try:
            files = [] if last.has_study() else last.folder.list()
            if not store.folder.is_file():
                last.folder.check_writable()
        except (OSError, ValueError) as error:
            raise UserError(f"'{self._output}' cannot be used ({error}); choose another --out") from error
        if store.folder.is_file() or files:
            raise UserError(f"'{self._output}' contains files that are not runs of a search; choose another --out")

    def _usable_recipes(self, problems: Mapping[Recipe, Sequence[str]], unknown_role: str = "") -> list[Recipe]:
        usable = [recipe for recipe, found in problems.items() if not found]
        wrong = [f"{problem} (in '{recipe}')" for recipe, found in problems.items() for problem in found]
        self._unusable.update((str(recipe), found[0]) for recipe, found in problems.items() if found)
        if self._request.recipes is None and not usable and unknown_role:
            # The same for each recipe, whose other problems follow from it.
            raise UserError(f"no recipe of {ADVICE_PRESET} fits model '{self._request.model}': {unknown_role}")
        if self._request.recipes is not None or not usable:
            refuse(wrong)
        return usable

    def _rounds(
        self, fits: Sequence[str], groups: Mapping[str, Sequence[int]], checkpoint: Checkpoint
    ) -> tuple[Standings, list[EliminatedRecipe], list[tuple[int, int]], list[str]]:
        left: list[EliminatedRecipe] = []
        rounds: list[tuple[int, int]] = []
        runs: list[str] = []
        names, sizes = list(fits), [size for of_task in groups.values() for size in of_task]
        half = _HALF if self._request.mixed else 1.0
        planned = halving_rounds(len(names), int(half * sum(sizes)))
        found, tasks = Standings((), (), (), ()), tuple(groups)
        for place, each in enumerate(planned):
            is_last = place == len(planned) - 1
            share = half * each.share
            limit = self._study.evaluation.limit if share == 1 else limit_for(sizes, share)
            location = f"{self._output}/{'last' if is_last else f'round-{place + 1}'}"
            title = f"round {place + 1} of {len(planned)}"
            left_out: tuple[tuple[str, str], ...] = ()
            # More items of a task have at least as many right answers.
            if set(found.counted) != set(groups):
                self._listener.stage(f"{title}: the baseline")
                alone = self._baseline(limit, location, checkpoint)
                if not alone.counted:
                    if is_last:
                        raise UserError(self._nothing_to_rank(alone, location))
                    self._listener.stage(f"{title} left out: the baseline knows too little of its items")
                    continue
                tasks, left_out = alone.counted, alone.not_counted
                for task, reason in left_out:
                    self._listener.stage(f"{title}: {task} left out, because {reason}")
            if left_out:
                location += "-counted"
            items = sum(size if limit is None else min(size, limit) for task in tasks for size in groups[task])
            self._listener.stage(f"{title}: {counted(len(names), 'recipe')}, {counted(items, 'item')} each")
            found = self._asked(names, tasks, limit, location, checkpoint)
            found = replace(found, not_counted=(*left_out, *found.not_counted))
            rounds.append((items, len(names)))
            runs.append(location)
            if not is_last:
                most = planned[place + 1].recipes
                gone = found.ranked[most:]
                left = [*(EliminatedRecipe(one.recipe, one.retained.value, items) for one in gone), *left]
                kept = {standing.recipe for standing in found.ranked[:most]}
                names = [name for name in names if name in kept]
        return found, left, rounds, runs

    def _baseline(self, limit: int | None, location: str, checkpoint: Checkpoint) -> Standings:
        """Evaluate the baseline alone, which shows whether recipes can be ranked, before any of them is asked."""
        if not RunStore(location).has_recipes():
            self._run((), self._study.tasks, limit, location, checkpoint)
        return open_run(location).standings([BASELINE])

    def _nothing_to_rank(self, found: Standings, location: str) -> str:
        more = " or a larger --limit" if self._study.evaluation.limit else ""
        return f"recipes cannot be ranked: {found.reasons} (run: {location}); choose other tasks{more}"

    def _asked(
        self, names: Sequence[str], tasks: Sequence[str], limit: int | None, location: str, checkpoint: Checkpoint
    ) -> Standings:
        self._run(names, tasks, limit, location, checkpoint)
        found = open_run(location).standings(names, sizes=self._sizes)
        self._unusable.update(found.failures)
        if not found.ranked:
            raise UserError(f"no recipe can be ranked: {found.reasons}; see the run at {location}")
        return found

    def _run(
        self, names: Sequence[str], tasks: Sequence[str], limit: int | None, location: str, checkpoint: Checkpoint
    ) -> None:
        varied = {"recipes": [BASELINE, *names], "tasks": list(tasks), "evaluation.limit": limit, "output": location}
        options = {**self._options, **varied}
        opened = {self._study.models[0]: checkpoint}
        self._complete(check_study(reader(options), progress=self._listener, data=self._request.data, opened=opened))

    def _groups(self) -> dict[str, list[int]]:
        """Return the sizes of the groups that a limit applies to, by task."""
        limit = self._study.evaluation.limit
        sizes = {}
        for name in self._study.tasks:
            self._listener.stage(f"reading task {name}")
            items = load_task(name, limit=limit, data=self._request.data, folders=self._study.task_folders).items
            declared = find_task(name)
            groups = Counter(() if declared is None else declared.group_of(item) for item in items)
            sizes[name] = list(groups.values())
        return sizes


def _without_idle_casts(sizes: dict[str, Sized]) -> dict[str, Sized]:
    """Leave out recipes whose last step is a cast that saves nothing: the model is stored in 16 bits."""
    return {text: size for text, size in sizes.items() if not _ends_idle(parse_recipe(text), sizes)}


def _ends_idle(recipe: Recipe, sizes: Mapping[str, Sized]) -> bool:
    before = sizes.get(str(replace(recipe, steps=recipe.steps[:-1])))
    return before is not None and recipe.steps[-1].method == "cast" and before.bytes <= sizes[str(recipe)].bytes


def limit_for(groups: Sequence[int], share: float) -> int:
    """Return the smallest limit that covers at least a share of all items.

    Args:
        groups: Sizes of the groups; a limit N selects the first N items of each.
        share: Above 0, at most 1.
    """
    wanted = share * sum(groups)
    low, high = 1, max(groups)
    while low < high:
        middle = (low + high) // 2
        if sum(min(size, middle) for size in groups) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low


def _nothing_fits(most: int, dense: int, smallest: Sized | None, embedding: int) -> str:
    """Return the error; ``embedding`` is the number of weights of the token embedding."""
    if smallest is None:
        return "no recipe can be applied to the model; choose others with --recipes"
    cast = _CAST_BYTES * embedding
    if cast >= most:
        return (
            f"no recipe fits in {most:,} bytes: the token embedding alone takes {cast:,} bytes in 16 bits, and "
            "no format that transformers loads stores it in fewer; the smallest recipe takes "
            f"{smallest.bytes:,} bytes, {smallest.bytes / dense:.0%} of the model. Increase --max-bytes; to see what "
            f"the model knows with an embedding of 4 bits (about {embedding // 2:,} bytes), evaluate a recipe with "
            "round_to_nearest:token_embedding:4"
        )
    return (
        f"no recipe fits in {most:,} bytes: the smallest, {smallest.recipe}, takes {smallest.bytes:,} bytes, "
        f"{smallest.bytes / dense:.0%} of the model; increase --max-bytes, or choose other recipes with --recipes"
    )
