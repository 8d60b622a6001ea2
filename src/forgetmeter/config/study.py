"""Studies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from forgetmeter.records.stop_rule import StopRule
from forgetmeter.records.task_group import TaskGroup
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe

DType = Literal["float32", "bfloat16", "float16"]
MAX_SEED = 2**63 - 1
"""The largest seed that every random generator accepts."""
Device = Literal["auto", "cpu", "cuda", "mps"]


AUTO, FACTS, PYTHON = "auto", "facts", "python"


@dataclass(frozen=True)
class CalibrationSettings:
    """Calibration text settings, for methods that need activations.

    Attributes:
        text: A text file; or the ``facts`` of forgetmeter as statements, or the ``python`` documentation that Python
            itself holds (``pydoc_data.topics``, 465,000 letters in Python 3.11); or ``auto``: the facts for standards,
            which have read nothing else, and the documentation otherwise.
        sequences: Number of sequences.
        length: Number of tokens of each, or the model's maximum if that is less.
        seed: Seed for drawing the sequences.
    """

    text: str = AUTO
    sequences: int = 128
    length: int = 512
    seed: int = 0

    def of(self, model: str) -> str:
        """Return the text for a model with this name."""
        if self.text != AUTO:
            return self.text
        return FACTS if model.startswith("standard:") else PYTHON


@dataclass(frozen=True)
class Evaluation:
    """Evaluation settings. Only ``limit``, ``seed``, ``dtype``, prompts and ``calibration`` identify a study.

    Attributes:
        limit: Only the first N items per task (for probes: per relation); ``None`` for all.
        seed: Random seed.
        dtype: The dtype to compute in.
        device: Where to compute.
        batch_tokens: Maximum number of tokens per batch; ``None`` to choose by device.
        noise_floor: Whether to score the baseline twice, in batches of other shapes, to see how much results vary
            without compression.
        precision: A cell stops once its drop is known to within plus or minus this; ``None`` to evaluate all items.
        margin: A cell stops once it is certain whether its drop is at most this; ``None`` likewise.
        profile: Whether to measure the rate of a large matrix product, for comparison with that of scoring.
        num_fewshot: Number of examples before each question of lm-eval's tasks; ``None`` for that of each task.
        system_instruction: Text before the prompts of lm-eval's tasks.
        chat_template: Whether the model's chat template renders the prompts of lm-eval's tasks.
        calibration: Calibration text settings, for methods that need activations.
    """

    limit: int | None = None
    seed: int = 0
    dtype: DType = "float32"
    device: Device = "auto"
    batch_tokens: int | None = None
    noise_floor: bool = False
    precision: float | None = None
    margin: float | None = None
    profile: bool = False
    num_fewshot: int | None = None
    system_instruction: str | None = None
    chat_template: bool = False
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)

    def stop_rule(self, *, checks: int) -> StopRule | None:
        """Return when a cell may stop before its last item; ``None`` if never.

        Args:
            checks: Number of cells that are compared with a baseline.
        """
        if self.margin is not None:
            return StopRule(self.margin, self.margin, checks)
        return None if self.precision is None else StopRule(self.precision)

    @property
    def prompting(self) -> dict[str, int | str | bool]:
        """The settings of prompts that differ from their defaults, by name."""
        names = ("num_fewshot", "system_instruction", "chat_template")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None and value is not False}


@dataclass(frozen=True)
class Study:
    """Models × (recipes + candidates) × tasks, each in order and without duplicates.

    Attributes:
        recipes: The recipes applied to every model; the baseline always comes first.
        tasks: Canonical task names.
        output: Folder or URL of the run.
        candidates: Recipes that start with a checkpoint made by other means, each with its baseline among the models.
        task_folders: Folders with the user's own tasks for lm-evaluation-harness.
        groups: The groups of lm-evaluation-harness that some of the tasks come from, where they define an average.
    """

    models: tuple[ModelReference, ...]
    recipes: tuple[Recipe, ...]
    tasks: tuple[str, ...]
    evaluation: Evaluation
    output: str
    candidates: tuple[tuple[ModelReference, Recipe], ...] = ()
    task_folders: tuple[str, ...] = ()
    groups: tuple[TaskGroup, ...] = ()

    def recipes_of(self, model: ModelReference) -> tuple[Recipe, ...]:
        """Return the recipes and candidates of a model; the baseline comes first."""
        return (*self.recipes, *(recipe for of, recipe in self.candidates if of == model))

    @property
    def references(self) -> tuple[ModelReference, ...]:
        """The models, then the candidates."""
        made = (recipe.candidate for _, recipe in self.candidates if recipe.candidate is not None)
        return tuple(dict.fromkeys([*self.models, *made]))
