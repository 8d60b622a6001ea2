"""Tasks that are answered by texts: prompts, texts, filters and metrics, against lm-eval's ``hf`` on the same settings.

Covers ``probes.lm_eval.generated`` and ``records.generation``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedTokenizerFast

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.probes.lm_eval.documents import generation_hash
from forgetmeter.probes.lm_eval.prompting import PLAIN, Prompting
from forgetmeter.probes.loading import load_task
from forgetmeter.records.generation import GeneratedText, Generation
from forgetmeter.records.item import Answer, Item, Task, TaskDescription, check_task, judged
from forgetmeter.records.outcome import Judgement
from forgetmeter.scoring.engine import Engine
from forgetmeter.study.chat_template import chat_template_of

CAPITALS = {
    "Italy": ["Rome", "Roma"],
    "France": ["Paris"],
    "Norway": ["Oslo"],
    "Kenya": ["Nairobi", "Nai-ro-bi"],
    "Cuba": ["La Habana", "Havana"],
    "Peru": ["Lima, of course"],
}
DOCUMENTS = [
    {"country": country, "aliases": names, "label": place % 2, "choices": ["Rome", "Oslo"]}
    for place, (country, names) in enumerate(CAPITALS.items())
]
_MEAN = "aggregation: mean, higher_is_better: true"
QUESTION = "doc_to_text: 'The capital of {{country}} is'\n"
DEFINITIONS = {
    "aliases": QUESTION + "doc_to_target: '{{aliases}}'\n"
    'generation_kwargs: {until: ["\\n", ".", ","], do_sample: false, temperature: 0.0, max_gen_toks: 12}\n'
    "filter_list: [{name: trim, filter: [{function: remove_whitespace}, {function: take_first}]}]\n"
    f"metric_list: [{{metric: exact_match, {_MEAN}, ignore_case: true, ignore_punctuation: true}}]\n",
    "reasons": QUESTION + "doc_to_target: 'Known. #### {{aliases[0]}}'\nnum_fewshot: 1\n"
    'generation_kwargs: {until: ["\\n\\n", "</s>"], max_gen_toks: 20}\n'
    "filter_list:\n"
    "- {name: strict, filter: [{function: regex, regex_pattern: '#### (.+)'}, {function: take_first}]}\n"
    "- {name: loose, filter: [{function: regex, group_select: -1, regex_pattern: '([A-Z]\\w+)'},"
    " {function: take_first}]}\n"
    f"metric_list: [{{metric: exact_match, {_MEAN}, ignore_case: true, regexes_to_ignore: ['(?s).*#### ']}}]\n",
    "voting": QUESTION + "doc_to_target: '{{aliases[0]}}'\nrepeats: 3\n"
    "generation_kwargs: {until: [' ', '.'], max_gen_toks: 8}\n"
    "filter_list: [{name: vote, filter: [{function: majority_vote}, {function: take_first}]}]\n"
    f"metric_list: [{{metric: exact_match, {_MEAN}}}]\n",
    "of_two": "doc_to_text: '{{country}}:'\ndoc_to_choice: choices\ndoc_to_target: label\n"
    "generation_kwargs: {until: [], max_gen_toks: 5}\n"
    f"metric_list: [{{metric: exact_match, {_MEAN}}}]\n",
    "translating": QUESTION + "doc_to_target: '{{aliases[0]}} and nothing else'\n"
    "generation_kwargs: {until: ['.'], max_gen_toks: 10}\n"
    "metric_list: [{metric: bleu, aggregation: bleu, higher_is_better: true},"
    " {metric: chrf, aggregation: chrf, higher_is_better: true}]\n",
}
TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }} {% endfor %}{% if add_generation_prompt %}It is{% endif %}"
)


def write_task(folder: Path, name: str, definition: str, documents: Sequence[dict[str, Any]] = DOCUMENTS) -> None:
    data = folder / f"{name}.jsonl"
    data.write_text("\n".join(map(json.dumps, documents)))
    files = f"{{train: {data}, test: {data}}}"
    (folder / f"{name}.yaml").write_text(
        f"task: {name}\noutput_type: generate_until\ndataset_path: json\ndataset_kwargs: {{data_files: {files}}}\n"
        f"training_split: train\ntest_split: test\nmetadata: {{version: 1}}\n{definition}"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    own = tmp_path / "tasks"
    own.mkdir()
    for name, definition in DEFINITIONS.items():
        write_task(own, name, definition)
    return own


@pytest.fixture(scope="module")
def standard() -> Loaded:
    loaded = load("standard:decoder")
    loaded.tokenizer.chat_template = TEMPLATE
    return loaded


def task_of(folder: Path, name: str, prompting: Prompting = PLAIN) -> Task:
    return load_task(name, folders=[str(folder)], prompting=prompting)


def own_task(folder: Path, definition: str, documents: Sequence[dict[str, Any]] = DOCUMENTS) -> Task:
    write_task(folder, "own", definition, documents)
    return task_of(folder, "own")


def answered(task: Task, loaded: Loaded) -> tuple[list[Answer | None], Judgement]:
    engine = Engine(loaded)
    answers = engine.score(engine.prepare(task.items))
    return answers, judged(task, answers)


def lm_evals(folder: Path, loaded: Loaded, **settings: Any) -> dict[str, Any]:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=loaded.tokenizer.backend_tokenizer)
    tokenizer.add_special_tokens(loaded.tokenizer.special_tokens_map)
    tokenizer.chat_template = TEMPLATE
    with quiet():
        found = simple_evaluate(
            model=HFLM(pretrained=loaded.model, tokenizer=tokenizer, batch_size=1),
            tasks=list(DEFINITIONS),
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            bootstrap_iters=0,
            **settings,
        )
    assert found is not None
    return dict(found)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_fewshot": 0},
        {"num_fewshot": 2, "system_instruction": "Be brief."},
        {"apply_chat_template": True, "fewshot_as_multiturn": True},
    ],
)
def test_texts_answers_and_metrics_are_those_of_lm_eval(
    folder: Path, standard: Loaded, settings: dict[str, Any]
) -> None:
    theirs = lm_evals(folder, standard, **settings)
    template = chat_template_of(standard.tokenizer, "standard") if settings.get("apply_chat_template") else None
    prompting = Prompting(settings.get("num_fewshot"), settings.get("system_instruction"), template)
    for name in DEFINITIONS:
        task = task_of(folder, name, prompting)
        answers, judgement = answered(task, standard)
        samples = [each for each in theirs["samples"][name] if each["filter"] in ("none", "trim", "strict", "vote")]
        samples.sort(key=lambda each: int(each["doc_id"]))
        asks = [item.asks for item in task.items]
        assert [(each.context, each.arguments) for each in asks if isinstance(each, Generation)] == [
            each["arguments"][0] for each in samples
        ]
        assert [answer.text for answer in answers if isinstance(answer, GeneratedText)] == [
            each["resps"][0][0] for each in samples
        ]
        assert [each.prediction for each in judgement.outcomes] == [each["filtered_resps"][0] for each in samples]
        assert [each.generated for each in judgement.outcomes] == [each["resps"][0][0] for each in samples]
        if name != "translating":
            assert [each.metrics["exact_match"] for each in judgement.outcomes] == [
                each["exact_match"] for each in samples
            ]
        chosen, results = samples[0]["filter"], theirs["results"][name]
        assert judgement.metrics == pytest.approx(
            {metric: results[f"{metric},{chosen}"] for metric in judgement.metrics}, rel=1e-6
        )
        assert judgement.metrics


def test_the_first_metric_that_is_0_or_1_says_what_is_right(folder: Path, standard: Loaded) -> None:
    task = task_of(folder, "aliases")
    _, judgement = answered(task, standard)
    assert task.description.primary_metric == "exact_match"
    assert [each.correct for each in judgement.outcomes] == [
        each.metrics["exact_match"] == 1 for each in judgement.outcomes
    ]
    assert sum(bool(each.correct) for each in judgement.outcomes) >= 3
    first = judgement.outcomes[0]
    assert (first.prediction, first.gold, first.rank, first.margin) == ("Rome", "Rome / Roma", None, None)
    assert first.loglikelihoods == ()


def test_a_metric_of_whole_texts_measures_and_judges_nothing(folder: Path, standard: Loaded) -> None:
    task = task_of(folder, "translating")
    _, judgement = answered(task, standard)
    assert {each.correct for each in judgement.outcomes} == {None}
    assert set(judgement.metrics) == {"bleu", "chrf"}
    assert judgement.outcomes[0].gold == "Rome and nothing else"


def test_a_right_answer_is_shown_as_the_filter_finds_it(folder: Path) -> None:
    task = task_of(folder, "reasons")
    judgement = task.judge([GeneratedText("So it is. #### Rome") for _ in task.items])
    assert [(each.prediction, each.gold, each.correct) for each in judgement.outcomes][:2] == [
        ("Rome", "Rome", True),
        ("Rome", "Paris", False),
    ]


def test_other_filters_are_named(folder: Path) -> None:
    assert task_of(folder, "reasons").description.remarks == (
        "task 'reasons': answers are filtered by strict, its first filter (not used: loose)",
    )
    assert task_of(folder, "aliases").description.remarks == ()


def test_an_item_has_the_content_that_a_log_of_it_has(folder: Path) -> None:
    item = task_of(folder, "aliases").items[0]
    assert isinstance(item.asks, Generation)
    assert item.content_hash == generation_hash(((item.asks.context, item.asks.arguments),), "['Rome', 'Roma']")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("do_sample: true", "do_sample is True, which samples at random"),
        ("temperature: 0.7", "temperature is 0.7, which samples at random"),
        ("max_gen_toks: 0", "max_gen_toks is 0, which is not a positive integer"),
        ("max_new_tokens: many", "max_new_tokens is 'many', which is not a positive integer"),
        ("num_beams: 4", "num_beams is not supported"),
        ("repetition_penalty: 1.2", "repetition_penalty is not supported"),
        ("until: ['.', '']", "until has an empty text, which would end every answer at its first token"),
        ("until: 7", "until is 7, which is not text or a list of texts"),
        ("until: [7]", r"until is \[7\], which is not text or a list of texts"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(folder: Path, arguments: str, problem: str) -> None:
    metrics = f"metric_list: [{{metric: exact_match, {_MEAN}}}]\n"
    with pytest.raises(UserError, match=problem) as refused:
        own_task(folder, QUESTION + f"doc_to_target: country\ngeneration_kwargs: {{{arguments}}}\n{metrics}")
    assert str(refused.value).startswith("task 'own': generation_kwargs: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("arguments", ["until: []", "num_beams: 1", "do_sample: false, temperature: 1.0", "until: 'x'"])
def test_settings_that_change_nothing_are_accepted(folder: Path, arguments: str) -> None:
    metrics = f"metric_list: [{{metric: exact_match, {_MEAN}}}]\n"
    task = own_task(folder, QUESTION + f"doc_to_target: country\ngeneration_kwargs: {{{arguments}}}\n{metrics}")
    asks = task.items[0].asks
    assert isinstance(asks, Generation)
    assert asks.max_tokens == 256


def test_code_that_a_model_writes_is_never_run(folder: Path) -> None:
    with pytest.raises(UserError, match="runs code that a model writes, which is not supported"):
        own_task(folder, QUESTION + "doc_to_target: country\nunsafe_code: true\n")


@pytest.mark.parametrize("place", [0, 2])
def test_a_document_without_right_answers_is_left_out(folder: Path, place: int) -> None:
    documents = [dict(each) for each in DOCUMENTS]
    documents[place]["aliases"] = []
    task = own_task(folder, DEFINITIONS["aliases"], documents)
    assert [item.id for item in task.items if item.problem] == [f"own/{place}"]


def test_an_answer_that_is_not_a_number_is_wrong_and_empty(folder: Path) -> None:
    task = task_of(folder, "aliases")
    judgement = judged(task, [GeneratedText("Rome", is_number=number == 0) for number in range(len(task.items))])
    assert [each.correct for each in judgement.outcomes] == [True, *[False] * (len(task.items) - 1)]
    assert {(each.prediction, each.generated) for each in judgement.outcomes[1:]} == {("", "")}


class Plugged:
    """A task of a plug-in."""

    def __init__(self, *items: Item) -> None:
        self.items = items
        self.description = TaskDescription("plugged", "1", "made up", "acc", len(items))

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        raise NotImplementedError


def test_the_items_of_plug_ins_are_checked() -> None:
    with pytest.raises(UserError, match="task 'plugged': item 'x/1': do_sample is True"):
        check_task(Plugged(Item("x/1", "", Generation("", {"do_sample": True}))))
    check_task(Plugged(Item("x/1", "", Generation("", {"until": ["."]}))))
