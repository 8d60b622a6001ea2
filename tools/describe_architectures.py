"""Tries everything on a tiny random model of each architecture, and writes docs/architectures.md.

python tools/describe_architectures.py [NAME ...]: with names, only prints the rows of these architectures ("dbrx") or
configurations ("bart as decoder").
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architectures.md"
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import torch
from models.wrappers import WRAPPERS, make_wrapper
from scoring.batch_invariance.configurations import CONFIGURATIONS, SKIPPED
from tiny_models import make_bart_tokenizer, make_tokenizer
from transformers import PreTrainedModel

from forgetmeter.basics.quiet import quiet
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.applying.recipe_problems import recipe_problems
from forgetmeter.errors import UserError
from forgetmeter.models.family import Family
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.families.decoder import run_decoder
from forgetmeter.scoring.families.encoder import run_encoder
from forgetmeter.scoring.families.encoder_decoder import run_encoder_decoder
from forgetmeter.specs.recipe import parse_recipe

PRUNE = "l1_unstructured:overall:0.5"
RECIPES = (
    PRUNE,
    "l1_heads:attention:0.5",
    "ln_structured:overall:0.5",
    "n_m:overall",
    "svd:overall:0.5",
    "drop_layers:overall:0.5",
    "round_to_nearest:overall:4",
    "dynamic_int8:overall",
    "cast:overall",
)
_LONGEST = 48
_INTRODUCTION = """\
# Architectures

