"""Pruning of whole attention heads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.basics.plural import counted
from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import Weight, put
from forgetmeter.compression.method import AtLevel, Method, Options
from forgetmeter.specs.method import MethodDeclaration, Option, Pools
from forgetmeter.specs.ranges import merged
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import ATTENTION_PARTS, Matrix, Part

Attention = tuple[str, int | None, str | None, str]
"""The identity of an attention in a model: stack, layer, self or cross, and the numbered module that it is in.

A layer may have several, or several lists of blocks have the same layer numbers.
"""

_NUMBERED = re.compile(r".*\.\d+(?=\.)")

Group = tuple[Attention, int]
"""A key-value head with all query heads that share it, numbered within its attention."""


@dataclass(frozen=True)
class L1Heads(Method):
    """Zeroes query, key and value rows and output columns of the heads with the smallest sum of magnitudes.

    With grouped-query attention, the query heads that share a key and a value are removed together and count as one
    head. The strongest head of each attention always stays. Biases of removed rows stay but have no effect, since the
    output projection ignores their head. What all heads depend on does not change: the latent projections of
    DeepSeek-V2, T5's relative bias, and queries and keys that one norm scales, as in OLMo 2.
    """

    def problems(
        self, matrices: Sequence[Matrix], level: Level | None, options: Options, *, model: Sequence[Matrix]
    ) -> Iterator[str]:
        """Report matrices outside attention, missing parts, or a layer that would lose all heads."""
        wrong = next((matrix for matrix in matrices if matrix.heads is None), None)
        if wrong is not None:
            yield (
                f"l1_heads needs attention with a known number of heads, and {wrong} is not part of any; choose "
                f"{_usable_scope(model)}"
            )
            return
        for attention, parts in _by_attention(matrices).items():
            if missing := _missing(parts):
                is_whole = not _missing(_by_attention(model).get(attention, ()))
                yield (
                    "l1_heads removes query, key, value and output of a head together, and "
                    f"{'the scope selects' if is_whole else 'the model has'} no {missing[0]} in "
                    f"{_described(attention)}; choose {_usable_scope(model)}"
                )
                return
        if borrowing := _borrowing(model, matrices):
            yield (
                f"l1_heads removes the keys and values of a head, and {_described(borrowing)} uses those of another "
                "layer, whose heads it would lose; choose another method"
            )
            return
        yield from _too_many(_groups(matrices), float(level or 0), options)

    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:  # noqa: ARG002
        """Sum the magnitudes of each head once; a level only decides which heads to remove."""
        groups = _groups(matrix for unit in units for matrix in unit.matrices)
        scores: dict[Group, float] = {}
        for position, unit in enumerate(units):
            for group, score in _scores(unit, groups):
                if score != score:
                    raise UnusableWeightError("holds NaN; use an intact checkpoint", position=position)
                scores[group] = scores.get(group, 0.0) + score

        def at_level(level: Level | None) -> Iterator[Weight]:
            removed = _removed(scores, groups, float(level or 0), options)
            for unit in units:
                yield unit.weight.masked(_mask(unit, groups, removed))

        return at_level


def _borrowing(model: Iterable[Matrix], matrices: Iterable[Matrix]) -> Attention | None:
    """Return an attention of the same kind that has queries but uses another layer's keys and values, if any.

    Which layer's cannot be seen from the weights.
    """
    kinds = {(matrix.stack, matrix.role.attention) for matrix in matrices}
    for attention, parts in _by_attention(model).items():
        missing = set(_missing(parts))
        if (attention[0], attention[2]) in kinds and missing and not missing & {"query", "output"}:
            return attention
    return None


def _missing(parts: Iterable[Matrix]) -> list[Part]:
    """Return the parts that an attention lacks: some layers use the keys and values of others."""
    found = {matrix.role.part for matrix in parts}
    return [part for part in ATTENTION_PARTS if part not in found]


def _usable_scope(model: Sequence[Matrix]) -> str:
    """Return a scope of attentions with all four parts and known heads: all, or the most consecutive layers."""
    if _borrowing(model, model):
        return "another method"
    attentions = _by_attention(matrix for matrix in model if matrix.role.component == "attention")
    unusable = {
        layer
        for (_, layer, *_), parts in attentions.items()
        if _missing(parts) or any(matrix.heads is None for matrix in parts)
    }
    usable = {layer for _, layer, *_ in attentions if layer is not None} - unusable
    if not usable:
        return "another method"
    start, stop = max(merged((layer, layer + 1) for layer in usable), key=lambda run: run[1] - run[0])
    layers = f"layers[{start}-{stop - 1}]/" if unusable else ""
    return f"a scope with all four, such as {layers}attention"


def _by_attention(matrices: Iterable[Matrix]) -> dict[Attention, list[Matrix]]:
    found: dict[Attention, list[Matrix]] = {}
    for matrix in matrices:
        found.setdefault(_attention(matrix), []).append(matrix)
    return found


def _attention(matrix: Matrix) -> Attention:
    numbered = _NUMBERED.match(matrix.parameter)
    return matrix.stack, matrix.layer, matrix.role.attention, numbered[0] if numbered else ""


def _described(attention: Attention) -> str:
    stack, layer, kind, _ = attention
    return f"the {kind}-attention of {stack} layer {layer}"


def _groups(matrices: Iterable[Matrix]) -> dict[Attention, int]:
    """Return the number of groups of each attention: the smallest number of heads of its projections."""
    return {
        attention: min((m.heads for m in parts if m.heads), default=0)
        for attention, parts in _by_attention(matrices).items()
    }


def _pools(groups: Mapping[Attention, int], options: Options) -> list[dict[Attention, int]]:
    if options["pool"] == "layer":
        return [{attention: count} for attention, count in groups.items()]
    return [dict(groups)]


def _pool_sizes(matrices: Sequence[Matrix], options: Options) -> list[int]:
    return [sum(pool.values()) for pool in _pools(_groups(matrices), options)]


def _too_many(groups: Mapping[Attention, int], level: float, options: Options) -> Iterator[str]:
    for pool in _pools(groups, options):
        total = sum(pool.values())
        most = total - len(pool)
        if round(level * total) > most == 0:
            yield (
                f"l1_heads cannot remove heads: {counted(len(pool), 'attention module')} with {total} heads must keep "
                "one each (query heads that share a key and a value count as one)"
            )
            return
        if round(level * total) > most:
            yield (
                f"l1_heads at level {level:g} would leave a layer without heads: "
                f"{counted(len(pool), 'attention module')} with {total} heads must keep one each, so at most {most} "
                f"can be removed; choose a level of at most {int(1000 * most / total) / 1000:g} "
                "(query heads that share a key and a value count as one)"
            )
            return


def _scores(unit: Unit, groups: Mapping[Attention, int]) -> Iterator[tuple[Group, float]]:
    for matrix, weight in unit.split(unit.weight).items():
        if not matrix.heads:
            continue
        values = _by_head(matrix, unit.turned(weight.values()), groups[_attention(matrix)])
        for index, score in enumerate(values.abs().sum(dim=(1, 2), dtype=torch.float64).tolist()):
            yield (_attention(matrix), index), score


def _by_head(matrix: Matrix, values: Tensor, groups: int) -> Tensor:
    """Return weights, ``(output units, input units)``, as ``(groups, …, …)``."""
    heads_first = values.t() if matrix.role.part == "output" else values
    return heads_first.unflatten(0, (groups, -1))


def _removed(
    scores: Mapping[Group, float], groups: Mapping[Attention, int], level: float, options: Options
) -> set[Group]:
    removed: set[Group] = set()
    for pool in _pools(groups, options):
        members = [(attention, index) for attention, count in pool.items() for index in range(count)]
        strongest = {attention: _strongest(scores, attention, count) for attention, count in pool.items()}
        weak = [group for group in members if strongest[group[0]] != group[1]]
        removed.update(sorted(weak, key=lambda group: scores[group])[: round(level * len(members))])
    return removed


def _strongest(scores: Mapping[Group, float], attention: Attention, count: int) -> int:
    # Ties: the later head stays, since the earlier one is removed first.
    return max(range(count), key=lambda index: (scores[attention, index], index))


def _mask(unit: Unit, groups: Mapping[Attention, int], removed: set[Group]) -> Tensor:
    keep = torch.ones(unit.weight.shape, dtype=torch.bool, device=unit.weight.values().device)
    for matrix, places in unit.places.items():
        if not matrix.heads:
            continue
        attention = _attention(matrix)
        count = groups[attention]
        kept = torch.tensor([(attention, index) not in removed for index in range(count)], device=keep.device)
        part = torch.ones(matrix.shape, dtype=torch.bool, device=keep.device)
        _by_head(matrix, unit.turned(part), count)[~kept] = False
        if places:
            put(keep, unit.axis, places, part)
        else:
            keep = part
    return keep


METHOD = L1Heads(
    MethodDeclaration(
        name="l1_heads",
        summary="Zeroes the given fraction of whole attention heads, those with the smallest sum of magnitudes.",
        reference="heads as in Michel et al. 2019, 1905.10650, ranked by magnitude",
        level="fraction",
        phrase="{percent} of heads pruned",
        kind="heads",
        pools=Pools("heads", _pool_sizes),
        options={
            "pool": Option(
                "global",
                "Rank all heads of the scope together, or those of each layer separately.",
                ("global", "layer"),
            )
        },
        revision=2,
        forms=("linear", "conv1d"),
        scopes="scopes of whole attention modules: attention, self_attention, cross_attention",
    )
)
