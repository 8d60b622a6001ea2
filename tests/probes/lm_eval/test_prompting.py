"""Few-shot examples, system instructions and chat templates, against lm-eval's ``hf`` on the same settings.

Covers ``probes.lm_eval.few_shot`` and ``study.chat_template``.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tiny_models import make_llama, make_tokenizer
from transformers import PreTrainedTokenizerFast

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.models.loading import wrap
from forgetmeter.probes.lm_eval import index as lm_eval_index
from forgetmeter.probes.lm_eval import task as lm_eval_task
from forgetmeter.probes.lm_eval.few_shot import UNANSWERED_EXAMPLE
from forgetmeter.probes.lm_eval.prompting import Prompting
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import RequestScores
from forgetmeter.results.results import open_run
from forgetmeter.scoring.engine import Engine
from forgetmeter.study.chat_template import chat_template_of
from forgetmeter.study.running import run

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
WITHOUT_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
DOCUMENTS = [{"q": f"Is {thing} wet?", "choices": ["no", "yes, it is"], "label": int(len(thing) > 3)} for thing in (
    "tea", "rain", "ink", "fire", "the inn"
)]  # fmt: skip
"""Made up; a training split of five, like the stubs of the real data sets."""
COMMON = """
dataset_path: json
dataset_kwargs: {{data_files: {{train: {train}, test: {test}}}}}
training_split: train
test_split: test
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
CHOOSING = "output_type: multiple_choice\ndoc_to_choice: choices\n"
DEFINITIONS = {
    "choosing": CHOOSING + "doc_to_text: 'Q: {{q}}\\nA:'\ndoc_to_target: label\n",
    "described": CHOOSING
    + "description: \"Water.\\n\\n\"\ndoc_to_text: '{{q}}'\ndoc_to_target: label\nnum_fewshot: 1\n"
    "fewshot_config: {sampler: first_n}\nfewshot_delimiter: ' ## '\n",
    "beginnings": CHOOSING + "doc_to_text: label\ndoc_to_target: ' - {{q}}'\n",
    "completing": "output_type: loglikelihood\ndoc_to_text: '{{q}}'\ndoc_to_target: ' {{choices[label]}}'\n",
    "from_the_test_split": CHOOSING + "fewshot_split: test\ndoc_to_text: '{{q}}'\ndoc_to_target: label\n",
    "only_tested": CHOOSING + "training_split: null\ndoc_to_text: '{{q}}'\ndoc_to_target: label\n",
    "never": CHOOSING + "doc_to_text: '{{q}}'\ndoc_to_target: label\nnum_fewshot: 0\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for split, docs in (("train", DOCUMENTS), ("test", DOCUMENTS[::-1])):
        (tmp_path / f"{split}.json").write_text("\n".join(map(json.dumps, docs)))
    common = COMMON.format(train=tmp_path / "train.json", test=tmp_path / "test.json")
    files = {name: tmp_path / f"{name}.yaml" for name in DEFINITIONS}
    for name, path in files.items():
        path.write_text(f"task: {name}{common}{DEFINITIONS[name]}")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for module in (lm_eval_index, lm_eval_task):
        monkeypatch.setattr(module, "task_files", lambda: files)
    monkeypatch.setattr("forgetmeter.probes.loading.task_files", lambda: files)
    return tmp_path


def with_template(template: str = TEMPLATE) -> PreTrainedTokenizerFast:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def lm_evals(folder: Path, settings: dict[str, Any], template: str) -> dict[str, list[list[float]]]:
    with quiet():
        found = simple_evaluate(
            model=HFLM(pretrained=make_llama(), tokenizer=with_template(template), batch_size=4),
            tasks=list(DEFINITIONS),
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            bootstrap_iters=0,
            **settings,
        )
    assert found is not None
    return {
        name: [list(map(loglikelihood, each["resps"])) for each in sorted(samples, key=lambda each: each["doc_id"])]
        for name, samples in found["samples"].items()
    }


def loglikelihood(response: Any) -> float:
    """Return the value of a response, which lm-eval wraps in a list for some kinds of tasks."""
    return loglikelihood(response[0]) if isinstance(response, (list, tuple)) else float(response)


def ours(template: str, prompting: Prompting) -> dict[str, list[list[float]]]:
    engine = Engine(wrap(make_llama(), with_template(template)))
    found: dict[str, list[list[float]]] = {}
    for name in DEFINITIONS:
        answers = engine.score(engine.prepare(load_task(name, prompting=prompting).items))
        assert all(isinstance(answer, RequestScores) for answer in answers)
        found[name] = [[score.loglikelihood for score in answer] for answer in answers]  # type: ignore[union-attr]
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_fewshot": 4},
        {"num_fewshot": 2, "system_instruction": "Be\nbrief."},
        {"apply_chat_template": True},
        {"num_fewshot": 2, "apply_chat_template": True, "system_instruction": "Be brief."},
    ],
)
def test_loglikelihoods_are_those_of_lm_evals_hf(folder: Path, settings: dict[str, Any]) -> None:
    template = WITHOUT_SYSTEM if len(settings) == 3 else TEMPLATE
    is_chat = settings.get("apply_chat_template", False)
    prompting = Prompting(
        settings.get("num_fewshot"),
        settings.get("system_instruction"),
        chat_template_of(with_template(template), "tiny") if is_chat else None,
    )
    theirs, mine = lm_evals(folder, settings, template), ours(template, prompting)
    for name in DEFINITIONS:
        assert len(mine[name]) == len(DOCUMENTS)
        for one, other in zip(mine[name], theirs[name], strict=True):
            assert one == pytest.approx(other, abs=1e-3)


