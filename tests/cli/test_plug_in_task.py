"""A plug-in task with options works wherever a task is named, from its declaration alone.

Covers ``probes.declaration``, ``probes.registry``, ``probes.loading`` and ``records.item``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_task import plug_in
from typer.testing import CliRunner, Result

from forgetmeter.cli.main import app
from forgetmeter.errors import UserError
from forgetmeter.probes.by_relation import RelationCounts, relation_means
from forgetmeter.probes.cloze import candidates_outcome, content_hash
from forgetmeter.probes.declaration import Grouping, TaskDeclaration
from forgetmeter.records.item import Answer, Cloze, Item, Requests, TaskDescription
from forgetmeter.records.outcome import Judgement
from forgetmeter.specs.suggestion import unknown
from forgetmeter.specs.task_name import ALL, TaskName, TaskOption

CAPITALS = {"asia": {"Japan": "Tokyo", "India": "Delhi"}, "europe": {"France": "Paris", "Italy": "Rome"}}
CHOICES = tuple(city for countries in CAPITALS.values() for city in countries.values())


def continents(name: TaskName) -> list[str]:
    wanted = name.listed("continents") or tuple(CAPITALS)
    for each in wanted:
        if each not in CAPITALS:
            raise UserError(unknown("continent", each, CAPITALS))
    return list(wanted)


class Capitals:
    def __init__(self, name: TaskName, *, limit: int | None = None) -> None:
        wanted = continents(name)
        end = "!" if name.value("style") == "loud" else "."
        self.items = [item(each, country, end) for each in wanted for country in list(CAPITALS[each])[:limit]]
        self.relations = [RelationCounts(each, "capital", f"The capital of [X] is [Y]{end}", 2, {}) for each in wanted]
        self.description = TaskDescription(str(name), "1", "made up for tests", "accuracy", 2 * len(wanted))

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        pairs = [(item, answer) for item, answer in zip(self.items, answers, strict=True) if answer is not None]
        outcomes = [candidates_outcome(item, answer) for item, answer in pairs]
        means = relation_means(
            (item.fields["relation"], outcome.metrics) for (item, _), outcome in zip(pairs, outcomes, strict=True)
        )
        return Judgement(tuple(outcomes), means)


def item(continent: str, country: str, end: str) -> Item:
    return Item(
        id=f"capitals/{continent}/{country}",
        content_hash=content_hash([country, end, *CHOICES]),
        asks=Cloze(f"The capital of {country} is ", end, "candidates"),
        choices=CHOICES,
        gold=(CHOICES.index(CAPITALS[continent][country]),),
        fields={"relation": continent, "subject": country},
    )


DECLARATION = TaskDeclaration(
    name="capitals",
    load=Capitals,
    check=continents,
    options={
        "continents": TaskOption(ALL, "Only these continents.", kind="list", example="asia+europe"),
        "style": TaskOption("plain", "How sentences end.", ("plain", "loud")),
    },
    thing="fact",
    groups=("relation",),
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, {"capitals": DECLARATION})


def forgetmeter(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, arguments)])


def said(result: Result) -> str:
    assert result.exit_code == 0, result.exception or result.output
    return result.stdout


def refusal(result: Result) -> str:
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


@pytest.mark.parametrize(
    ("groups", "expected"), [((), {()}), (("relation",), {("asia",), ("europe",)}), (("phrasing",), {(None,)})]
)
def test_a_limit_applies_to_the_declared_groups(groups: tuple[Grouping, ...], expected: set[tuple[str | None]]) -> None:
    declared = replace(DECLARATION, groups=groups)
    assert {declared.group_of(each) for each in Capitals(declared.parse("capitals")).items} == expected


@pytest.fixture
def study(llama_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(
        f"models: [{llama_folder}]\nrecipes: ['l1_unstructured:overall:0.9']\n"
        "tasks:\n  - {task: capitals, style: loud, continents: [europe, asia]}\n"
        f"evaluation: {{limit: 2}}\noutput: {tmp_path / 'run'}\n"
    )
    return path


def test_it_is_listed_with_its_options() -> None:
    assert said(forgetmeter("list", "tasks", "capitals")) == "capitals[:continents=A+B][:style=plain|loud]\n"
    relations = said(forgetmeter("list", "relations", "capitals:continents=asia:style=loud"))
    assert "capitals:continents=asia:style=loud: made up for tests" in relations
    assert "The capital of [X] is [Y]!" in relations
    assert "allowed: lama/squad, " in refusal(forgetmeter("list", "relations", "piqa"))
    assert "facts, file, capitals, with their options" in refusal(forgetmeter("list", "relations", "piqa"))


def test_a_study_with_it_can_be_planned_run_shown_and_reported(study: Path, tmp_path: Path) -> None:
    name, folder = "capitals:continents=asia+europe:style=loud", tmp_path / "run"
    planned = said(forgetmeter("run", study, "--dry-run"))
    assert name in planned
    assert "2 cells, 2 to do; 2 items per task (for probes: per relation);" in planned
    assert "2 of 2 cells done" in said(forgetmeter("run", study))
    assert "2 already stored" in said(forgetmeter("run", study))
    shown = json.loads(said(forgetmeter("show", folder, "--format", "json")))
    assert {(cell["task"], cell["items"]) for cell in shown["cells"]} == {(name, 4)}
    said(forgetmeter("report", folder, "--out", tmp_path / "report"))
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "of 4 facts of capitals" in page
    assert "It knows" in page


def test_it_can_be_named_on_the_command_line(llama_folder: Path, tmp_path: Path) -> None:
    def run(tasks: str) -> Result:
        return forgetmeter("run", "--model", llama_folder, "--tasks", tasks, "--out", tmp_path / "run", "--dry-run")

    assert "capitals:continents=asia:style=loud" in said(run("capitals:style=loud:continents=asia"))
    assert "capitals:style=loud" not in said(run("capitals:style=plain"))
    for tasks, says in {
        "capitals:styl=loud": "task 'capitals' has no option 'styl'; did you mean 'style'? (allowed: continents",
        "capitals:style=odd": "unknown value 'odd' (allowed: plain, loud)",
        "capitals:continents=a,b": "task 'b'",
        "capitals:continents=asia/x": "must be a list of names joined by +, such as asia+europe",
        "capitals:continents=asa": "unknown continent 'asa'; did you mean 'asia'?",
        "captals": "did you mean 'capitals'? (allowed: lama/squad,",
    }.items():
        assert says in refusal(run(tasks)), tasks


def test_a_failing_plug_in_gives_a_one_line_error(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_name: TaskName, *, limit: int | None) -> Capitals:
        raise RuntimeError(f"no capitals\nfor {limit}")

    plug_in(monkeypatch, {"capitals": TaskDeclaration(name="capitals", load=broken), "other": DECLARATION, "none": 3})
    for task, says in {
        "capitals": "task 'capitals': its plug-in made_up:capitals fails: RuntimeError: no capitals for None",
        "capitals:style=loud": "task 'capitals' takes no options, so 'capitals:style=loud' is unknown; write capitals",
        "other": "task 'other': its plug-in made_up:other calls itself 'capitals'; make the two names agree",
        "none": "task 'none': its plug-in made_up:none is neither a TaskDeclaration nor a function",
    }.items():
        asked = ("--model", llama_folder, "--tasks", task, "--out", tmp_path / "run")
        assert says in refusal(forgetmeter("run", *asked)), task
    assert {"capitals", "other", "none"} <= set(said(forgetmeter("list", "tasks")).split())


def with_items(**changed: object) -> TaskDeclaration:
    """Return the task with these fields of its last item replaced."""

    def load(name: TaskName, *, limit: int | None) -> Capitals:
        task = Capitals(name, limit=limit)
        task.items[-1] = replace(task.items[-1], **changed)  # type: ignore[arg-type]
        return task

    return replace(DECLARATION, load=load)


def described(**changed: str) -> TaskDeclaration:
    def load(name: TaskName, *, limit: int | None) -> Capitals:
        task = Capitals(name, limit=limit)
        task.description = replace(task.description, **changed)  # type: ignore[arg-type]
        return task

    return replace(DECLARATION, load=load)


def exits(*_given: object, **_named: object) -> Capitals:
    sys.exit("goodbye")


@pytest.mark.parametrize(
    ("declaration", "says"),
    [
        (replace(DECLARATION, load=exits), "task 'capitals': its plug-in made_up:capitals fails: SystemExit: goodbye"),
        (replace(DECLARATION, check=exits), "task 'capitals': its plug-in made_up:capitals fails: SystemExit: goodbye"),
        (
            replace(DECLARATION, load=lambda _name, *, limit: [limit]),
            "the description of task 'capitals' is not a TaskDescription",
        ),
        (described(name="cities"), "task 'capitals' describes itself as 'cities'; make the names agree"),
        (with_items(id="capitals/asia/Japan"), "two items have the id 'capitals/asia/Japan'"),
        (with_items(gold=(9,)), "has gold (9,), which must be indices of its 4 choices"),
        (with_items(gold=()), "is a cloze without a right answer"),
        (
            with_items(asks="what?"),
            "asks 'what?'; allowed: Requests, Cloze, WholeText, Generation, Problem",
        ),
        (
            with_items(asks=Requests()),
            "has 4 choices and 0 requests; it needs one request per choice, and at least one",
        ),
        (with_items(choices=("Tokyo", 3)), "must have text as its id, content_hash, choices and fields"),
    ],
)
def test_a_plug_in_with_an_invalid_task_is_refused_up_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declaration: TaskDeclaration, says: str
) -> None:
    plug_in(monkeypatch, {"capitals": declaration})
    asked = ("--model", "standard:decoder", "--tasks", "capitals", "--out", tmp_path / "run")
    assert says in refusal(forgetmeter("run", *asked))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (slice(1, None), "it returned 3 outcomes"),
        (slice(None, None, -1), "it returned 4 outcomes for other items or in another order"),
        (slice(0, 0), "it returned 0 outcomes"),
    ],
)
def test_a_judge_that_does_not_judge_each_item_in_order_fails_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: slice, says: str
) -> None:
    class Careless(Capitals):
        def judge(self, answers: Sequence[Answer | None]) -> Judgement:
            judgement = super().judge(answers)
            return replace(judgement, outcomes=judgement.outcomes[kept])

    plug_in(monkeypatch, {"capitals": replace(DECLARATION, load=Careless)})
    asked = ("--model", "standard:decoder", "--tasks", "capitals", "--out", tmp_path / "run")
    done = forgetmeter("run", *asked)
    assert done.exit_code == 1
    said = f"task 'capitals' must return one outcome per answered item, in order (4 items); {says}"
    assert said in " ".join(done.output.split())


def test_two_tasks_with_the_same_name_are_refused(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(monkeypatch, {"facts": DECLARATION})
    said = refusal(forgetmeter("run", "--model", llama_folder, "--tasks", "facts", "--out", tmp_path / "run"))
    assert (
        "plug-in made_up:facts names its task 'facts', which is the name of forgetmeter.probes.facts.task:TASK" in said
    )
