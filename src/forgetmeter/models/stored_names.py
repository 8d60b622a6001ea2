"""Where transformers puts the tensors of a checkpoint, by their names."""

from __future__ import annotations

from collections.abc import Callable

from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key


def name_in(model: PreTrainedModel) -> Callable[[str], str | None]:
    """Return a function that gives the model's name for a tensor of a checkpoint, as ``from_pretrained`` reads it.

    The name is that of a parameter or buffer, or none that the model has where it has no place for the tensor. It is
    ``None`` where transformers puts the tensor together with others, takes it apart or turns it.
    """
    transforms = get_model_conversion_mapping(model)
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    converters = [each for each in transforms if isinstance(each, WeightConverter)]
    places = model.state_dict()

    def name(stored: str) -> str | None:
        key, converter = rename_source_key(stored, renamings, converters, model.base_model_prefix, places)
        return str(key) if converter is None else None

    return name
