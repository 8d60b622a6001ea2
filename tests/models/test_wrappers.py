"""Models that also read images: scopes mean the part that reads texts, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.wrappers import WRAPPERS, make_wrapper
from safetensors.torch import load_file
from tiny_models import make_tokenizer

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import OTHER_MODALITY, left_alone, weight_map
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.families.decoder import run_decoder
from forgetmeter.specs.scope import parse_scope

TEXT = {
    "attention.query": 2,
    "attention.key": 2,
    "attention.value": 2,
    "attention.output": 2,
    "feed_forward.gate": 2,
    "feed_forward.up": 2,
    "feed_forward.down": 2,
}
HYBRID = {name: count // 2 if name.startswith("attention") else count for name, count in TEXT.items()}
ROLES = {
    "gemma4": TEXT | {"embedding": 5},
    # Experts, and those that are shared by all tokens.
    "llama4": TEXT | {"feed_forward.gate": 4, "feed_forward.up": 4, "feed_forward.down": 4},
    "qwen3_5": HYBRID | {"attention.gate": 1, "mixer": 5},
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_scopes_mean_the_part_that_reads_texts(name: str) -> None:
    model = make_wrapper(name)
    matrices = weight_map(model)
    roles = [str(matrix.role) for matrix in matrices]
    assert {role: roles.count(role) for role in roles} == ROLES.get(name, TEXT) | {"head": 1}
    assert {matrix.layer for matrix in parse_scope("layers[0-1]/overall").select(matrices)} == {0, 1}
    assert not any("vision" in matrix.parameter or "visual" in matrix.parameter for matrix in matrices)
    # Gemma 4's tiny model has no images.
    assert (OTHER_MODALITY in left_alone(model).values()) == (name != "gemma4")


@pytest.mark.parametrize("name", WRAPPERS)
def test_what_is_left_alone_reads_no_text(name: str) -> None:
    model = make_wrapper(name)
    ids = torch.tensor([[7, 9, 17, 33, 4, 20, 8]])
    with torch.no_grad():
        said = model(input_ids=ids).logits
        for parameter, reason in left_alone(model).items():
            if reason == OTHER_MODALITY:
                torch.nn.init.normal_(model.get_parameter(parameter))
        assert torch.equal(model(input_ids=ids).logits, said)


@pytest.mark.parametrize("name", WRAPPERS)
def test_rows_are_shared_as_without_images(name: str) -> None:
    loaded = Loaded(make_wrapper(name), make_tokenizer(), "decoder", name)
    rows, _ = find_sharing(loaded, run_decoder, longest=64)
    assert rows.level == ("padded" if name == "qwen3_5" else "packed")


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
