"""Token sequences as rows, and rows as batches.

Requests of one item mostly begin alike: a row holds what they share once, followed by a branch for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forgetmeter.scoring.tokenization import TokenizedRequest

SHARED = 0
"""Branch number of the tokens that all branches of a row continue."""


@dataclass(frozen=True)
class ScoredRequest:
    """Where a row answers a request.

    Attributes:
        request: Index of the request.
        places: Indices into the row's tokens whose next-token distributions are wanted.
        targets: The tokens whose log-probabilities are wanted there.
    """

    request: int
    places: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One row of a batch.

    Attributes:
        tokens: Token ids.
        positions: The position that each token has in its own sequence.
        branches: ``SHARED``, or the number of the branch that each token belongs to.
        scored: The requests that the row answers.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    branches: tuple[int, ...]
    scored: tuple[ScoredRequest, ...]

    @property
    def branched(self) -> bool:
        """Whether plain causal attention would mix up branches."""
        return bool(self.branches) and self.branches[-1] > 1


def pack_item(requests: Sequence[tuple[int, TokenizedRequest]], *, longest_row: int | None) -> list[Row]:
    """Return rows that answer all requests of one item.

    Args:
        requests: Pairs of a request's index and its tokens.
        longest_row: The most tokens in a row with branches; ``None`` where the model must not be given branches,
            so that each distinct sequence gets a row of its own.
    """
    by_inputs: dict[tuple[int, ...], list[tuple[int, TokenizedRequest]]] = {}
    for index, request in requests:
        by_inputs.setdefault(request.inputs, []).append((index, request))
    groups = [list(by_inputs)] if longest_row is not None else [[inputs] for inputs in by_inputs]
    rows = []
    for group in groups:
        shared = _common_prefix(group)
        for sequences in _split(group, shared, longest_row):
            rows.append(_row(sequences, shared, by_inputs))
    return rows


def batches(rows: Sequence[Row], *, batch_tokens: int) -> Iterator[list[Row]]:
    """Group rows of similar length, the longest first, so that a batch padded to its longest row fits the budget.

    Rows with branches and rows without are kept apart, as the latter need no attention mask.

    Args:
        rows: The rows.
        batch_tokens: The most tokens in a batch, padding included; a single longer row makes its own batch.
    """
    order = sorted(range(len(rows)), key=lambda index: (rows[index].branched, -len(rows[index].tokens), index))
    batch: list[Row] = []
    for index in order:
        row = rows[index]
        if batch and (row.branched != batch[0].branched or (len(batch) + 1) * len(batch[0].tokens) > batch_tokens):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    first, last = min(sequences), max(sequences)
    length = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        length += 1
    return length


def _split(sequences: list[tuple[int, ...]], shared: int, longest_row: int | None) -> Iterator[list[tuple[int, ...]]]:
    part: list[tuple[int, ...]] = []
    length = shared
    for sequence in sequences:
        if part and longest_row is not None and length + len(sequence) - shared > longest_row:
            yield part
            part, length = [], shared
        part.append(sequence)
        length += len(sequence) - shared
    yield part


def _row(
    sequences: Sequence[tuple[int, ...]],
    shared: int,
    by_inputs: dict[tuple[int, ...], list[tuple[int, TokenizedRequest]]],
) -> Row:
    tokens = list(sequences[0][:shared])
    positions = list(range(shared))
    branches = [SHARED] * shared
    scored = []
    for number, sequence in enumerate(sequences, start=1):
        offset = len(tokens) - shared
        tokens.extend(sequence[shared:])
        positions.extend(range(shared, len(sequence)))
        branches.extend([number] * (len(sequence) - shared))
        for index, request in by_inputs[sequence]:
            first = len(sequence) - len(request.targets)
            places = tuple(place if place < shared else place + offset for place in range(first, len(sequence)))
            scored.append(ScoredRequest(index, places, request.targets))
    return Row(tuple(tokens), tuple(positions), tuple(branches), tuple(scored))
