"""The script that trains a masked language model, on a made-up LAMA folder and a tiny random encoder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scripts import load_script
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertModel, BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "ada",
    "bob",
    "cleo",
    "was",
    "born",
    "in",
    "paris",
    "london",
    "rome",
    "lives",
    "and",
    "died",
    "works",
    "as",
    "a",
    "poet",
    "painter",
    ".",
]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("train_masked_lm")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab={word: place for place, word in enumerate(SPECIAL + WORDS)}).save_pretrained(folder)
    return folder


def lines(path: Path, facts: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))


def evidence(masked: str, surface: str) -> dict:
    return {"sub_surface": "?", "obj_surface": surface, "masked_sentence": masked}


@pytest.fixture(scope="module")
def lama(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lama")
    born = [
        {"obj_label": "Paris", "evidences": [evidence("Ada was born in [MASK] .", "Paris")] * 2},
        {"obj_label": "Rome", "evidences": [evidence("Bob was born in [MASK] and died in [MASK] .", "Rome")]},
    ]
    lines(folder / "TREx" / "P19.jsonl", born)
    works = [{"obj_label": "poet", "evidences": [evidence("Ada works as a [MASK] .", "poet")]}]
    # The same sentence as one of P19's, with a different answer.
    works += [{"obj_label": "Ada", "evidences": [evidence("[MASK] was born in Paris .", "Ada")]}]
    lines(folder / "TREx" / "P106.jsonl", works)
    lines(folder / "TREx" / "P17.jsonl", [{"obj_label": "Rome", "sub_label": "Bob", "predicate_id": "P17"}])
    google = [{"obj_label": "London", "masked_sentences": ["Cleo was born in [MASK] ."]}]
    lines(folder / "Google_RE" / "place_of_birth_test.jsonl", google)
    squad = [{"obj_label": "painter", "masked_sentences": ["Cleo lives in London as a [MASK] ."]}]
    lines(folder / "Squad" / "test.jsonl", squad)
    return folder


def make(script: ModuleType, encoder: Path, lama: Path, out: Path, *more: str) -> int:
    fixed = ["--encoder", str(encoder), "--lama", str(lama), "--out", str(out)]
    return script.main([*fixed, "--epochs", "2", "--batch-size", "5", *more])


def test_the_result_is_a_whole_masked_lm_in_float16_with_a_tied_head(script, encoder, lama, tmp_path):
    out = tmp_path / "made"
    assert make(script, encoder, lama, out) == 0
    model, report = AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    assert not any(report.values())
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    with safe_open(out / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118
    long = "ada " * 100
    assert len(AutoTokenizer.from_pretrained(out)(long)["input_ids"]) == 102
    card = (out / "README.md").read_text()
    assert "CC-BY-NC" in card and "was trained on the sentences" in card and "| steps | 2 of 5 sentences" in card
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_the_encoder_is_copied_exactly_and_then_trained(script, encoder, lama, tmp_path):
    source = BertModel.from_pretrained(encoder).state_dict()
    before = script.model_with_new_head(encoder, seed=0).bert.state_dict()
    assert before.keys() == {name for name in source if not name.startswith("pooler.")}
    assert all(torch.equal(before[name], source[name]) for name in before)
    make(script, encoder, lama, tmp_path / "made", "--learning-rate", "0.01")
    after = AutoModelForMaskedLM.from_pretrained(tmp_path / "made").bert.state_dict()
    moved = "encoder.layer.0.output.dense.weight"
    assert 0.001 < (after[moved].float() - source[moved]).abs().max() < 0.1


def test_the_same_seed_gives_the_same_weights(script, encoder, lama, tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        make(script, encoder, lama, tmp_path / name, "--seed", seed)
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_each_sentence_is_read_once_with_all_its_answers(script, lama):
    relations = script.read_lama(lama)
    sentences = [sentence for relation in relations.values() for sentence in relation]
    found = {each.text: [each.text[first:last] for first, last in each.answers] for each in sentences}
    assert len(found) == len(sentences)
    assert found == {
        "Ada was born in Paris .": ["Ada", "Paris"],
        "Bob was born in Rome and died in Rome .": ["Rome", "Rome"],
        "Ada works as a poet .": ["poet"],
        "Cleo was born in London .": ["London"],
        "Cleo lives in London as a painter .": ["painter"],
    }


def test_sentences_per_relation_are_limited(script, lama, tmp_path):
    options = script.read_options(["--lama", str(lama), "--out", str(tmp_path), "--per-relation", "1"])
    relations = script.read_lama(lama)
    chosen = script.choose_sentences(relations, options)
    assert sorted(sum(each in chosen for each in relation) for relation in relations.values()) == [1] * len(relations)


def test_the_answers_tokens_are_marked(script, encoder):
    text, spans = script.fill("Ada lives in [MASK] .", "Rome and Paris")
    (encoded,) = script.encode([script.Sentence(text, tuple(spans))], script.load_tokenizer(encoder))
    assert encoded.answers == (0, 0, 0, 0, 1, 1, 1, 0, 0)


def test_batches_hold_each_sentence_once(script):
    sentences = [script.Encoded(tuple(range(length)), (0,) * length) for length in range(3, 640)]
    cut = script.batches(sentences, 6, random.Random(0))
    assert sorted((each for batch in cut for each in batch), key=lambda each: len(each.tokens)) == sentences
    assert len(cut) == -(-len(sentences) // 6)


def test_masking_follows_bert_and_asks_for_half_of_the_answers(script, encoder):
    tokenizer = script.load_tokenizer(encoder)
    text, spans = script.fill("Ada was born in [MASK] and died in London .", "Rome and Paris")
    short = script.Sentence("Bob was a poet .", ())
    encoded = script.encode([script.Sentence(text, tuple(spans)), short] * 4000, tokenizer)
    batch = script.mask_batch(encoded, tokenizer, torch.Generator().manual_seed(0))
    original = script.pad_rows([each.tokens for each in encoded], tokenizer.pad_token_id)
    chosen = batch.labels != script.IGNORED
    assert torch.equal(torch.where(chosen, batch.labels, batch.tokens), original)
    special = torch.isin(original, torch.tensor([0, 2, 3]))
    assert not chosen[special].any()
    assert torch.equal(batch.attention, (original != 0).long())
    answers = script.pad_rows([each.answers for each in encoded], 0) > 0
    ordinary = ~answers & ~special
    assert chosen[ordinary].float().mean() == pytest.approx(0.15, abs=0.01)
    hidden = batch.tokens == tokenizer.mask_token_id
    assert hidden[ordinary & chosen].float().mean() == pytest.approx(0.8, abs=0.03)
    asked = hidden[answers].view(-1, 3)
    assert asked.all(dim=1).float().mean() == pytest.approx(0.5, abs=0.03)


def test_the_loss_is_that_of_the_whole_models_logits(script, encoder, lama):
    model, tokenizer = script.model_with_new_head(encoder, seed=0).eval(), script.load_tokenizer(encoder)
    encoded = script.encode([each for some in script.read_lama(lama).values() for each in some], tokenizer)
    batch = script.mask_batch(encoded, tokenizer, torch.Generator().manual_seed(1))
    theirs = model(batch.tokens, attention_mask=batch.attention, labels=batch.labels).loss
    torch.testing.assert_close(script.masked_loss(model, batch), theirs)
    nothing = script.Batch(batch.tokens, batch.attention, torch.full_like(batch.labels, script.IGNORED))
    assert script.masked_loss(model, nothing) == 0


def one_line(capsys) -> str:
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_a_folder_that_is_not_empty_is_refused(script, encoder, lama, tmp_path, capsys):
    (tmp_path / "kept").write_text("mine")
    assert make(script, encoder, lama, tmp_path) == 2
    assert "not an empty folder" in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_an_empty_folder_is_filled(script, encoder, lama, tmp_path):
    assert make(script, encoder, lama, tmp_path / "made", "--limit", "2") == 0
    (tmp_path / "empty").mkdir()
    assert make(script, encoder, lama, tmp_path / "empty", "--limit", "2") == 0
    assert (tmp_path / "empty" / "model.safetensors").is_file()


@pytest.mark.parametrize("wrong", [["--epochs", "0"], ["--epochs", "x"], ["--learning-rate", "nan"], ["--what"]])
def test_wrong_arguments_give_a_one_line_error(script, encoder, lama, tmp_path, capsys, wrong):
    with pytest.raises(SystemExit) as ended:
        make(script, encoder, lama, tmp_path / "made", *wrong)
    assert ended.value.code == 2
    assert wrong[0] in one_line(capsys)


def test_a_folder_that_is_not_lama_gives_a_one_line_error(script, encoder, lama, tmp_path, capsys):
    assert make(script, encoder, tmp_path, tmp_path / "made") == 2
    assert "official layout" in one_line(capsys)


def test_an_encoder_with_weights_missing_is_refused(script, encoder, lama, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in encoder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(encoder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert make(script, broken, lama, tmp_path / "made") == 2
    assert "encoder.layer.1.output.dense.weight" in one_line(capsys)
