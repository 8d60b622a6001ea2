"""Models that also read images: scopes mean the part that reads texts, and nothing else changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from models.wrappers import WRAPPERS, make_wrapper
from safetensors.torch import load_file
from tiny_models import make_tokenizer
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM, PreTrainedModel

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.family import family_of
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import OTHER_MODALITY, left_alone, weight_map
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.families.decoder import run_decoder
from forgetmeter.specs.scope import SELECTORS, parse_scope

TEXT = {
    "attention.query": 2,
    "attention.key": 2,
    "attention.value": 2,
    "attention.output": 2,
    "feed_forward.gate": 2,
    "feed_forward.up": 2,
    "feed_forward.down": 2,
}
PLAIN = "gemma3 glm4v idefics3 internvl llava mistral3 paligemma qwen2_5_vl qwen2_vl qwen3_vl smolvlm"
HYBRID = {name: count // 2 if name.startswith("attention") else count for name, count in TEXT.items()}
ROLES = {
    **dict.fromkeys(PLAIN.split(), TEXT),
    "gemma4": TEXT | {"embedding": 5},
    # Experts, and those that are shared by all tokens.
    "llama4": TEXT | {"feed_forward.gate": 4, "feed_forward.up": 4, "feed_forward.down": 4},
    "qwen3_5": HYBRID | {"attention.gate": 1, "mixer": 5},
}
PADDED = (
    "glm5_next inkling2 inkling_mm_model kosmos-2.5 lfm3_vl minicpm_ocr minicpmv4_6 minicpmv4_7 nemotron_h_omni "
    "qwen3_5 qwen3_5_moe"
)
WITHOUT_TOWER = ("gemma4", "gemma4_unified", "mistral4")
"""Their tiny models have no images, or they read texts alone."""
USUALLY_RUN = ("chameleon", "git", "llama4", "llava", "nemotron_h_omni", "qwen2_vl", "qwen3_5", "step3p7")
"""Those tested by default; `make architectures` tests all."""
each_wrapper = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in USUALLY_RUN else pytest.mark.architectures) for name in WRAPPERS]
)


@each_wrapper
def test_scopes_mean_the_part_that_reads_texts(name: str) -> None:
    model = make_wrapper(name)
    matrices = weight_map(model)
    roles = [str(matrix.role) for matrix in matrices]
    assert "unknown" not in roles
    assert roles.count("head") == 1
    if name in ROLES:
        assert {role: roles.count(role) for role in roles} == ROLES[name] | {"head": 1, "token_embedding": 1}
    assert {matrix.layer for matrix in parse_scope("layers[0-1]/overall").select(matrices)} == {0, 1}
    assert not re.search("vision|visual|image|audio|tower", " ".join(matrix.parameter for matrix in matrices))
    assert (OTHER_MODALITY in left_alone(model).values()) == (name not in WITHOUT_TOWER)


@each_wrapper
def test_each_weight_of_a_scope_acts_on_texts_and_no_other_does(name: str) -> None:
    """Also holds of layers that a text skips as a whole, such as those of Mllama that attend to images."""
    model = make_wrapper(name)
    matrices, others = weight_map(model), [at for at, why in left_alone(model).items() if why == OTHER_MODALITY]
    before = {parameter: weight.clone() for parameter, weight in model.named_parameters()}
    said = logits(model)
    with torch.no_grad():
        for parameter in others:
            torch.nn.init.normal_(model.get_parameter(parameter))
        assert torch.equal(logits(model), said)
        for parameter in others:
            model.get_parameter(parameter).copy_(before[parameter])
        for scope in [text for text in SELECTORS if parse_scope(text).select(matrices)]:
            zeroed = {matrix.tied_to or matrix.parameter for matrix in parse_scope(scope).select(matrices)}
            for matrix in parse_scope(scope).select(matrices):
                index = [slice(None)] * len(matrix.shape)
                for start, stop in matrix.ranges or [(0, matrix.shape[-2])]:
                    if matrix.axis is not None:
                        index[matrix.axis] = slice(start, stop)
                    model.get_parameter(matrix.parameter)[tuple(index)] = 0
            changed = {at for at, weight in model.named_parameters() if not torch.equal(weight, before[at])}
            assert changed == zeroed, scope
            # An indexer chooses among more tokens than this text has.
            assert torch.equal(logits(model), said) == (scope == "attention.indexer"), scope
            for parameter in zeroed:
                model.get_parameter(parameter).copy_(before[parameter])


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.tensor([[7, 9, 17, 33, 4, 20, 8]]), use_cache=False).logits
    return found


@each_wrapper
def test_rows_are_shared_as_without_images(name: str) -> None:
    loaded = Loaded(make_wrapper(name), make_tokenizer(), "decoder", name)
    if name == "paligemma":
        with pytest.raises(UserError, match="depend on later tokens"):
            find_sharing(loaded, run_decoder, longest=64)
        return
    rows, _ = find_sharing(loaded, run_decoder, longest=64)
    assert rows.level == ("padded" if name in PADDED.split() else "packed")


@pytest.mark.parametrize("name", ["blip-2", "kosmos-2"])
def test_a_model_that_needs_an_image_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"of type '{name}', which cannot read text without an image"):
        family_of(CONFIG_MAPPING[name](), "mine")


@pytest.mark.parametrize("name", ["llama4", "qwen2_vl"])
def test_a_compressed_copy_keeps_the_other_weights(tmp_path: Path, name: str) -> None:
    source = tmp_path / "model"
    make_wrapper(name).save_pretrained(source)
    make_tokenizer().save_pretrained(source)
    compress_checkpoint(str(source), "l1_unstructured:overall:0.5", tmp_path / "out")
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    texts = parse_scope("overall").select(weight_map(open_checkpoint(str(source)).skeleton))
    assert len(changed) == len({matrix.parameter for matrix in texts})
    assert not any("vision" in key or "visual" in key for key in changed)


def test_the_transform_before_the_head_of_a_masked_model_reads_texts() -> None:
    """ModernVBERT's is outside of its text tower, as are the modules that read images."""
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"vocab_size": 99, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    text = {**size, **tokens, "pad_token_id": 1, "model_type": "modernbert"}
    vision = {**size, "image_size": 16, "patch_size": 8, "model_type": "siglip_vision_model"}
    config = CONFIG_MAPPING["modernvbert"](text_config=text, vision_config=vision, image_token_id=9)
    model = AutoModelForMaskedLM.from_config(config).eval()
    transform = [each.parameter for each in weight_map(model) if each.role.component == "head_transform"]
    assert transform == ["projection_head.dense.weight"]
    asked, alone = torch.tensor([[2, 40, 41, 42, 3]]), left_alone(model)
    with torch.no_grad():
        before = model(input_ids=asked).logits
        for name, reason in alone.items():
            if reason == OTHER_MODALITY:
                model.get_parameter(name).zero_()
        assert torch.equal(model(input_ids=asked).logits, before)
        model.get_parameter(transform[0]).zero_()
        assert not torch.allclose(model(input_ids=asked).logits, before)
