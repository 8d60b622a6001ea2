"""Tiny random models for the tests in this folder."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from forgetmeter.models.loaded import Loaded


@pytest.fixture
def make_loaded():
    def make(*, tied=False, dtype=torch.float32, seed=0):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=61,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=tied,
        )
        model = LlamaForCausalLM(config).to(dtype).eval()
        # Compression never looks at the tokenizer.
        return Loaded(model=model, tokenizer=None, family="decoder", name="tiny")

    return make


@pytest.fixture
def tokens():
    return torch.randint(0, 61, (3, 11), generator=torch.Generator().manual_seed(5))


@pytest.fixture
def logits(tokens):
    def compute(model):
        with torch.inference_mode():
            return model(tokens).logits

    return compute