What works with transformers' text architectures, and with those that read texts as well as images or sound, tried on a
tiny random model of each by `python tools/describe_architectures.py`. `make architectures` tests the same; it also
checks that weights do what their role says, and that batching changes no log-likelihood. The architectures that were
not tried are listed [below the table](#not-in-the-table).

- **Roles**: whether every weight matrix has a role, so that scopes by role work. *Some without part*: `attention` and
  `feed_forward` work, but not all of `attention.query` and the like. Where a block has no value projection, as with
  Gemma 4's `attention_k_eq_v`, `attention.key` also produces the values.
- **Rows**: how texts share a batch without changing any answer; *packed* is the fastest. *Padded*: rows of different
  lengths are padded. *Equal lengths*: only texts of equal length share a batch. Encoder-decoders have two values: the
  decoder's rows, then the encoder's texts. *Refused*: the model does not predict tokens from the text before them,
  cannot run on token ids alone, or is not deterministic, or its output head cannot be read at single positions.
- **Methods**: those that are refused with the scope `overall` (`l1_heads`: `attention`), most often because a tiny
  model's sizes are not divisible as required, or because it has no layer of that kind. The others were applied, and the
  model ran. Nine methods were tried, which *all* refers to: `l1_unstructured`, `l1_heads`, `ln_structured`, `n_m`,
  `svd`, `drop_layers`, `round_to_nearest`, `dynamic_int8` and `cast`. In the tiny models, every layer has its own keys
  and values; `l1_heads` refuses layers that use those of others, as in Gemma 3n and Gemma 4, and its message suggests a
  scope that it accepts. That the heads it keeps compute what they did before is tested on each model.
- **Copy**: whether `compress` writes a copy that transformers loads with the same logits; if not, the beginning of
  the error, in which the model is called `it`.

"""


@dataclass(frozen=True)
class Row:
    """What works with one architecture."""

    name: str
    family: Family
    roles: str
    rows: str
    methods: str
    copy: str

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        return f"`{self.name}`", self.family, self.roles, self.rows, self.methods, self.copy


def row(name: str, family: Family, model: PreTrainedModel) -> Row:
    """Try everything on a model."""
    tokenizer = make_tokenizer() if family == "decoder" else make_bart_tokenizer()
    loaded = Loaded(model.eval(), tokenizer, family, name)
    return Row(name, family, _roles(model), _sharing(loaded), _methods(loaded), _copy(loaded))


def _roles(model: PreTrainedModel) -> str:
    matrices = weight_map(model)
    unknown = [each.parameter for each in matrices if each.role.component == "unknown"]
    if unknown:
        return f"unknown: {len(unknown)}, such as `{unknown[0]}`"
    is_split = all(
        each.role.part is not None for each in matrices if each.role.component in ("attention", "feed_forward")
    )
    return "all" if is_split else "all, some without part"


def _sharing(loaded: Loaded) -> str:
    run = {"decoder": run_decoder, "encoder": run_encoder, "encoder-decoder": run_encoder_decoder}[loaded.family]
    try:
        rows, texts = find_sharing(loaded, run, longest=_LONGEST)
    except UserError:
        return "refused"
    return f"{rows.level}, {texts.level}" if loaded.family == "encoder-decoder" else rows.level


def _methods(loaded: Loaded) -> str:
    try:
        _run(loaded)
    except ValueError:
        return "none: it does not run on token ids alone"
    compressor = Compressor(loaded)
    refused = []
    for text in RECIPES:
        recipe = parse_recipe(text)
        if recipe_problems(recipe, weight_map(loaded.model)):
            refused.append(f"`{recipe.steps[0].method}`")
            continue
        try:
            with compressor.applied(recipe):
                _run(loaded)
        except UserError:
            refused.append(f"`{recipe.steps[0].method}`")
        except Exception as error:  # noqa: BLE001 - the page says what broke
            refused.append(f"`{recipe.steps[0].method}` ({type(error).__name__})")
    return f"not {', '.join(refused)}" if refused else "all"


@torch.no_grad()  # type: ignore[untyped-decorator]
def _run(loaded: Loaded) -> None:
    ids = torch.tensor([[7, 9, 17, 33, 4, 20, 8]])
    more = {"decoder_input_ids": ids[:, :4]} if loaded.family == "encoder-decoder" else {}
    loaded.model(input_ids=ids, use_cache=False, **more) if loaded.family == "decoder" else loaded.model(
        input_ids=ids, **more
    )


def _copy(loaded: Loaded) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source", Path(folder) / "out"
        try:
            with quiet():
                loaded.model.save_pretrained(source)
                loaded.tokenizer.save_pretrained(source)
            compress_checkpoint(source, PRUNE, out, check=True)
        except UserError as error:
            return _short(str(error).replace(str(source), "it"))
        except Exception as error:  # noqa: BLE001 - the page says what broke
            return f"broken ({type(error).__name__})"
    return "same"


def _short(text: str) -> str:
    text = " ".join(text.replace("|", "/").split())
    return text if len(text) < 90 else f"{text[:88]}…"


def configurations(asked: Iterable[str]) -> Iterator[str]:
    """Yield the names of configurations by their own or by that of an architecture with a single row.

    Raises:
        SystemExit: A name is unknown, or its architecture has several rows.
    """
    known = [*CONFIGURATIONS, *WRAPPERS]
    for name in asked:
        rows = [each for each in all_names() if each.partition(" as ")[0] == name]
        if name not in known and len(rows) != 1:
            choices = rows or get_close_matches(name, {each.partition(" as ")[0] for each in known})
            hint = f"; choose one of: {', '.join(choices)}" if choices else ""
            raise SystemExit(f"'{name}' is {'ambiguous' if rows else 'unknown'}{hint}")
        yield name if name in known else rows[0]


def models(names: Iterable[str]) -> Iterator[tuple[str, Family, PreTrainedModel]]:
    """Yield architecture, family and model of configurations."""
    for name in names:
        if name in CONFIGURATIONS:
            yield name.partition(" as ")[0], CONFIGURATIONS[name].family, CONFIGURATIONS[name].model()
        else:
            yield name, "decoder", make_wrapper(name)


def all_names() -> Iterator[str]:
    """Yield the names of all configurations: one of each architecture and family."""
    for name in CONFIGURATIONS:
        if " as " in name and " with " not in name:
            yield name
    yield from WRAPPERS


def page(rows: Iterable[Row]) -> str:
    """Return the page."""
    rows = sorted(rows, key=lambda each: (each.name.lower(), each.family))
    complete = sum(each.roles.startswith("all") for each in rows)
    lines = [
        f"Of {len(rows)} rows, {complete} have a role for every weight, "
        f"{sum(each.roles == 'all' for each in rows)} of these with every part. "
        f"{sum(each.copy == 'same' for each in rows)} can be copied.",
        "",
        "| architecture | family | roles | rows | methods | copy |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(each.cells())} |" for each in rows),
        "",
        *not_tried({each.name for each in rows}),
    ]
    return _INTRODUCTION + "\n".join(lines) + "\n"


def not_tried(names: Collection[str]) -> Iterator[str]:
    """Yield the lines about transformers' other architectures: those without a row of these names."""
    yield from ("## Not in the table", "")
    left = {name: reason for name, reason in SKIPPED.items() if name not in names}
    others = f"Another {len(left)} of transformers' text architectures, or models that wrap one"
    yield f"{others}, have no row, for these reasons:"
    yield ""
    for reason in dict.fromkeys(left.values()):
        listed = ", ".join(f"`{name}`" for name in left if left[name] == reason)
        yield f"- {reason[0].upper()}{reason[1:]}: {listed}."


def main() -> None:
    """Write the page, or print rows."""
    asked = list(configurations(sys.argv[1:]))
    rows = []
    for name, family, model in models(asked or all_names()):
        rows.append(row(name, family, model))
        sys.stderr.write(f"{' | '.join(rows[-1].cells())}\n")
    if not asked:
        PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
