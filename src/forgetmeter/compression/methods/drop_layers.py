"""Dropping whole blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.dropped_weight import DroppedWeight
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import ActivationsMethod, AtLevel, Options
from forgetmeter.specs.method import MethodDeclaration, Option, Pools
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import MATRICES, Block, Matrix

_WHOLE = {("attention", "query"), ("attention", "output"), ("feed_forward", "up"), ("feed_forward", "down")}
"""The parts that a scope must select for a block to count as selected as a whole."""


@dataclass(frozen=True)
class DropLayers(ActivationsMethod):
    """Removes blocks from the model, with their norms and biases.

    Removes ``round(level * blocks)`` of the scope's blocks per stack: the last ones, or those of least influence
    (1 - the cosine similarity of a block's input and output). A scope of some layers at level 1 drops exactly these.
    A recipe that would drop all blocks of a stack is refused.
    """

    def needs_activations(self, options: Options) -> bool:
        """Whether blocks are chosen by influence."""
        return options["by"] == "influence"

    def problems(
        self, matrices: Sequence[Matrix], level: Level | None, options: Options, *, model: Sequence[Matrix]
    ) -> Iterator[str]:
        """Report a scope that does not select whole blocks, or a stack that would keep none."""
        del options
        outside = next((matrix for matrix in matrices if matrix.block is None), None)
        if outside is not None:
            yield (
                f"drop_layers drops whole blocks, and {outside} is not part of any; choose overall or layers[0]/overall"
            )
            return
        lists = {path for path, _ in _blocks(model)}
        if len(lists) > len({path.rpartition(".")[0] for path in lists}):
            spread = ", ".join(sorted(lists))
            yield f"drop_layers drops whole blocks, and those of this model are spread over several lists: {spread}"
            return
        for block in _blocks(matrices):
            parts = {(matrix.role.component, matrix.role.part) for matrix in matrices if matrix.block == block}
            if not parts >= _WHOLE & {(m.role.component, m.role.part) for m in model if m.block == block}:
                yield (
                    "drop_layers drops whole blocks, and the scope selects only part of "
                    f"{block[0]}.{block[1]}; choose overall or layers[0]/overall"
                )
                return
        everything = _by_list(_blocks(model))
        for path, blocks in _by_list(_blocks(matrices)).items():
            count = round(float(level or 0) * len(blocks))
            if count >= len(everything[path]):
                yield (
                    f"drop_layers at level {float(level or 0):g} would drop all {len(everything[path])} blocks of "
                    f"{path}; keep at least one (blocks that share weights, as in ALBERT, count as one)"
                )

    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:  # noqa: ARG002
        """Order the blocks once; a level only decides how many to drop."""
        orders = self._orders(_blocks(matrix for unit in units for matrix in unit.matrices), options)

        def at_level(level: Level | None) -> Iterator[Weight]:
            dropped = {block for order in orders for block in order[: round(float(level or 0) * len(order))]}
            for unit in units:
                gone = unit.matrices[0].block in dropped
                yield DroppedWeight(unit.weight.shape, unit.weight.values().dtype) if gone else unit.weight

        return at_level

    def _orders(self, blocks: Sequence[Block], options: Options) -> list[list[Block]]:
        """Return the blocks of each list in order of removal: by influence, or last first without activations."""
        if self.activations is None or not self.needs_activations(options):
            return [sorted(some, reverse=True) for some in _by_list(blocks).values()]
        influence = self.activations.influence(blocks)
        return [sorted(some, key=lambda block: (influence[block], -block[1])) for some in _by_list(blocks).values()]


def _blocks(matrices: Iterable[Matrix]) -> list[Block]:
    return list(dict.fromkeys(block for matrix in matrices if (block := matrix.block) is not None))


def _by_list(blocks: Iterable[Block]) -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in blocks:
        found.setdefault(block[0], []).append(block)
    return found


def _pool_sizes(matrices: Sequence[Matrix], _options: Options) -> list[int]:
    return [len(blocks) for blocks in _by_list(_blocks(matrices)).values()]


METHOD = DropLayers(
    MethodDeclaration(
        name="drop_layers",
        summary="Removes the given fraction of blocks: the last ones, or those that change their input least.",
        reference="ShortGPT (Men et al. 2024, 2403.03853); Gromov et al. 2024, 2403.17887",
        level="fraction",
        forms=(*MATRICES, "array"),
        phrase="{percent} of blocks dropped by {by=position}",
        kind="blocks",
        revision=2,
        pools=Pools("blocks", _pool_sizes),
        options={
            "by": Option(
                "position",
                "Blocks to remove: the last ones, or those of least influence (needs calibration text).",
                ("position", "influence"),
            )
        },
        scopes="scopes of whole layers: overall, encoder/overall, layers[0-5]/overall",
    )
)
