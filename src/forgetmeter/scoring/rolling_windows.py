"""A text longer than the model reads, in windows that score each of its tokens once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from forgetmeter.scoring.rows.prefix_tree import WantedSequence


def rolling_windows(tokens: Sequence[int], *, window: int) -> Iterator[WantedSequence]:
    """Yield the windows in which lm-evaluation-harness reads a text (``get_rolling_token_windows``, 0.4.13).

    Each window but the last predicts as many tokens as the model reads, so that its first is told by one token alone
    (``context_len=1``); the last one is as long, and predicts what is left.

    Args:
        tokens: Token ids, the one that begins a sequence first; what follows it is scored.
        window: The most tokens that the model reads, at least 1.
    """
    end = 1
    while end < len(tokens):
        first, end = end, min(end + window, len(tokens))
        # A window reads all of its tokens but the last.
        begin = max(0, end - window - 1)
        yield WantedSequence(tuple(tokens[begin:end]), first - begin)
