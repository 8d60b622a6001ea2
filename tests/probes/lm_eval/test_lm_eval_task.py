"""Tasks of lm-evaluation-harness: prompts, choices and metrics, against lm-eval.

Covers ``probes.lm_eval.task``, ``probes.lm_eval.loaded_task``, ``probes.lm_eval.documents``, ``probes.lm_eval.judging``
and ``probes.loading``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.tasks import TaskManager
from tiny_models import make_llama, make_tokenizer

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import wrap
from forgetmeter.probes.lm_eval import index as lm_eval_index
from forgetmeter.probes.lm_eval import task as lm_eval_task
from forgetmeter.probes.loading import load_task, task_problems
from forgetmeter.records.item import RequestScore, RequestScores, Task
from forgetmeter.scoring.engine import Engine

DOCUMENTS = [
    {"q": "Is ice cold?", "choices": ["no", "yes"], "label": 1},
    {"q": "Is fire cold?", "choices": ["no", "yes, it is"], "label": 0},
    {"q": "Is tea wet?", "choices": ["maybe", "yes"], "label": 1},
]
"""Made up, like the definitions below; real tasks are in the tests marked `data`."""


def write_task(folder: Path, name: str, definition: str, data: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"task: {name}\ndataset_path: json\ntest_split: test\n"
        f"dataset_kwargs: {{data_files: {{test: {folder / data}}}}}\n"
        f"doc_to_text: 'Q: {{{{q}}}} A:'\nmetadata: {{version: 3}}\n{definition}"
    )
    return path


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "questions.json").write_text("\n".join(json.dumps(document) for document in DOCUMENTS))
    definitions = {
        "choosing": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},"
        " {metric: acc_norm, aggregation: mean, higher_is_better: true}]\n",
        "completing": "output_type: loglikelihood\ndoc_to_target: ' {{choices[label]}}'\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},"
        " {metric: perplexity, aggregation: perplexity, higher_is_better: false}]\n",
        "writing": "output_type: generate_until\ndoc_to_target: ' {{choices[label]}}'\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n",
        "dataless": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n",
    }
    files = {
        name: write_task(tmp_path, name, definition, "questions.json" if name != "dataless" else "none.json")
        for name, definition in definitions.items()
    }
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for module in (lm_eval_index, lm_eval_task):
        monkeypatch.setattr(module, "task_files", lambda: files)
    monkeypatch.setattr("forgetmeter.probes.loading.task_files", lambda: files)
    return tmp_path


def tiny_loaded() -> Loaded:
    return wrap(make_llama(), make_tokenizer())


def scored(*answers: tuple[float, ...]) -> list[RequestScores]:
    return [RequestScores(RequestScore(value, value > -1) for value in answer) for answer in answers]


def test_items_keep_prompts_choices_and_gold(made_up: Path) -> None:
    task = load_task("choosing")
    assert [item.id for item in task.items] == ["choosing/0", "choosing/1", "choosing/2"]
    first = task.items[0]
    assert [(r.context, r.continuation) for r in first.requests] == [
        ("Q: Is ice cold? A:", " no"),
        ("Q: Is ice cold? A:", " yes"),
    ]
    assert (first.choices, first.gold) == (("no", "yes"), (1,))
    assert (task.description.version, task.description.official_size) == ("3", 3)
    assert len({item.content_hash for item in task.items}) == 3


def test_a_limit_takes_the_first_items_with_unchanged_hashes(made_up: Path) -> None:
    whole, part = load_task("choosing"), load_task("choosing", limit=2)
    assert [i.content_hash for i in part.items] == [i.content_hash for i in whole.items][:2]
    assert part.description.official_size == 3


def test_judging_gives_lm_evals_metrics_and_the_ledgers_fields(made_up: Path) -> None:
    judgement = load_task("choosing").judge(scored((-2.0, -1.5), (-4.0, -5.0), (-3.0, -3.5)))
    first, second, third = judgement.outcomes
    assert (first.correct, first.prediction, first.gold, first.rank, first.margin) == (
        True,
        "yes",
        "yes",
        1,
        0.5,
    )
    assert (second.correct, second.prediction, second.margin) == (True, "no", 1.0)
    assert (third.correct, third.prediction, third.rank, third.margin) == (False, "maybe", 2, -0.5)
    assert first.loglikelihoods == (-2.0, -1.5)
    # Per character, "yes, it is" (-0.5) beats "no" (-2), and "yes" (-1.17) loses to "maybe" (-0.6).
    assert [o.metrics["acc_norm"] for o in judgement.outcomes] == [1.0, 0.0, 0.0]
    assert judgement.metrics == pytest.approx({"acc": 2 / 3, "acc_norm": 1 / 3})


def own_task(
    folder: Path, documents: Sequence[dict[str, Any]], metric: str = "acc", more: str = "", target: str = "label"
) -> Task:
    """Make a task of these documents, each with ``q``, ``choices`` and ``label``."""
    (folder / "own.json").write_text("\n".join(json.dumps(document) for document in documents))
    definition = (
        f"output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: '{target}'\n"
        f"metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true}}]\n{more}"
    )
    files = lm_eval_task.task_files()
    files["own"] = write_task(folder, "own", definition, "own.json")
    return load_task("own")


@pytest.mark.parametrize(
    ("metric", "values", "right", "prediction", "rank", "margin"),
    [
        # The long answer is likelier per character, but not as a whole.
        ("acc", (-4.0, -5.0), False, "no", 2, -1.0),
        ("acc_norm", (-4.0, -5.0), True, "yes, it is", 1, 1.5),
        ("acc_bytes", (-4.0, -5.0), True, "yes, it is", 1, 1.5),
        # The answer that is unlikely without the question gains more.
        ("acc_mutual_info", (-4.0, -5.0, -1.0, -9.0), True, "yes, it is", 1, 7.0),
        ("exact_match", (-4.0, -0.5), True, "yes, it is", None, None),
        ("exact_match", (-0.5, -4.0), False, "no", None, None),
        ("exact_match", (-4.0, -5.0), False, "", None, None),
    ],
)
def test_prediction_rank_and_margin_follow_the_deciding_metric(
    made_up: Path, metric: str, values: tuple[float, ...], right: bool, prediction: str, rank: int, margin: float
) -> None:
    task = own_task(made_up, [{"q": "Is fire hot?", "choices": ["no", "yes, it is"], "label": 1}], metric)
    (outcome,) = task.judge(scored(values)).outcomes
    assert (outcome.correct, outcome.prediction, outcome.rank) == (right, prediction, rank)
    assert outcome.margin == (None if margin is None else pytest.approx(margin))
    assert outcome.correct == (outcome.metrics[metric] == 1.0)


@given(st.lists(st.floats(-30, 0), min_size=6, max_size=6), st.integers(0, 2))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_right_answers_are_those_predicted(made_up: Path, values: list[float], label: int) -> None:
    choices = ["a", "bb bb", "ccc ccc ccc"]
    for metric in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info"):
        task = own_task(made_up, [{"q": "Which?", "choices": choices, "label": label}], metric)
        (outcome,) = task.judge(scored(values if metric == "acc_mutual_info" else values[:3])).outcomes
        assert outcome.correct == (outcome.metrics[metric] == 1.0) == (outcome.prediction == outcome.gold)
        assert outcome.correct == (outcome.rank == 1)


def test_of_several_right_answers_all_are_shown(made_up: Path) -> None:
    task = own_task(made_up, [{"q": "A", "choices": ["x", "y", "w"], "label": [0, 2]}])
    (outcome,) = task.judge(scored((-3.0, -2.0, -1.0))).outcomes
    assert (outcome.correct, outcome.prediction, outcome.gold, outcome.rank) == (True, "w", "x / w", 1)


def test_a_probability_is_measured_even_where_it_is_0_or_1(made_up: Path) -> None:
    (made_up / "own.py").write_text(
        "import math\n\n\ndef first(doc, results):\n"
        "    one, two = (math.exp(score) for score, _ in results)\n    return {'acc': one / (one + two)}\n"
    )
    task = own_task(made_up, DOCUMENTS, more="process_results: !function own.first\n")
    judgement = task.judge(scored((-1.0, -2000.0), (-2000.0, -1.0), (-2.0, -2.0)))
    assert [outcome.metrics["acc"] for outcome in judgement.outcomes] == [1, 0, 0.5]
    assert {(outcome.correct, outcome.rank, outcome.margin) for outcome in judgement.outcomes} == {(None, None, None)}
    assert judgement.metrics == {"acc": 0.5}


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize(
    "values",
    [(math.nan, math.nan), (math.nan, -1.0), (-1.0, math.nan), (-math.inf, -math.inf), (math.inf, -1.0)],
)
def test_values_that_are_not_numbers_are_never_an_answer(
    made_up: Path, values: tuple[float, float], label: int
) -> None:
    for metric in ("acc", "acc_norm", "exact_match"):
        task = own_task(made_up, [{"q": "A", "choices": ["x", "y"], "label": label}], metric)
        judgement = task.judge([RequestScores(RequestScore(value, is_greedy=True) for value in values)])
        (outcome,) = judgement.outcomes
        assert (outcome.correct, outcome.prediction, outcome.rank, outcome.margin) == (False, "", None, None)
        assert judgement.metrics == {metric: 0.0}
    completing = load_task("completing", limit=1).judge([RequestScores([RequestScore(math.nan, is_greedy=True)])])
    assert (completing.outcomes[0].correct, completing.metrics["acc"]) == (False, 0.0)


GOOD = {"q": "A", "choices": ["x", "y"], "label": 1}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"label": "z"}, "right answer not among the choices"),
        ({"label": 2}, "right answer not among the choices"),
        ({"label": math.nan}, "ValueError while building its requests"),
        ({"label": None}, "its right answer is missing or null"),
        ({"q": None}, "a field of its prompt is missing or null"),
        ({"label": -1}, "right answer not among the choices"),
        ({"choices": None}, "TypeError while building its requests"),
        ({"choices": "['y']"[:0] + "yx"}, "TypeError while building its requests"),
        ({"choices": []}, "right answer not among the choices"),
        ({"choices": ["y", "y"]}, "right answer is also one of the wrong choices"),
        ({"choices": ["y"], "label": 0}, "no choice is wrong"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_one_bad_document_is_one_bad_item(made_up: Path, bad: dict[str, Any], says: str, place: int) -> None:
    good = GOOD | {"label": "y"} if isinstance(bad.get("label"), str) else GOOD
    task = own_task(made_up, [good | bad, good] if place == 0 else [good, good | bad])
    assert [item.problem for item in task.items] == ([says, None] if place == 0 else [None, says])
    prepared = Engine(tiny_loaded()).prepare(task.items)
    assert dict(prepared.dropped) == {says: 1}
    assert prepared.first_dropped() == {says: f"own/{place}"}
    assert [question is None for question in prepared.questions] == [place == 0, place == 1]
    outcomes = task.judge(Engine(tiny_loaded()).score(prepared)).outcomes
    assert [outcome.item_id for outcome in outcomes] == [f"own/{1 - place}"]


@pytest.mark.parametrize("target", ["label", "{{label}}"])
def test_one_right_answer_that_is_no_number_leaves_its_item_out(made_up: Path, target: str) -> None:
    """``datasets`` reads the others as decimals, which lm-eval's templates take for texts."""
    task = own_task(made_up, [GOOD, GOOD | {"label": math.nan}, GOOD | {"label": 0}], target=target)
    assert [item.problem is None for item in task.items] == [True, False, True]
    assert [item.gold for item in task.items if item.problem is None] == [(1,), (0,)]
    outcomes = task.judge([*scored((-2.0, -1.0)), None, *scored((-1.0, -2.0))]).outcomes
    assert [outcome.correct for outcome in outcomes] == [True, True]


