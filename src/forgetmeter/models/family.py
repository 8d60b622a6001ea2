"""Finds a model's family from its configuration alone."""

from __future__ import annotations

import re
from typing import Any, Literal

from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from forgetmeter.errors import UserError

Family = Literal["encoder", "encoder-decoder", "decoder"]

# Suffixes of transformers' class names, by family.
_CLASS_NAMES: dict[str, Family] = {
    "ForMaskedLM": "encoder",
    "ForPreTraining": "encoder",
    "ForConditionalGeneration": "encoder-decoder",
    "ForCausalLM": "decoder",
    "LMHeadModel": "decoder",
}
_MODEL_TYPES: dict[Family, Any] = {
    "encoder": MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "encoder-decoder": MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "decoder": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
}
# Wrappers of a decoder that also reads images; they read texts without any as the decoder alone does.
_WRAPPERS = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
_REFUSED = {
    **dict.fromkeys(
        ("blip", "blip-2", "idefics", "instructblip", "instructblipvideo", "kosmos-2"),
        "cannot read text without an image",
    ),
    "mra": "needs a CUDA kernel that transformers downloads, without which its attention is replaced by zeros",
}
# Classes with another task's head. Saved from a tied model, they would still load as a language model.
# ELECTRA's pre-training head says which tokens were replaced.
_OTHER_HEADS = re.compile(
    r"For(Sequence|Token|Image|Audio\w*)Classification$|ForQuestionAnswering$|ForMultipleChoice$|ElectraForPreTraining$"
)
_KNOWN = (
    "masked language models (BERT, RoBERTa, DistilBERT, ALBERT, ELECTRA's generator, DeBERTa-v2, ModernBERT ...), "
    "encoder-decoders (T5, Flan-T5, mT5, BART ...) and decoders (Llama, Mistral, Qwen, Gemma, Phi-3, GPT-2, GPT-NeoX, "
    "OPT, Falcon, BLOOM, Mixtral ...)"
)


def family_of(config: PreTrainedConfig, name: str) -> Family:
    """Return the family of a model.

    Encoder-decoders declare it. Some architectures, such as BERT, can be both encoder and decoder: the class named in
    the configuration decides, and the default is a masked language model.

    Raises:
        UserError: The model belongs to no family, or was saved with the head of another task.
    """
    for architecture in getattr(config, "architectures", None) or ():
        if _OTHER_HEADS.search(architecture):
            raise UserError(
                f"model '{name}' was saved as {architecture}, whose head does not predict tokens; "
                "use a checkpoint that was saved with a language model's head"
            )
    if reason := _REFUSED.get(config.model_type):
        raise UserError(f"model '{name}' is of type '{config.model_type}', which {reason}; supported types: {_KNOWN}")
    candidates = _candidates(config)
    for family in candidates:
        if config.model_type in _MODEL_TYPES[family]:
            return family
    if "decoder" in candidates and config.model_type in _WRAPPERS:
        return "decoder"
    if config.model_type in _MODEL_TYPES["encoder-decoder"]:
        raise UserError(
            f"model '{name}' is of type '{config.model_type}', an encoder-decoder, but was saved without its decoder "
            "(is_encoder_decoder is false in its config.json); use the whole model"
        )
    raise UserError(
        f"model '{name}' is of type '{config.model_type}', which is not supported; supported types: {_KNOWN}"
    )


def refuse_other_class(kind: type, family: Family, name: str) -> None:
    """Refuse a model in memory whose class does not have its family's head.

    Raises:
        UserError: It does not predict tokens as its family does.
    """
    allowed = {*_MODEL_TYPES[family].values(), *(_WRAPPERS.values() if family == "decoder" else ())}
    if not any(base.__name__ in allowed for base in kind.__mro__):
        raise UserError(
            f"model '{name}' is a {kind.__name__}, which does not predict tokens as {family}s do; "
            f"load it with {auto_class(family, '').__name__}"
        )


def auto_class(family: Family, model_type: str) -> Any:  # noqa: ANN401 - transformers' auto classes share no type
    """Return transformers' auto class for an architecture of a family, with its language modelling head."""
    if family == "encoder":
        return AutoModelForMaskedLM
    if family == "encoder-decoder":
        return AutoModelForSeq2SeqLM
    # Some wrappers can also be loaded as their decoder alone; their other weights would then be lost in a copy.
    return AutoModelForImageTextToText if model_type in _WRAPPERS else AutoModelForCausalLM


def _candidates(config: PreTrainedConfig) -> list[Family]:
    """Return the possible families of a configuration, likeliest first."""
    if getattr(config, "is_encoder_decoder", False):
        return ["encoder-decoder"]
    if getattr(config, "is_decoder", False):
        return ["decoder"]
    for architecture in getattr(config, "architectures", None) or ():
        for ending, family in _CLASS_NAMES.items():
            if architecture.endswith(ending) and family != "encoder-decoder":
                return [family, "encoder", "decoder"]
    return ["encoder", "decoder"]
