"""Which family an architecture belongs to."""

from __future__ import annotations

import pytest
from transformers import (
    AlbertConfig,
    BartConfig,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    ModernBertConfig,
    MraConfig,
    MT5Config,
    PreTrainedConfig,
    RobertaConfig,
    T5Config,
    T5EncoderModel,
    ViTConfig,
    WhisperConfig,
)

from forgetmeter.errors import UserError
from forgetmeter.models.family import auto_class, family_of


@pytest.mark.parametrize(
    "config",
    [
        AlbertConfig(),
        BertConfig(),
        BertConfig(architectures=["BertModel"]),
        BertConfig(architectures=["BertForPreTraining"]),
        DebertaV2Config(),
        DistilBertConfig(),
        ElectraConfig(),
        ModernBertConfig(),
        RobertaConfig(architectures=["RobertaForMaskedLM"]),
    ],
    ids=lambda config: f"{config.model_type}-{(config.architectures or ['-'])[0]}",
)
def test_masked_language_models(config: PreTrainedConfig) -> None:
    assert family_of(config, "m") == "encoder"
    assert auto_class("encoder", config.model_type)._model_mapping[type(config)].__name__.endswith("ForMaskedLM")


@pytest.mark.parametrize("config", [T5Config(), MT5Config(), BartConfig()], ids=lambda config: config.model_type)
def test_encoder_decoders(config: PreTrainedConfig) -> None:
    assert family_of(config, "m") == "encoder-decoder"


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(),
        GPT2Config(architectures=["GPT2LMHeadModel"]),
        MixtralConfig(),
        BertConfig(architectures=["BertLMHeadModel"]),
        RobertaConfig(is_decoder=True),
    ],
    ids=lambda config: config.model_type,
)
def test_decoders(config: PreTrainedConfig) -> None:
    assert family_of(config, "m") == "decoder"


@pytest.mark.parametrize("config", [ViTConfig(), WhisperConfig()], ids=lambda config: config.model_type)
def test_other_architectures_are_refused_with_the_known_ones(config: PreTrainedConfig) -> None:
    with pytest.raises(UserError, match=r"'m' is of type '(vit|whisper)'.*BERT.*T5.*Llama"):
        family_of(config, "m")


def test_attention_that_needs_a_missing_kernel_is_refused() -> None:
    with pytest.raises(UserError, match="'m' is of type 'mra', which needs a CUDA kernel"):
        family_of(MraConfig(), "m")


@pytest.mark.parametrize(
    "architecture", ["BartForSequenceClassification", "ElectraForPreTraining", "LlamaForTokenClassification"]
)
def test_a_head_for_another_task_is_refused(architecture: str) -> None:
    with pytest.raises(UserError, match=rf"'m' was saved as {architecture}, whose head does not predict tokens"):
        family_of(BartConfig(architectures=[architecture]), "m")


def test_an_encoder_decoder_without_its_decoder_is_named_as_such() -> None:
    config = T5EncoderModel(T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)).config
    with pytest.raises(UserError, match="type 't5', an encoder-decoder, but was saved without its decoder"):
        family_of(config, "mine")
