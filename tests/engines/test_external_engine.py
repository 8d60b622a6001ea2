"""Candidates that other runtimes answer.

Covers ``engines.external_engine``, ``engines.lm_eval_classes`` and ``engines.opening``.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from engines.comparisons import FACTS, MODEL, assert_answers_agree, compared
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer
from written_ggufs import write_llama_gguf

from forgetmeter.engines import lm_eval_classes
from forgetmeter.engines.external_engine import ExternalEngine
from forgetmeter.engines.opening import engine_problems, open_engine
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load
from forgetmeter.models.standard import standard_folder
from forgetmeter.records.generation import GeneratedText, Generation
from forgetmeter.records.item import Item
from forgetmeter.results.results import open_run
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.study.running import run


def test_lm_evals_own_class_gives_the_same_answers(questions: str, tmp_path: Path) -> None:
    tasks = [FACTS, questions]
    engine = {
        "engine": "lm_eval/hf",
        "pretrained": str(standard_folder("decoder")),
        "device": "cpu",
        "dtype": "float32",
    }
    assert_answers_agree(compared(engine, tasks, tmp_path / "run"), tasks)


def test_facts_are_asked_after_the_token_that_begins_a_text_even_if_the_tokenizer_adds_none(tmp_path: Path) -> None:
    write_llama_gguf(gguf := tmp_path / "model.gguf", vocabulary={"add_bos_token": False})
    loaded = load(str(gguf))
    assert loaded.tokenizer("a")["input_ids"][0] != loaded.tokenizer.bos_token_id
    for each in (loaded.model, loaded.tokenizer):
        each.save_pretrained(folder := tmp_path / "model")
    (tmp_path / "facts.csv").write_text(
        "subject,relation,object\nItaly,capital,Rome\nFrance,capital,Paris\nNorway,capital,Oslo\n"
    )
    (tmp_path / "facts.yaml").write_text('templates:\n  capital: ["the city of [X] is [Y]"]\n')
    tasks = [f"file:{tmp_path / 'facts.csv'}", f"file:{tmp_path / 'facts.csv'}:ranking=answers"]
    engine = {"engine": "lm_eval/hf", "pretrained": str(folder), "device": "cpu", "dtype": "float32"}
    study = {"models": [str(folder)], "candidates": [engine], "tasks": tasks, "output": str(tmp_path / "run")}
    run(study)
    assert_answers_agree(open_run(tmp_path / "run"), tasks)


def test_what_it_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    engine = {"engine": "lm_eval/hf", "pretrained": str(standard_folder("decoder"))}
    with pytest.raises(UserError, match="task 'divergence': model 'engine:lm_eval/hf.*' answers only multiple choice"):
        compared(engine, ["divergence"], tmp_path / "run")
    with pytest.raises(UserError, match="an engine can be a candidate, but not a baseline"):
        run(
            {
                "models": ["engine:lm_eval/hf,pretrained=x"],
                "tasks": [FACTS],
                "output": str(tmp_path),
                "recipes": ["baseline"],
            }
        )
    on_top = {"of": MODEL, "is": [engine], "recipes": ["l1_unstructured:overall:0.5"]}
    with pytest.raises(UserError, match="an engine's weights cannot be changed"):
        compared(on_top, [FACTS], tmp_path / "run")


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        ({"engine": "lm_evl/hf"}, "unknown engine 'lm_evl/hf'"),
        ({"engine": "lm_eval/local-completion"}, "did you mean 'lm_eval/local-completions'"),
        ({"engine": "lm_eval/local-completions", "model": "m"}, "base_url is missing"),
        ({"engine": "lm_eval/local-completions", "base_ulr": "http://x"}, "did you mean 'base_url'?"),
        (
            {"engine": "lm_eval/local-completions", "base_url": "http://x", "num_concurent": 2},
            "unknown argument 'num_concurent'; did you mean 'num_concurrent'?",
        ),
        ({"engine": "lm_eval/hf", "pretraned": "x"}, "engine lm_eval/hf: pretrained is missing"),
        (
            {"engine": "lm_eval/steered", "pretrained": "x", "steer_path": "x.pt"},
            "engine lm_eval/steered: it may run code from the files that it opens, which is never allowed",
        ),
        ({"engine": "lm_eval/hf", "pretrained": "x", "weights_only": False}, "unknown argument 'weights_only'"),
        ({"engine": "lm_eval/hf", "pretrained": "x", "peft": "y"}, "other arguments may run code: run the model in a "),
        (
            {"engine": "lm_eval/local-chat-completions", "base_url": "http://x"},
            "a chat endpoint gives no log-probabilities",
        ),
        ({"engine": "lm_eval/hf", "trust_remote_code": True}, "trust_remote_code is never allowed"),
        ({"engine": "lm_eval/hf", "pretrained": "./none/there"}, "pretrained './none/there' does not exist"),
        ({"engine": "lm_eval/hf", "pretrained": "x", "recipes": ["a"]}, "recipes cannot be applied to the answers of"),
        ({"engine": "lm_eval/local-completions", "auth_token": "s"}, "auth_token would be stored in the run"),
        (
            {"engine": "lm_eval/local-completions", "base_url": "http://me:secret@127.0.0.1/v1"},
            "base_url would be stored in the run",
        ),
        ({"engine": "lm_eval/hf", "token": "hf_secret"}, "token would be stored in the run"),
        ({"engine": "lm_eval/hf", "OpenAI_API_KEY": "s"}, "OpenAI_API_KEY would be stored in the run"),
        ({"engine": "lm_eval/hf", "pretrained": ["a"]}, "must be a single value"),
        ({"engine": "lm_eval/hf", "pretrained": "a,b"}, "must not contain commas"),
        ("engine:lm_eval/hf,pretrained", "is not a valid engine"),
        ("engine:lm_eval/hf,a=1,a=2", "a is given twice"),
    ],
)
def test_wrong_engines_are_refused(candidate: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        compared(candidate, [FACTS], tmp_path / "run")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["model", "pretrained"])
def test_an_endpoint_may_call_its_model_by_a_path_on_its_own_machine(key: str) -> None:
    engine = f"engine:lm_eval/local-completions,base_url=http://127.0.0.1:1/v1/completions,{key}=/models/elsewhere"
    assert engine_problems(parse_model_reference(engine)) == []


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    folder = shutil.copytree(standard_folder("decoder"), tmp_path / "pickled")
    (folder / "model.safetensors").unlink()

    class Evil:
        def __reduce__(self) -> Any:
            return (eval, (f"open({str(tmp_path / 'proof')!r}, 'w').close()",))

    torch.save(Evil(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="engine lm_eval/hf: the folder contains only pickled weights"):
        compared({"engine": "lm_eval/hf", "pretrained": str(folder)}, [FACTS], tmp_path / "run")
    assert not (tmp_path / "proof").exists()


def test_no_class_is_left_to_allow_code_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    class Trusting:
        def __init__(self, pretrained: str, trust_remote_code: bool = True) -> None:
            given.update(pretrained=pretrained, trust_remote_code=trust_remote_code)

    monkeypatch.setattr(lm_eval_classes, "_kind", lambda _: Trusting)
    lm_eval_classes.lm_eval_class("lm_eval/sglang", {"pretrained": "org/model"})({"device": "cpu"})
    assert given == {"pretrained": "org/model", "trust_remote_code": False}


def test_a_runtime_that_does_not_start(questions: str, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="engine lm_eval/hf does not start: "):
        compared({"engine": "lm_eval/hf", "pretrained": str(tmp_path / "nothing")}, [questions], tmp_path / "run")


def test_text_and_mapping_and_any_path_name_the_same_engine(questions: str, tmp_path: Path) -> None:
    shutil.copytree(standard_folder("decoder"), tmp_path / "one")
    engine = {"engine": "lm_eval/hf", "pretrained": str(tmp_path / "one"), "device": "cpu"}
    compared(engine, [questions], tmp_path / "run")
    text = f"engine:lm_eval/hf,device=cpu,pretrained={tmp_path / 'two'}"
    study = {"models": [MODEL], "candidates": [text], "tasks": [questions], "output": str(tmp_path / "run")}
    (tmp_path / "one").rename(tmp_path / "two")
    assert run({**study, "evaluation.limit": 12}).computed == 0
    # It is started from where it is now.
    finished = run({**study, "evaluation.limit": 12, "tasks": [questions, FACTS]})
    assert (finished.computed, finished.failures) == (2, ())


WRITTEN = """
task: written
output_type: generate_until
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
doc_to_text: "The capital of {{country}} is"
doc_to_target: "{{name}}"
generation_kwargs: {until: ["."], max_gen_toks: 8}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


