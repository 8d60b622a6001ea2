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
        name: Name in ``preset:NAME``.
        summary: Purpose, in one sentence.
        recipes: The recipes in the order they run, without the baseline.
    """

    name: str
    summary: str
    recipes: tuple[Recipe, ...]


def _recipes(texts: list[str]) -> tuple[Recipe, ...]:
    return tuple(parse_recipe(text) for text in texts)


_PRUNING = Preset(
    "paper/pruning",
    "Global L1 pruning at 10% to 90% of attention, feed-forward and both (arXiv 2312.00960); for the published "
    "scripts' own selections in BERT and RoBERTa, use the scopes paper/attention ...",
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

_FINAL_LAYER_METHODS = ("l1_unstructured", "ln_structured", "random_unstructured", "random_structured")
_FINAL_LAYER = Preset(
    "paper/final_layer",
    "The final dense layer pruned by 10% to 90%: L1 and random, single weights and whole rows (arXiv 2312.00960); a "
    "tied layer is untied first.",
    _recipes(
        [
            f"{method}:head:{level}{':dim=0:n=1' if method == 'ln_structured' else ''}"
            for method, level in product(_FINAL_LAYER_METHODS, _TENTHS)
        ]
    ),
)
_ENCODER_DECODER_ATTENTION = Preset(
    "paper/encoder_decoder_attention",
    "For encoder-decoders: L1 pruning at 10% to 90% of the encoder's attention, the decoder's attention, "
    "self-attention and cross-attention, each alone (arXiv 2312.00960).",
    _recipes(
        [
            f"l1_unstructured:{scope}:{level}"
            for scope, level in product(
                ("encoder/attention", "decoder/attention", "self_attention", "cross_attention"), _TENTHS
            )
        ]
    ),
)
_ALL = Preset(
    "paper/all",
    "The paper's whole grid for any model: pruning, quantization, both, and the final dense layer; 73 variants with "
    "the baseline (arXiv 2312.00960).",
    tuple(
        recipe for preset in (_PRUNING, _QUANTIZATION, _PRUNE_THEN_QUANTIZE, _FINAL_LAYER) for recipe in preset.recipes
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
_QUARTERS = (0.25, 0.5)
_STRUCTURE = Preset(
    "open/structure",
    "Structured against unstructured pruning, with equal numbers of parameters removed (the paper's question 2): "
    "heads, rows, 2:4, layers and rank compared with L1 pruning of the same scopes.",
    _recipes(
        [
            *(f"{method}:attention:{level}" for method, level in product(("l1_unstructured", "l1_heads"), _QUARTERS)),
            *(
                f"{method}:{scope}:{level}"
                for scope, method, level in product(
                    ("feed_forward", "overall"),
                    ("l1_unstructured", "ln_structured", "random_structured", "svd"),
                    _QUARTERS,
                )
            ),
            *(f"n_m:{scope}:m=4:n={zeros}" for scope, zeros in product(("feed_forward", "overall"), (1, 2))),
            *(f"drop_layers:overall:{level}" for level in _QUARTERS),
        ]
    ),
)
_BITS = Preset(
    "open/bits",
    "2, 3, 4, 8 and 16 bits of attention, feed-forward and both: round to nearest, and bfloat16.",
    _recipes(
        [
            f"cast:{scope}:dtype=bfloat16" if bits == 16 else f"round_to_nearest:{scope}:{bits}"
            for scope, bits in product(_SCOPES, (2, 3, 4, 8, 16))
        ]
    ),
)

_ADVICE = Preset(
    "advice",
    "Recipes that `forgetmeter advise` tries: 8 to 3 bits, 16 bits, pruning at 10% to 60%, 2:4, lower rank, fewer "
    "heads or layers, and pruning before quantizing.",
    _recipes(
        [
            "cast:overall:dtype=bfloat16",
            "dynamic_int8:overall:granularity=per_channel",
            *(f"round_to_nearest:overall:{bits}" for bits in (8, 6, 5, 4, 3)),
            *(f"round_to_nearest:overall:{bits}:group_size=32:clip=mse" for bits in (5, 4, 3)),
            "cast:overall:dtype=bfloat16+cast:token_embedding:dtype=bfloat16",
            *(
                f"round_to_nearest:overall:{bits}:group_size=32:clip=mse+cast:token_embedding:dtype=bfloat16"
                for bits in (8, 5, 4, 3, 2)
            ),
            *(
                f"round_to_nearest:{first}:8+round_to_nearest:{other}:4:group_size=32"
                for first, other in (("attention", "feed_forward"), ("feed_forward", "attention"))
            ),
            *(f"l1_unstructured:overall:{tenths / 10}" for tenths in range(1, 7)),
            *(f"l1_unstructured:overall:{level}:pool=matrix" for level in (0.3, 0.5)),
            "n_m:overall",
            *(
                f"l1_unstructured:overall:{level}+round_to_nearest:overall:{bits}"
                for level, bits in product((0.1, 0.2, 0.3, 0.4), (8, 4))
            ),
            "n_m:overall+round_to_nearest:overall:8",
            *(f"svd:overall:{level}" for level in _QUARTERS),
            *(f"drop_layers:overall:{level}:by=influence" for level in (0.1, 0.25)),
            "l1_heads:attention:0.25",
        ]
    ),
)

_CALIBRATED_ADVICE = Preset(
    "advice/calibrated",
    "Recipes that `forgetmeter advise --calibrated` tries as well: 4 to 2 bits by GPTQ, which reads a calibration "
    "text.",
    _recipes(
        [
            f"gptq:overall:{bits}:act_order=true:group_size=32:static_groups=true+cast:token_embedding:dtype=bfloat16"
            for bits in (4, 3, 2)
        ]
    ),
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _PRUNING,
        _QUANTIZATION,
        _PRUNE_THEN_QUANTIZE,
        _FINAL_LAYER,
        _ENCODER_DECODER_ATTENTION,
        _ALL,
        _ORDER,
        _STRUCTURE,
        _BITS,
        _ADVICE,
        _CALIBRATED_ADVICE,
    )
}


def preset_recipes(name: str) -> tuple[Recipe, ...]:
    """Return the recipes of preset ``name``, given without ``preset:``.

    Raises:
        UserError: The preset does not exist.
    """
    if name not in PRESETS:
        raise UserError(unknown("preset", name, PRESETS))
    return PRESETS[name].recipes
