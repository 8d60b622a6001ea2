"""What there is to know of a compressed checkpoint beside its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from forgetmeter.checkpoints.companions import TOKENIZER_PATTERNS, companions
from forgetmeter.checkpoints.request import Request
from forgetmeter.checkpoints.source import Source
from forgetmeter.compression.table import load_method

_SHOWN = 3


def notes(request: Request, source: Source) -> Iterator[str]:
    """Yield a sentence for each thing that a user might not expect."""
    effects = {load_method(step.method).declaration.effect for step in request.recipe.steps}
    if request.format == "dense":
        if "quantizes" in effects:
            yield (
                "The weights of few bits are stored as the plain numbers that they stand for, and take as many bytes "
                "as before; --format compressed-tensors stores the integers."
            )
        elif "zeroes" in effects:
            yield "Zeros are stored as plain numbers, and take as many bytes as before."
    else:
        yield (
            "Layout pack-quantized: from_pretrained reads it where compressed-tensors is installed. In a 16-bit model "
            "transformers rounds the scales to 16 bits, unless it is told to dequantize while loading."
        )
    if not companions(source.checkpoint.folder, TOKENIZER_PATTERNS):
        yield "There is no tokenizer beside the weights, so that none goes along."
    if source.converted:
        yield (
            "The whole model was in memory, as transformers puts the weights of this architecture together while it "
            f"loads them ({source.converted[0]} ...)."
        )
    if source.unused:
        more = " ..." if len(source.unused) > _SHOWN else ""
        yield (
            f"{len(source.unused)} tensors that the model has no place for were left out: "
            f"{', '.join(source.unused[:_SHOWN])}{more}."
        )
