"""Named lists of recipes: the paper's grids."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from forgetmeter.errors import UserError
from forgetmeter.specs.recipe import Recipe, parse_recipe
from forgetmeter.specs.suggestion import unknown

PREFIX = "preset:"

_SCOPES = ("attention", "feed_forward", "overall")
_TENTHS = tuple(tenths / 10 for tenths in range(1, 10))


@dataclass(frozen=True)
class Preset:
    """A named list of recipes.

    Attributes:
        name: As in ``preset:NAME``.
        summary: What it is for, in one sentence.
        recipes: In the order in which they are run; the baseline is not among them.
    """

    name: str
    summary: str
    recipes: tuple[Recipe, ...]


def _recipes(texts: list[str]) -> tuple[Recipe, ...]:
    return tuple(parse_recipe(text) for text in texts)


_PRUNING = Preset(
    "paper/pruning",
    "Global L1 pruning at 10% to 90% of attention, feed-forward and both (arXiv 2312.00960); for the published "
    "scripts' own selections in BERT and RoBERTa, name the scopes paper/attention ...",
    _recipes([f"l1_unstructured:{scope}:{level}" for scope, level in product(_SCOPES, _TENTHS)]),
)
_QUANTIZATION = Preset(
    "paper/quantization",
    "Dynamic 8-bit quantization of attention, feed-forward and both (arXiv 2312.00960); scopes as in paper/pruning.",
    _recipes([f"dynamic_int8:{scope}" for scope in _SCOPES]),
)
_PRUNE_THEN_QUANTIZE = Preset(
    "paper/prune_then_quantize",
    "20% and 40% L1 pruning, then dynamic 8-bit, per scope (arXiv 2312.00960).",
    _recipes(
        [f"l1_unstructured:{scope}:{level}+dynamic_int8:{scope}" for scope, level in product(_SCOPES, (0.2, 0.4))]
    ),
)

_ORDER = Preset(
    "open/order",
    "Prune first or quantize first (the paper's question 3): 20% and 40% L1 pruning before and after dynamic 8-bit.",
    _recipes(
        [
            order.format(pruning=f"l1_unstructured:{scope}:{level}", quantization=f"dynamic_int8:{scope}")
            for scope, level in product(_SCOPES, (0.2, 0.4))
            for order in ("{pruning}+{quantization}", "{quantization}+{pruning}")
        ]
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (_PRUNING, _QUANTIZATION, _PRUNE_THEN_QUANTIZE, _ORDER)}


def preset_recipes(name: str) -> tuple[Recipe, ...]:
    """Return the recipes of the preset called ``name`` (without ``preset:``).

    Raises:
        UserError: There is no such preset.
    """
    if name not in PRESETS:
        raise UserError(unknown("preset", name, PRESETS))
    return PRESETS[name].recipes
