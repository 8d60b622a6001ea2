"""Names of tensors in checkpoints that were saved from inside a wrapper, such as a compiled model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError

# A part of a tensor's name, what the checkpoint was saved from, and what to save instead.
_WRAPPERS = (
    (re.compile(r"(?:^|\.)_orig_mod\."), "a model compiled by torch.compile", "the model before torch.compile"),
    (re.compile(r"(?:^|\.)_fsdp_wrapped_module\."), "a model sharded by FSDP", "its full state dict"),
    (re.compile(r"^base_model\.model\."), "an adapter model of peft", "the result of its merge_and_unload"),
    (re.compile(r"^module\."), "a model wrapped in DataParallel", "its .module"),
)


def refuse_wrapper_names(names: Iterable[str], model: str) -> None:
    """Refuse a checkpoint whose tensors have a wrapper's names; its weights would all count as missing.

    Raises:
        UserError: They are.
    """
    names = sorted(names)
    for pattern, wrapper, instead in _WRAPPERS:
        found = [name for name in names if pattern.search(name)]
        if found:
            part = pattern.search(found[0])
            assert part is not None
            raise UserError(
                f"model '{model}': it was saved from {wrapper}: {len(found)} of {counted(len(names), 'tensor')} have "
                f"'{part[0].lstrip('.')}' in their names, such as {found[0]}; save {instead}, or remove that part "
                "from the names"
            )