@pytest.fixture
def chatty(tmp_path: Path) -> str:
    """A model's folder whose tokenizer has a chat template."""
    path = tmp_path / "chatty"
    make_llama().save_pretrained(path)
    with_template().save_pretrained(path)
    return str(path)


def test_a_study_records_the_settings_and_others_are_another_run(folder: Path, chatty: str) -> None:
    study = {"models": [chatty], "recipes": ["baseline"], "tasks": ["choosing"], "output": str(folder / "out")}
    given = {"num_fewshot": 2, "system_instruction": "Be brief.", "chat_template": True}
    settings = {f"evaluation.{key}": value for key, value in given.items()}
    assert run(study | settings).computed == 1
    assert run(study | settings).computed == 0
    document = json.loads((folder / "out" / "study.json").read_text())
    assert document["identity"]["evaluation"] == {"limit": None, "seed": 0, "dtype": "float32", **given}
    for key in settings:
        with pytest.raises(UserError, match="another study"):
            run(study | {name: value for name, value in settings.items() if name != key})
    (contexts,) = {row[0] for row in open_run(study["output"]).items["contexts"][:1]}
    assert contexts.startswith("<s>[system] Be brief.\n[user] Q: Is ")
    assert contexts.endswith("A:\n[assistant] ")


def test_without_settings_the_identity_is_that_of_earlier_versions(folder: Path, chatty: str) -> None:
    study = {"models": [chatty], "recipes": ["baseline"], "tasks": ["choosing"], "output": str(folder / "out")}
    run(study)
    document = json.loads((folder / "out" / "study.json").read_text())
    assert document["identity"]["evaluation"] == {"limit": None, "seed": 0, "dtype": "float32"}
    assert run(study | {"evaluation.chat_template": False, "evaluation.num_fewshot": None}).computed == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"evaluation.num_fewshot": 6}, "task 'choosing': num_fewshot is 6, but its data has only 5 examples"),
        ({"evaluation.num_fewshot": -1}, "evaluation.num_fewshot must be at least 0, not '-1'"),
        ({"evaluation.num_fewshot": True}, "evaluation.num_fewshot must be an integer, not 'True'"),
        ({"evaluation.system_instruction": " "}, "evaluation.system_instruction: system_instruction is empty"),
        ({"evaluation.chat_template": "yes"}, "evaluation.chat_template must be true or false, not 'yes'"),
        (
            {"evaluation.num_fewshot": 1, "tasks": ["facts:templates=0"]},
            "evaluation.num_fewshot: num_fewshot applies only to tasks of lm-eval.*, not to this study's .facts:temp",
        ),
        (
            {"evaluation.chat_template": True, "models": ["standard:decoder", "standard:encoder"]},
            "evaluation.chat_template: chat_template gives each model different prompts; write a separate study",
        ),
        (
            {"evaluation.chat_template": True, "models": ["standard:decoder"]},
            "the tokenizer of model 'standard:decoder' has no chat template; omit chat_template",
        ),
    ],
)
def test_wrong_settings_are_refused(folder: Path, chatty: str, change: dict[str, Any], says: str) -> None:
    study = {"models": [chatty], "recipes": ["baseline"], "tasks": ["choosing"], "output": str(folder / "out")}
    with pytest.raises(UserError, match=says):
        run(study | change)
    assert not (folder / "out").exists()


