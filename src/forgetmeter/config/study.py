"""A study as a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe

DType = Literal["float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Evaluation:
    """How variants are asked.

    Attributes:
        limit: Only the first so many items of each task, or of each relation of a probe; ``None`` for all.
        seed: Seed of everything that is random.
        dtype: The dtype to compute in.
        device: Where to compute; does not change which cells there are.
        batch_tokens: The most tokens in a batch; ``None`` for what suits the device.
        noise_floor: Ask the baseline twice, in batches of other shapes, to see what scoring alone changes; does not
            change which cells there are.
    """

    limit: int | None = None
    seed: int = 0
    dtype: DType = "float32"
    device: Device = "auto"
    batch_tokens: int | None = None
    noise_floor: bool = False


@dataclass(frozen=True)
class Study:
    """Models × recipes × tasks.

    Attributes:
        models: The models, in order, each once.
        recipes: The recipes, in order, each once; the baseline always comes first.
        tasks: Names of the tasks, in order, each once.
        evaluation: How variants are asked.
        output: Folder or URL of the run.
    """

    models: tuple[ModelReference, ...]
    recipes: tuple[Recipe, ...]
    tasks: tuple[str, ...]
    evaluation: Evaluation
    output: str
