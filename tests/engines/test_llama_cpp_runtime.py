"""llama.cpp in this process, if it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gguf import GGUFWriter
from written_ggufs import byte_level_tokens, write_llama_gguf

from forgetmeter.engines.external_engine import ExternalEngine
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.records.generation import Generation
from forgetmeter.records.item import Item
from forgetmeter.results.results import open_run
from forgetmeter.scoring.engine import Engine
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.study.running import run

QUESTIONS = "".join(
    f'{{"prompt": "{prompt}", "choices": ["red", "green and", "blue"], "answer": {place % 3}}}\n'
    for place, prompt in enumerate(["the sky is", "the sky is not", "grass is", "a rose is a", "what is"])
)


def study(tmp_path: Path, gguf: Path, **more: object) -> dict[str, object]:
    (tmp_path / "questions.jsonl").write_text(QUESTIONS)
    return {
        "models": [str(gguf)],
        "candidates": [{"engine": "llama_cpp", "file": str(gguf), "n_ctx": 64, **more}],
        "tasks": [f"file:{tmp_path / 'questions.jsonl'}"],
        "output": str(tmp_path / "run"),
    }


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_float32_gguf_gives_the_answers_of_its_unpacked_weights(tmp_path: Path) -> None:
    write_llama_gguf(file := tmp_path / "model.gguf")
    run(study(tmp_path, file))
    results = open_run(tmp_path / "run")
    assert not len(results.failures)
    own, other = (rows.set_index("item_id").sort_index() for _, rows in results.outcomes.groupby("recipe"))
    assert len(own) == 5
    for one, two in zip(own["loglikelihoods"], other["loglikelihoods"], strict=True):
        # llama.cpp keeps keys and values in float16.
        assert tuple(one) == pytest.approx(tuple(two), rel=2e-3)
    (row,) = results.variants.query("recipe != 'baseline'").to_dict("records")
    assert row["smallest_bytes"] == file.stat().st_size


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_texts_are_those_of_the_unpacked_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write_llama_gguf(file := tmp_path / "model.gguf")
    study_of_file = study(tmp_path, file)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "written.yaml").write_text(
        f"task: written\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path / 'questions.jsonl'}}}}}\n"
        "test_split: test\ndoc_to_text: '{{prompt}}'\ndoc_to_target: '{{choices[answer]}}'\n"
        "generation_kwargs: {until: ['e'], max_gen_toks: 12}\nmetric_list: [{metric: exact_match}]\n"
    )
    run({**study_of_file, "tasks": ["written"], "task_folders": [str(tmp_path / "tasks")]})
    results = open_run(tmp_path / "run")
    assert not len(results.failures)
    own, other = (list(rows["generated"]) for _, rows in results.outcomes.groupby("recipe"))
    assert own == other
    assert len(set(own)) > 1


def write_sentencepiece_gguf(path: Path) -> None:
    """Write a model whose tokens begin with a space, some of which are long."""
    pieces = ["▁", *map(chr, range(ord("a"), ord("z") + 1)), "▁the", *(f"▁{letter * 40}" for letter in "abcdefgh" * 9)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(pieces)]
    vocabulary = {
        "model": "llama",
        "pre": None,
        "merges": None,
        "tokens": tokens,
        "token_type": [2, 3, 3, *[6] * 256, *[1] * (len(tokens) - 259)],
        "scores": [0.0] * 259 + [-float(place) for place in range(len(tokens) - 259)],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    # It writes nothing but the tokens with a space.
    rows = np.zeros((len(tokens), 32), dtype=np.float32)
    spaced = [place for place, token in enumerate(tokens) if token.startswith("▁") and len(token) > 1]
    rows[spaced] = np.random.default_rng(1).normal(size=(len(spaced), 32))
    write_llama_gguf(path, vocabulary=vocabulary, tensors={"output.weight": rows})


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_texts_of_sentencepiece_vocabularies(tmp_path: Path) -> None:
    write_sentencepiece_gguf(file := tmp_path / "model.gguf")
    loaded = load(str(file))
    generations = [Generation(text, {"until": ["."], "max_gen_toks": 4}) for text in ("the sky is", "a rose", "what")]
    items = [Item(f"written/{place}", "0", asks) for place, asks in enumerate(generations)]
    (own, other) = (Engine(loaded), llama_cpp_engine(loaded, file))
    own_texts, other_texts = ([answer.text for answer in each.score(each.prepare(items))] for each in (own, other))
    assert own_texts == other_texts
    assert any(len(word) == 40 for word in " ".join(own_texts).split())


def llama_cpp_engine(loaded: Loaded, file: Path) -> ExternalEngine:
    from forgetmeter.engines.llama_cpp_runtime import LlamaCpp

    reference = parse_model_reference(f"engine:llama_cpp,file={file}")
    return ExternalEngine(reference, lambda: LlamaCpp(file, n_ctx=64), loaded)


def write_mamba_gguf(path: Path) -> None:
    """Write a random recurrent model of two layers."""
    random, tokens, width, inner = np.random.default_rng(0), byte_level_tokens(), 32, 64
    writer = GGUFWriter(path, "mamba")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(16)
    writer.add_ssm_time_step_rank(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_merges(["Ġ t", "h e"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    layer = {
        "attn_norm.weight": (width,),
        "ssm_in.weight": (2 * inner, width),
        "ssm_conv1d.weight": (inner, 4),
        "ssm_conv1d.bias": (inner,),
        "ssm_x.weight": (2 + 2 * 16, inner),
        "ssm_dt.weight": (inner, 2),
        "ssm_dt.bias": (inner,),
        "ssm_a": (inner, 16),
        "ssm_d": (inner,),
        "ssm_out.weight": (width, inner),
    }
    shapes = {"token_embd.weight": (len(tokens), width), "output_norm.weight": (width,)}
    for name, shape in {**shapes, **{f"blk.{at}.{name}": of for at in range(2) for name, of in layer.items()}}.items():
        values = random.normal(scale=0.5, size=shape).astype(np.float32)
        writer.add_tensor(name, -np.abs(values) if name.endswith("ssm_a") else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_a_recurrent_model_begins_each_text_anew(tmp_path: Path) -> None:
    """Its state cannot be taken back to what two texts share."""
    from forgetmeter.engines.llama_cpp_runtime import LlamaCpp

    write_mamba_gguf(file := tmp_path / "model.gguf")
    texts = [("the sky", " is blue"), ("the sky", " is"), ("the sea", " is blue"), ("t", "h"), ("the", " sky is blue")]
    requests = [SimpleNamespace(args=text) for text in texts]
    together = LlamaCpp(file, n_ctx=64)
    found = [*together.loglikelihood(requests), *together.loglikelihood(requests[::-1])]
    alone = [LlamaCpp(file, n_ctx=64).loglikelihood([each])[0] for each in (*requests, *requests[::-1])]
    for (one, _), (other, _) in zip(found, alone, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
@pytest.mark.parametrize(
    ("more", "says"),
    [({"file": "gone.gguf"}, "file=gone.gguf is not a file; name a GGUF file"), ({"ctx": 5}, "unknown argument 'ctx'")],
)
def test_wrong_arguments_are_refused(more: dict[str, object], says: str, tmp_path: Path) -> None:
    write_llama_gguf(file := tmp_path / "model.gguf")
    with pytest.raises(UserError, match=says):
        run(study(tmp_path, file, **more))


@pytest.mark.skipif(find_spec("llama_cpp") is not None, reason="llama-cpp-python is installed")
def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write_llama_gguf(file := tmp_path / "model.gguf")
    with pytest.raises(UserError, match=r"pip install 'forgetmeter\[llama-cpp\]'"):
        run(study(tmp_path, file))