def test_a_template_that_fails_is_refused() -> None:
    says = r"chat_template: the chat template of model 'tiny' cannot be used .no way.; omit chat_template"
    with pytest.raises(UserError, match=says):
        chat_template_of(with_template("{{ raise_exception('no way') }}"), "tiny")


@pytest.mark.parametrize(
    ("template", "cause"),
    [("{{ raise_exception('no way') }}", "no way"), ("{% for m in messages %}", "Unexpected end of template")],
)
def test_a_template_that_fails_without_an_instruction_as_well_does_not_blame_it(template: str, cause: str) -> None:
    with pytest.raises(UserError, match=f"^chat_template: the chat template of model 'tiny' cannot be used .{cause}"):
        chat_template_of(with_template(template), "tiny", system_instruction="Be brief.")


def test_later_messages_that_a_template_cannot_render_do_not_blame_an_instruction() -> None:
    tokenizer = with_template(
        "{% set asked = messages | selectattr('role', 'equalto', 'user') | list %}"
        "{% if asked | length > 1 %}{{ raise_exception('roles must alternate') }}{% endif %}" + TEMPLATE
    )
    user, system = {"role": "user", "content": "Hello"}, {"role": "system", "content": "Be brief."}
    plain, instructed = (chat_template_of(tokenizer, "tiny", system_instruction=each) for each in (None, "Be brief."))
    assert instructed([system, user]) == "<s>[system] Be brief.\n[user] Hello\n[assistant] "
    for render, messages in ((plain, [user, user]), (instructed, [system, user, user])):
        with pytest.raises(TemplateError, match="roles must alternate"):
            render(messages)


def test_a_template_without_a_system_role_refuses_an_instruction() -> None:
    """Gemma's; lm-evaluation-harness leaves the instruction out, and only logs that it does."""
    tokenizer = with_template(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not "
        "supported') }}{% endif %}{{ m.content }}{% endfor %}"
    )
    says = "system_instruction: the chat template of model 'tiny' rejects system messages .System role not supported"
    with pytest.raises(UserError, match=says):
        chat_template_of(tokenizer, "tiny", system_instruction="Be brief.")
    # A task's own description is left out, as by lm-evaluation-harness.
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Hello"}]
    assert chat_template_of(tokenizer, "tiny")(messages) == "Hello"


