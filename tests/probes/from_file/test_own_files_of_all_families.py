"""One's own questions and facts, asked of tiny models of each family, against lm-eval's ``hf``.

Covers ``probes.from_file.questions`` and ``probes.from_file.facts``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tiny_models import make_bart, make_bart_tokenizer, make_bert, make_llama, make_tokenizer, make_wordpiece_tokenizer

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import wrap
from forgetmeter.study.evaluation import evaluate
from forgetmeter.study.running import run

QUESTIONS = [
    {"prompt": "The inn is", "choices": ["the tea", "in", "nine, or ten"], "answer": 2},
    {"prompt": "Tea \u00fcber the inn ", "choices": [" thin", "tin"], "answer": 0},
    {"prompt": "In the\nend", "choices": ["he", "the", "then", "thee"], "answer": 1},
    {"prompt": "the", "choices": ["inn", "in the inn"], "answer": 1},
]
DEFINITION = """
task: own_yaml
dataset_path: json
dataset_kwargs: {{data_files: {{test: {path}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""
FACTS = [
    {"subject": "the inn", "relation": "capital", "object": "Paris"},
    {"subject": "France", "relation": "capital", "object": "Rome"},
]


def tiny(family: str) -> Loaded:
    words = make_wordpiece_tokenizer()
    made = {
        "encoder": lambda: (make_bert(len(words)), words),
        "encoder-decoder": lambda: (make_bart(), make_bart_tokenizer()),
        "decoder": lambda: (make_llama(), make_tokenizer()),
    }
    loaded = wrap(*made[family]())
    assert loaded.family == family
    return loaded


def questions_in(folder: Path) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in QUESTIONS), encoding="utf-8")
    return path


def facts_in(folder: Path, *templates: str) -> Path:
    path = folder / "facts.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in FACTS))
    path.with_suffix(".yaml").write_text(json.dumps({"templates": {"capital": templates}}))
    return path


def test_loglikelihoods_and_metrics_are_those_of_lm_evals_hf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path, loaded = questions_in(tmp_path), tiny("decoder")
    (tmp_path / "own.yaml").write_text(DEFINITION.format(path=path))
    with quiet():
        found = simple_evaluate(
            model=HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=2),
            tasks=["own_yaml"],
            task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
            bootstrap_iters=0,
        )
    assert found is not None
    theirs = {each["doc_id"]: [value for ((value, _),) in each["resps"]] for each in found["samples"]["own_yaml"]}
    judgement = evaluate(loaded, f"file:{path}")[f"file:{path}"]
    for place, outcome in enumerate(judgement.outcomes):
        assert outcome.loglikelihoods == pytest.approx(theirs[place], abs=1e-4)
    results = found["results"]["own_yaml"]
    assert judgement.metrics == {"acc": results["acc,none"], "acc_norm": results["acc_norm,none"]}


@pytest.mark.parametrize("family", ["encoder", "encoder-decoder", "decoder"])
def test_facts_are_asked_of_all_families(tmp_path: Path, family: str) -> None:
    path = facts_in(tmp_path, "The capital of [X] is [Y].", "[Y] is in [X].")
    judgement = evaluate(tiny(family), f"file:{path}")[f"file:{path}"]
    assert [outcome.item_id for outcome in judgement.outcomes] == ["file/1/0", "file/2/0", "file/1/1", "file/2/1"]
    assert all(len(outcome.loglikelihoods) == 2 for outcome in judgement.outcomes)
    right = sum(bool(outcome.correct) for outcome in judgement.outcomes)
    assert judgement.metrics["p_at_1"] == right / 4


def test_statements_of_facts_have_the_loglikelihoods_of_lm_evals_hf(tmp_path: Path) -> None:
    path, loaded = facts_in(tmp_path, "The capital of [X] is [Y]."), tiny("decoder")
    peer = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=1)
    first, _ = evaluate(loaded, f"file:{path}")[f"file:{path}"].outcomes
    # Without a context, lm-eval scores the whole text after the beginning of sequence.
    statements = [("", f"The capital of the inn is {answer}.") for answer in ("Paris", "Rome")]
    instances = [Instance("loglikelihood", {}, each, 0) for each in statements]
    theirs = [value for value, _ in peer.loglikelihood(instances, disable_tqdm=True)]
    assert first.loglikelihoods == pytest.approx(theirs, abs=1e-4)


def test_encoder_decoders_answer_questions_and_encoders_refuse_them(tmp_path: Path) -> None:
    name = f"file:{questions_in(tmp_path)}"
    assert len(evaluate(tiny("encoder-decoder"), name)[name].outcomes) == len(QUESTIONS)
    with pytest.raises(UserError, match="cannot score continuations"):
        evaluate(tiny("encoder"), name)


def test_a_file_is_one_task_by_any_path_and_a_changed_one_is_refused(
    tmp_path: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = facts_in(tmp_path, "The capital of [X] is [Y].", "Of [X], [Y] is the capital.")
    study = {"models": [str(llama_folder)], "recipes": ["baseline"], "output": "out"}
    assert run(study | {"tasks": [{"task": "file", "path": "facts.jsonl", "templates": [0]}]}).computed == 1
    for name in ("file:./facts.jsonl:templates=0", f"file:templates=0:{path}", f"file:{path}:templates=0"):
        assert run(study | {"tasks": [name]}).computed == 0
    path.with_suffix(".yaml").write_text(json.dumps({"templates": {"capital": "[X] has the capital [Y]."}}))
    with pytest.raises(UserError, match="the data of task 'file:facts.jsonl:templates=0' changed"):
        run(study | {"tasks": ["file:facts.jsonl:templates=0"]})