def test_a_template_may_handle_a_missing_field(made_up: Path) -> None:
    documents = [GOOD, {key: value for key, value in GOOD.items() if key != "q"}]
    task = own_task(made_up, documents, more="doc_to_text: '{{q or choices[0]}}'\n")
    assert [item.problem for item in task.items] == [None, None]


def test_a_bad_line_of_its_file_is_named(made_up: Path) -> None:
    own_task(made_up, [GOOD])
    with (made_up / "own.json").open("a") as stream:
        stream.write("\n[1, 2]")
    with pytest.raises(UserError, match=r"^task 'own': '.*own\.json' line 2 cannot be read \(.*object to array\)"):
        load_task("own")


def test_an_empty_choice_leaves_its_item_out_even_at_the_beginning(made_up: Path) -> None:
    task = own_task(made_up, [GOOD | {"choices": ["", "y"]}, GOOD], more="target_delimiter: ''\n")
    assert len(task.items) == 2
    prepared = Engine(tiny_loaded()).prepare(task.items)
    assert prepared.first_dropped() == {"an answer has no tokens": "own/0"}


def test_right_answers_in_two_forms_are_not_judged_by_the_first(made_up: Path) -> None:
    """lm-eval decides by its first document whether there may be several, and misjudges the others."""
    for labels in (("1", "[0, 1]"), ("[0, 1]", "1")):
        documents = [GOOD | {"choices": ["x", "y", "z"], "label": label} for label in labels]
        task = own_task(made_up, documents, target="{{label}}")
        assert [item.problem is None for item in task.items] == [True, False]