def test_another_engine_writes_the_same_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [("France", "Paris"), ("Kenya", "Nairobi"), ("Italy", "Oslo"), ("Germany", "Berlin")]
    data = tmp_path / "capitals.jsonl"
    data.write_text("\n".join(json.dumps({"country": country, "name": name}) for country, name in rows))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "written.yaml").write_text(WRITTEN.replace("DATA", str(data)))
    # What a model's own settings add, such as tokens that it may not write, is not what a task asks for.
    folder = shutil.copytree(standard_folder("decoder"), tmp_path / "model")
    written = AutoTokenizer.from_pretrained(folder)("is Paris", add_special_tokens=False)["input_ids"]
    settings = {"suppress_tokens": written, "repetition_penalty": 3.0, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    engine = {"engine": "lm_eval/hf", "pretrained": str(folder)}
    study = {"models": [MODEL], "candidates": [engine], "tasks": ["written"], "output": str(tmp_path / "run")}
    run({**study, "task_folders": [str(tmp_path / "tasks")]})
    results = open_run(tmp_path / "run")
    assert not len(results.failures)
    texts = [list(group["generated"]) for _, group in results.outcomes.groupby("recipe")]
    assert texts[0] == texts[1] == ["Paris", "Nairobi", "Rome", "Berlin"]
    (row,) = results.comparisons.query("recipe != 'baseline'").to_dict("records")
    assert (row["accuracy"], row["drop"], row["prediction_flips"]) == (0.75, 0.0, 0.0)


class Careless:
    """A runtime that heeds no ends, and writes half an emoji."""

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        return [(0.0, False)] * len(requests)

    def generate_until(self, requests: list[Any]) -> list[str]:
        return ["Paris\ud83d. And so on"] * len(requests)


def test_texts_end_where_the_task_says_whatever_the_runtime_heeds() -> None:
    engine = ExternalEngine(parse_model_reference("engine:lm_eval/careless"), Careless, load(MODEL))
    item = Item("written/0", "0", Generation("The capital of France is", {"until": ["."], "max_gen_toks": 4}))
    assert engine.score(engine.prepare([item])) == [GeneratedText("Paris\\ud83d")]


def test_a_tokenizer_that_only_ends_texts_begins_none(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = (tokenizer.eos_token, tokenizer.eos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"$A {end[0]}", special_tokens=[end])
    tokenizer.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder)("a")["input_ids"][-1] == end[1]
    given: list[Any] = []
    monkeypatch.setattr("forgetmeter.engines.opening.lm_eval_class", lambda *_: given.append)
    engine = open_engine(parse_model_reference("engine:lm_eval/hf,pretrained=x"), open_checkpoint(folder), device="cpu")
    with pytest.raises(UserError):
        engine.check()
    assert (given[0]["add_bos_token"], given[0]["device"]) == (False, "cpu")


@pytest.mark.parametrize("key", ["pretrained", "tokenizer"])
def test_code_of_a_model_is_never_run(
    key: str, llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 40))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    (folder / "strange.py").write_text(f"open({str(tmp_path / 'proof')!r}, 'w').close()\n")
    named = {"auto_map": {"AutoTokenizer": ["strange.T", None], "AutoConfig": "strange.C"}}
    for file in ("config.json", "tokenizer_config.json"):
        stored = json.loads((folder / file).read_text())
        kinds = {"model_type": "strange", "tokenizer_class": "T"}
        (folder / file).write_text(json.dumps(stored | named | kinds))
    arguments = {"pretrained": str(llama_folder), key: str(folder)}
    text = ",".join(f"{name}={value}" for name, value in arguments.items())
    engine = open_engine(parse_model_reference(f"engine:lm_eval/hf,{text}"), open_checkpoint(llama_folder))
    with pytest.raises(UserError, match="engine lm_eval/hf: its model or tokenizer needs custom code, which is never"):
        engine.check()
    assert not (tmp_path / "proof").exists()
