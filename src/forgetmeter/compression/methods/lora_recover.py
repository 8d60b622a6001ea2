"""A short training run after compression, with low-rank adapters that are then merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.calibrated.distillation import Training, distilled
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import ActivationsMethod, AtLevel, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level


@dataclass(frozen=True)
class Recovery(ActivationsMethod):
    """Trains what earlier steps left, on the calibration texts."""

    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:
        """Return a function that trains all units together; the level is ignored, since the method has none."""
        activations = self.activations
        assert activations is not None, "the compressor calibrates methods that need activations"
        training = Training(int(options["rank"]), int(options["steps"]), float(options["learning_rate"]), seed=seed)

        def at_level(level: Level | None) -> Iterator[Weight]:  # noqa: ARG001
            yield from distilled(activations, units, training)

        return at_level


METHOD = Recovery(
    MethodDeclaration(
        name="lora_recover",
        summary="Trains low-rank adapters to match the original model's predictions, and merges them; zeros stay zero.",
        reference="adapters: LoRA (Hu et al. 2021, 2106.09685); loss: distillation (Hinton et al. 2015, 1503.02531)",
        level="none",
        options={
            "rank": Option(8, "Rank of the adapters.", least=1),
            "steps": Option(200, "Steps of training, each on at most 1,024 tokens or one sequence.", least=1),
            "learning_rate": Option(0.001, "AdamW's learning rate at the first step; it falls linearly to 0.", least=0),
        },
        effect="rewrites",
        phrase="recovered",
        follows_others=True,
        needs_gradients=True,
        revision=2,
    ),
)