def test_an_unsupported_metric_is_refused_up_front(made_up: Path) -> None:
    documents = [GOOD | {"choices": ["x", "y", "z"], "label": label} for label in (0, 1, 2)]
    definition = (
        "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
        "metric_list: [{metric: f1, higher_is_better: true}]\n"
    )
    (made_up / "own.json").write_text("\n".join(json.dumps(document) for document in documents))
    lm_eval_task.task_files()["own"] = write_task(made_up, "own", definition, "own.json")
    with pytest.raises(UserError, match="task 'own': its metrics cannot be computed") as refused:
        load_task("own")
    assert "\n" not in str(refused.value)


def test_the_characters_of_a_text_are_not_its_choices(made_up: Path) -> None:
    definition = "output_type: multiple_choice\ndoc_to_choice: q\ndoc_to_target: label\n"
    lm_eval_task.task_files()["own"] = write_task(made_up, "own", definition, "questions.json")
    with pytest.raises(UserError, match="none of them valid .own/0: TypeError: the choices are a string, not a list"):
        load_task("own")


def test_a_task_without_metrics_is_refused(made_up: Path) -> None:
    definition = "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\nmetric_list: []\n"
    lm_eval_task.task_files()["own"] = write_task(made_up, "own", definition, "questions.json")
    with pytest.raises(UserError, match="task 'own' has no metric; name one in its metric_list, such as acc"):
        load_task("own")


