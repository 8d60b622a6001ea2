"""Whether a step left a weight as it was."""

from __future__ import annotations

import torch
from torch import Tensor

from forgetmeter.compression.forms.dropped_weight import is_dropped
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.ranking.magnitude_bits import pieces_with


def is_unchanged(before: Weight, after: Weight, *, stored_bits: int | None = None) -> bool:
    """Return whether two forms of a weight have the same values, bits and scales; stops at the first difference.

    Fewer bits are a change even where rounding is exact, as the model then takes less room. So is a form with a
    kernel of its own, which never has the bits of plain weights. 0 and -0 are the same.

    Args:
        before: The weight as it was.
        after: The weight as it is.
        stored_bits: What a weight of the checkpoint takes, where it is computed in a wider dtype.
    """
    if after is before:
        return True
    most = stored_bits or max(before.bits(), after.bits())
    bits_before, bits_after = (min(most, weight.bits()) for weight in (before, after))
    if is_dropped(after) or (bits_after, after.scales()) != (bits_before, before.scales()):
        return False
    old, new = before.values(), after.values()
    return old is new or _equal(old, new)


def _equal(old: Tensor, new: Tensor) -> bool:
    """Compare a piece at a time: seldom more than the first one is looked at."""
    common = torch.promote_types(old.dtype, new.dtype)
    return all(torch.equal(one.to(common), other.to(common)) for one, other in pieces_with(old, new.contiguous()))