PARTS = (
    "<s>{% for m in messages %}{{ m.role }}: {% for part in m.content %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% endif %}{% endfor %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
QUESTION = {"role": "user", "content": "What is gold?"}


def test_a_template_that_reads_contents_as_parts_gets_them() -> None:
    """As SmolVLM's: a plain text would be read letter by letter, none of which is a part with text."""
    render = chat_template_of(with_template(PARTS), "tiny", system_instruction="Be brief.")
    system = {"role": "system", "content": "Be brief."}
    assert render([system, QUESTION]) == "<s>system: Be brief.\nuser: What is gold?\nassistant: "
    begun = [QUESTION, {"role": "assistant", "content": "It is"}]
    assert render(begun, add_generation_prompt=False) == "<s>user: What is gold?\nassistant: It is"


@pytest.mark.parametrize("template", ["hello", "{% for m in messages %}{{ m.role }}{% endfor %}"])
def test_a_template_that_drops_the_question_is_refused(template: str) -> None:
    with pytest.raises(UserError, match="the chat template of model 'tiny' leaves out the question"):
        chat_template_of(with_template(template), "tiny")


def test_a_template_that_drops_examples_or_a_system_message_does_not_do_so_silently() -> None:
    tokenizer = with_template("<s>{{ messages[-1].content }}")
    render = chat_template_of(tokenizer, "tiny")
    assert render([QUESTION]) == "<s>What is gold?"
    # A task's own description is left out, as if the template had rejected it.
    assert render([{"role": "system", "content": "Answer."}, QUESTION]) == "<s>What is gold?"
    with pytest.raises(UserError, match="leaves out earlier turns, such as few-shot examples"):
        render([{"role": "user", "content": "What is tin?"}, {"role": "assistant", "content": "A metal"}, QUESTION])
    with pytest.raises(UserError, match="rejects system messages .leaves them out.; omit system_instruction"):
        chat_template_of(tokenizer, "tiny", system_instruction="Be brief.")


def test_contents_in_other_letters_are_not_dropped() -> None:
    render = chat_template_of(with_template("{% for m in messages %}{{ m.content | upper }}{% endfor %}"), "tiny")
    assert render([QUESTION]) == "WHAT IS GOLD?"


def test_a_template_that_tells_the_date_tells_the_same_on_every_day() -> None:
    """Llama 3.2's does; the answers of a run would depend on the day."""
    render = chat_template_of(with_template("{{ strftime_now('%d %b %Y') }} {{ messages[-1].content }}"), "tiny")
    assert render([QUESTION]) == "26 Jul 2024 What is gold?"


def test_a_template_can_be_sent_to_other_processes() -> None:
    render = chat_template_of(with_template(), "tiny", system_instruction="Be brief.")
    assert pickle.loads(pickle.dumps(render))([QUESTION]) == render([QUESTION])


def test_a_task_that_never_has_examples_says_so(folder: Path) -> None:
    (remark,) = load_task("never", prompting=Prompting(num_fewshot=3)).description.remarks
    assert remark == "task 'never': its definition allows no few-shot examples, so num_fewshot is ignored"
    assert load_task("never", prompting=Prompting(num_fewshot=0)).description.remarks == ()


def test_an_item_that_may_be_its_own_example_is_said(folder: Path) -> None:
    (remark,) = load_task("only_tested", prompting=Prompting(num_fewshot=3)).description.remarks
    assert remark == "task 'only_tested': its only split is 'test', so an item may be one of its own examples"
    assert load_task("only_tested").description.remarks == ()
    for name in ("choosing", "from_the_test_split"):
        assert load_task(name, prompting=Prompting(num_fewshot=4)).description.remarks == ()
    with pytest.raises(UserError, match="num_fewshot is 5, but its data has only 4 examples"):
        load_task("from_the_test_split", prompting=Prompting(num_fewshot=5))


@pytest.mark.parametrize("answer", [None, "", -1, 2])
@pytest.mark.parametrize("sampler", ["default", "first_n"])
def test_an_example_without_a_right_answer_leaves_its_items_out(folder: Path, answer: Any, sampler: str) -> None:
    """lm-eval writes the next example directly after its question, and takes -1 for the last choice."""
    train = [{**document, "answer": " yes" if answer == "" else 1} for document in DOCUMENTS]
    train[0] |= {"answer": answer}
    (folder / "train.json").write_text("\n".join(map(json.dumps, train)))
    (folder / "test.json").write_text("\n".join(map(json.dumps, train[1:] * 2)))
    path = folder / "completing.yaml"
    kind = "output_type: loglikelihood\n" if answer == "" else CHOOSING
    definition = f"{kind}doc_to_text: '{{{{q}}}}'\ndoc_to_target: answer\nfewshot_config: {{sampler: {sampler}}}\n"
    path.write_text(
        f"task: completing{COMMON.format(train=folder / 'train.json', test=folder / 'test.json')}{definition}"
    )
    if sampler == "first_n":
        with pytest.raises(UserError, match="valid .completing/0: one of its few-shot examples has no valid"):
            load_task("completing", prompting=Prompting(num_fewshot=1))
        return
    items = load_task("completing", prompting=Prompting(num_fewshot=2)).items
    assert {item.problem for item in items} == {None, UNANSWERED_EXAMPLE}
    for item in items:
        assert item.problem or "Is tea wet?" not in item.requests[0].context


def test_a_definition_may_put_the_answers_of_examples_into_their_text(folder: Path) -> None:
    path = folder / "described.yaml"
    own = "fewshot_config: {sampler: first_n, doc_to_text: '{{q}} Yes.', doc_to_target: ''}"
    path.write_text(path.read_text().replace("fewshot_config: {sampler: first_n}", own))
    item = load_task("described").items[0]
    assert item.requests[0].context.startswith("Water.\n\nIs tea wet? Yes.Is the inn wet?")