def test_a_task_without_one_good_document_is_refused(made_up: Path) -> None:
    with pytest.raises(UserError, match="2 documents tried, none of them valid") as refused:
        own_task(made_up, [GOOD | {"label": "none"}] * 2)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("count", "tried"), [(1, 1), (8, 5)])
def test_a_task_whose_first_documents_cannot_be_read_names_the_first(made_up: Path, count: int, tried: int) -> None:
    with pytest.raises(UserError, match=rf"{tried} documents? tried, none of them valid \(own/0: ") as refused:
        own_task(made_up, [GOOD | {"choices": ["", "y"]}] * count)
    assert "\n" not in str(refused.value)


def test_bad_first_documents_are_left_out_however_many(made_up: Path) -> None:
    items = own_task(made_up, [GOOD | {"label": 9}] * 7 + [GOOD] * 9).items
    assert [item.problem is None for item in items] == [False] * 7 + [True] * 9


@pytest.mark.parametrize("place", [0, 1])
def test_a_document_without_right_answers_is_left_out_wherever_it_is(made_up: Path, place: int) -> None:
    """Its list of right answers is empty, which lm-eval takes for a task with one right answer if it comes first."""
    good = {"q": "A", "choices": ["x", "y", "z"], "label": [0, 1]}
    documents = [good, good]
    documents.insert(place, good | {"label": []})
    problems = [item.problem for item in own_task(made_up, documents).items]
    assert [problem is not None for problem in problems] == [index == place for index in range(3)]


def test_equal_choices_that_are_both_wrong_are_asked(made_up: Path) -> None:
    (item,) = own_task(made_up, [{"q": "A", "choices": ["x", "x", "y"], "label": 2}]).items
    assert item.problem is None


