"""Whether two models predict the same tokens."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase


def vocabulary_difference(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> str | None:
    """Return how the vocabularies of two tokenizers differ, in a few words; ``None`` if they do not.

    One may have more tokens than the other, such as added special tokens or the padding of a GGUF file, if all tokens
    of the other have the same ids in it.
    """
    ours, theirs = one.get_vocab(), other.get_vocab()
    few, many = sorted((ours, theirs), key=len)
    different = [token for token, number in few.items() if many.get(token) != number]
    if not different:
        return None
    token = min(different, key=lambda each: few[each])
    ids = " and ".join(str(found.get(token, "missing")) for found in (ours, theirs))
    return f"{len(ours):,} and {len(theirs):,} tokens; {token!r} is {ids}"
