"""Counts of the weights that each scope of a model selects, and of those that no scope selects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from forgetmeter.models.roles.weight_map import left_alone, weight_map
from forgetmeter.specs.role import OTHER_ATTENTION_PARTS, Matrix, Part
from forgetmeter.specs.scope import SELECTORS, SURE_SELECTORS, Scope

_RARE = ("mixer", "embedding_projection", *(f"attention.{part}" for part in OTHER_ATTENTION_PARTS))


@dataclass(frozen=True)
class Row:
    """A group of weights of a model.

    Attributes:
        name: The scope that selects them, or the reason why no scope does.
        matrices: Number of matrices or parameters.
        weights: Number of weights.
        share: Share of the model's weights.
    """

    name: str
    matrices: int
    weights: int
    share: float


@dataclass(frozen=True)
class ScopeRows:
    """The scopes of a model.

    Attributes:
        scopes: One row per scope that selects something.
        empty: The scopes that select nothing, apart from those of parts that few architectures have.
        left_alone: One row per reason for leaving parameters alone.
        unknown: The parameters of unknown role.
        without_part: Those of attention and feed-forward layers whose part is unknown.
        tied_to: The embedding that shares the head's weights, if any; these count in two rows.
        keys_and_values: The key projections of attention without a value projection, as in Gemma 4's larger models:
            they make the values, too.
        components_without_part: Which of attention and feed-forward have weights without a part.
        shared: The numbers of layers with weights of their own and of layers that run, if fewer have, as in ALBERT.

    Each parameter of two or more dimensions is in a row of ``scopes`` or ``left_alone``, or of unknown role.
    """

    scopes: tuple[Row, ...]
    empty: tuple[str, ...]
    left_alone: tuple[Row, ...]
    unknown: tuple[str, ...]
    without_part: tuple[str, ...]
    tied_to: str | None
    keys_and_values: tuple[str, ...] = ()
    components_without_part: tuple[str, ...] = ()
    shared: tuple[int, int] | None = None


def scope_rows(matrices: Sequence[Matrix], reasons: Iterable[tuple[str, int]], total: int) -> ScopeRows:
    """Count the weights that each scope selects.

    ``reasons`` gives the reason and the number of weights of each parameter left alone, ``total`` the model's number of
    weights, with shared tensors counted once.
    """
    scopes = [Scope(selector) for selector in SELECTORS]
    if len({matrix.stack for matrix in matrices}) > 1:
        scopes += [Scope("overall", "encoder"), Scope("overall", "decoder")]
    without_part = [
        matrix
        for matrix in matrices
        if matrix.role.component in ("attention", "feed_forward") and matrix.role.part is None
    ]
    # Recipes with a scope of one part are refused.
    components = tuple(dict.fromkeys(matrix.role.component for matrix in without_part))
    refused = tuple(f"{component}." for component in components)
    unknown = tuple(str(matrix) for matrix in matrices if matrix.role.component == "unknown")
    if unknown:
        scopes = [scope for scope in scopes if scope.selector in SURE_SELECTORS]
    selected = {str(scope): scope.select(matrices) for scope in scopes if not str(scope).startswith(refused)}
    rows = {name: _row(name, [matrix.size for matrix in found], total) for name, found in selected.items()}
    alone: dict[str, list[int]] = {}
    for reason, size in reasons:
        alone.setdefault(reason, []).append(size)
    return ScopeRows(
        scopes=tuple(row for row in rows.values() if row.matrices),
        empty=tuple(name for name, row in rows.items() if not row.matrices and name not in _RARE),
        left_alone=tuple(_row(reason, sizes, total) for reason, sizes in alone.items()),
        unknown=unknown,
        without_part=tuple(map(str, without_part)),
        tied_to=next((matrix.tied_to for matrix in matrices if matrix.tied_to), None),
        keys_and_values=tuple(_keys_and_values(matrices)),
        components_without_part=components,
    )


def _keys_and_values(matrices: Iterable[Matrix]) -> Iterator[str]:
    """Yield the key projections of attention that has no other projection from which its values could come."""
    attentions: dict[object, dict[Part | None, str]] = {}
    for each in matrices:
        if each.role.component == "attention":
            attentions.setdefault((each.stack, each.block, each.role.attention), {})[each.role.part] = each.parameter
    for parts in attentions.values():
        if "key" in parts and not parts.keys() & {"value", "latent", None}:
            yield parts["key"]


def _row(name: str, sizes: Sequence[int], total: int) -> Row:
    return Row(name, len(sizes), sum(sizes), sum(sizes) / total if total else 0.0)


def rows_of_model(model: PreTrainedModel) -> ScopeRows:
    """Count the weights that each scope selects in a model; values are not read."""
    reasons = [(reason, model.get_parameter(name).numel()) for name, reason in left_alone(model).items()]
    matrices, total = weight_map(model), sum(parameter.numel() for parameter in model.parameters())
    return replace(scope_rows(matrices, reasons, total), shared=_shared_layers(model, matrices))


def _shared_layers(model: PreTrainedModel, matrices: Iterable[Matrix]) -> tuple[int, int] | None:
    blocks = {matrix.block for matrix in matrices if matrix.block is not None}
    config = model.config.get_text_config()
    layers = getattr(config, "num_hidden_layers", 0)
    # LongCat's blocks are of two layers each, with weights of their own.
    is_shared = not model.config.is_encoder_decoder and getattr(config, "num_layers", None) != len(blocks)
    return (len(blocks), layers) if is_shared and 0 < len(blocks) < layers else None