def test_the_scoring_of_a_task_is_known_without_its_data(made_up: Path) -> None:
    assert task_problems("choosing") == task_problems("completing") == []
    assert task_problems("writing") == []
    (made_up / "child.yaml").write_text("include: rolling.yaml\ntask: child\n")
    (made_up / "rolling.yaml").write_text("task: rolling\noutput_type: loglikelihood_rolling\n")
    (made_up / "default.yaml").write_text("task: default\n")
    files = lm_eval_task.task_files()
    files.update({name: made_up / f"{name}.yaml" for name in ("child", "default", "rolling")})
    assert "has output type loglikelihood_rolling, which is not supported" in task_problems("rolling")[0]
    assert "output type loglikelihood_rolling" in task_problems("child")[0]
    assert task_problems("default") == []
    (made_up / "classy.yaml").write_text("task: classy\nclass: !function task.Classy\n")
    files["classy"] = made_up / "classy.yaml"
    assert "task 'classy' is a Python class of lm-evaluation-harness" in task_problems("classy")[0]


def test_completions_are_right_when_they_are_greedy(made_up: Path) -> None:
    judgement = load_task("completing").judge(scored((-0.5,), (-2.0,), (-3.0,)))
    assert [outcome.correct for outcome in judgement.outcomes] == [True, False, False]
    assert judgement.metrics["acc"] == pytest.approx(1 / 3)
    assert judgement.metrics["perplexity"] == pytest.approx(2.71828 ** (5.5 / 3), rel=1e-4)


def test_missing_data_gives_a_hint(made_up: Path) -> None:
    with pytest.raises(UserError, match="set HF_DATASETS_CACHE to a folder"):
        load_task("dataless")


def test_a_folder_with_the_name_of_a_data_set_is_not_read_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"goal": "Stay", "sol1": "sit", "sol2": "go", "label": 0}
    (tmp_path / "baber" / "piqa").mkdir(parents=True)
    for split in ("train", "validation"):
        (tmp_path / "baber" / "piqa" / f"{split}.jsonl").write_text(json.dumps(row))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="folder './baber/piqa' in the current directory would be read") as caught:
        load_task("piqa")
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_the_definition_names_is_read_and_one_named_as_a_format_ignored(
    made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made_up / "here" / "own"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(json.dumps(DOCUMENTS[0]))
    (made_up / "here" / "json").mkdir()
    monkeypatch.chdir(made_up / "here")
    for path in (str(folder), "./own"):
        definition = lm_eval_task.task_files()["choosing"].read_text()
        lines = [line for line in definition.splitlines() if not line.startswith("dataset_kwargs")]
        lines[lines.index("dataset_path: json")] = f"dataset_path: {path}"
        lines[lines.index("task: choosing")] = "task: own"
        (made_up / "own.yaml").write_text("\n".join(lines))
        lm_eval_task.task_files()["own"] = made_up / "own.yaml"
        assert len(load_task("own").items) == 1
    assert len(load_task("choosing").items) == 3


def test_names_are_checked_without_data() -> None:
    assert task_problems("piqa") == []
    assert "did you mean 'winogrande'?" in task_problems("winograde")[0]
    assert "is a group of lm-eval's tasks" in task_problems("mmlu")[0]
    with pytest.raises(UserError, match="unknown task"):
        load_task("no such task")


@pytest.mark.data
@pytest.mark.parametrize(("name", "size"), [("boolq", 3270), ("piqa", 1838), ("winogrande", 1267)])
def test_real_tasks_give_the_requests_of_lm_eval(name: str, size: int) -> None:
    ours = load_task(name, limit=20)
    assert ours.description.official_size == size
    with quiet():
        theirs = TaskManager(include_defaults=False).load([str(lm_eval_index.task_files()[name])])["tasks"][name]
        theirs.build_all_requests(limit=20)
    expected = [instance.args for instance in theirs.instances]
    assert [(r.context, r.continuation) for item in ours.items for r in item.requests] == expected


def test_a_template_can_only_use_its_document(made_up: Path) -> None:
    run = f"touch {made_up}/ran"
    template = "{{ cycler.__init__.__globals__.os.system('" + run + "') }}{{q}}"
    with pytest.raises(UserError, match="2 documents tried, none of them valid"):
        own_task(made_up, [GOOD] * 2, more=f'doc_to_text: "{template}"\n')
    assert not (made_up / "ran").exists()
