"""PopQA, from a small made-up file with the columns of the official one, which is not available here."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from forgetmeter.errors import UserError
from forgetmeter.models.loading import load
from forgetmeter.probes.by_relation import CountsRelations
from forgetmeter.probes.loading import load_task, task_problems
from forgetmeter.results.results import open_run
from forgetmeter.scoring.engine import Engine
from forgetmeter.study.running import run

COLUMNS = [
    "id", "subj", "prop", "obj", "subj_id", "prop_id", "obj_id", "s_aliases", "o_aliases", "s_uri", "o_uri",
    "s_wiki_title", "o_wiki_title", "s_pop", "o_pop", "question", "possible_answers",
]  # fmt: skip
ROWS = (
    (11, "Atlantis", "capital", "Poseidonia", 59, "What is the capital of Atlantis?", ["Poseidonia", "Posidonia"]),
    (12, "Lilliput", "capital", "Mildendo", 4, "What is the capital of Lilliput?", ["Mildendo", "the \"big\" city"]),
    (13, "Oz", "capital", "Emerald City", 900, "What is the capital of Oz?", ["Emerald City", "Mildendo"]),
    (21, "Ada", "place of birth", "Gotham", 7, "In what city was Ada born?", ["Gotham"]),
    (22, "Bea", "place of birth", "Metropolis", 8, "In what city was Bea born?", ["Metropolis"]),
    (24, "Cy", "place of birth", "Oz", 1, "In what city was Cy born?", ["Oz"]),
    # Another Ada: the same question.
    (23, "Ada", "place of birth", "Metropolis", 3, "In what city was Ada born?", ["Metropolis", "Gotham City"]),
)  # fmt: skip


def write_popqa(data: Path, columns: list[str] = COLUMNS) -> Path:
    """Write the made-up file as pandas writes the official one."""
    path = data / "PopQA" / "popqa.tsv"
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, delimiter="\t", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for number, subject, relation, answer, popularity, question, possible in ROWS:
            row = {"id": number, "subj": subject, "prop": relation, "obj": answer, "s_pop": popularity, "o_pop": 1,
                   "question": question, "possible_answers": json.dumps(possible)}  # fmt: skip
            writer.writerow(dict.fromkeys(COLUMNS, "x") | row)
    return path


@pytest.fixture
def popqa(tmp_path: Path) -> Path:
    write_popqa(tmp_path / "data")
    return tmp_path / "data"


def test_questions_compete_within_their_relation(popqa: Path) -> None:
    task = load_task("popqa", data=popqa)
    assert [(item.id, item.cloze.filled("___"), item.gold) for item in task.items] == [
        ("popqa/11/0", "Q: What is the capital of Atlantis? A: ___.", (2,)),
        ("popqa/12/0", "Q: What is the capital of Lilliput? A: ___.", (1,)),
        ("popqa/13/0", "Q: What is the capital of Oz? A: ___.", (0, 1)),
        ("popqa/21/0", "Q: In what city was Ada born? A: ___.", (0, 1)),
        ("popqa/22/0", "Q: In what city was Bea born? A: ___.", (1,)),
        ("popqa/24/0", "Q: In what city was Cy born? A: ___.", (2,)),
    ]
    assert {item.choices for item in task.items} == {
        ("Emerald City", "Mildendo", "Poseidonia"), ("Gotham", "Metropolis", "Oz"),
    }  # fmt: skip
    assert {item.cloze.among for item in task.items} == {"answers"}
    assert [item.fields["popularity"] for item in task.items] == ["59", "4", "900", "7", "8", "1"]
    assert (task.description.official_size, dict(task.description.filters)) == (7, {"repeated question": 1})
    assert isinstance(task, CountsRelations)
    assert [(each.relation, each.items) for each in task.relations] == [("capital", 3), ("place_of_birth", 3)]


def test_options_and_limit(popqa: Path) -> None:
    one = load_task("popqa:relations=place_of_birth:ranking=statements", data=popqa)
    assert [item.id for item in one.items] == ["popqa/21/0", "popqa/22/0", "popqa/24/0"]
    assert one.items[0].cloze.among == "candidates"
    limited = load_task("popqa", limit=1, data=popqa)
    assert [item.id for item in limited.items] == ["popqa/11/0", "popqa/21/0"]
    # The answers that compete are those of the whole relation.
    assert len(limited.items[0].choices) == 3


@pytest.mark.parametrize("family", ["encoder", "encoder-decoder", "decoder"])
def test_all_families_answer(popqa: Path, family: str) -> None:
    task = load_task("popqa", data=popqa)
    engine = Engine(load(f"standard:{family}"))
    judgement = task.judge(engine.score(engine.prepare(task.items)))
    assert len(judgement.outcomes) == 6
    assert set(judgement.metrics) >= {"p_at_1", "p_at_5", "mrr", "p_at_1_macro"}


def test_popularity_is_in_the_ledger(popqa: Path, tmp_path: Path) -> None:
    study = {"models": ["standard:decoder"], "recipes": ["l1_unstructured:overall:0.9"], "tasks": ["popqa"],
             "output": str(tmp_path / "run")}  # fmt: skip
    run(study, data=popqa)
    results = open_run(str(tmp_path / "run"))
    assert sorted(results.run.answers[0].popularity) == [1, 4, 7, 8, 59, 900]
    assert results.run.answers[0].relations == ("capital", "place_of_birth")


def test_what_is_missing_or_wrong_is_refused(popqa: Path, tmp_path: Path) -> None:
    (problem,) = task_problems("popqa", data=tmp_path / "none")
    assert "PopQA' does not exist; run forgetmeter data fetch popqa --data" in problem
    (problem,) = task_problems("popqa:relations=captial", data=popqa)
    assert "captial" in problem
    assert "did you mean 'capital'" in problem
    write_popqa(tmp_path / "less", [name for name in COLUMNS if name not in ("question", "s_pop")])
    said = "popqa.tsv' lacks the columns 's_pop' and 'question'; fetch it again from its authors"
    with pytest.raises(UserError, match=said):
        load_task("popqa", data=tmp_path / "less")
    path = popqa / "PopQA" / "popqa.tsv"
    path.write_text(path.read_text().replace('"[""Gotham""]"', "Gotham"))
    with pytest.raises(UserError, match=r"line 5: 'possible_answers' is 'Gotham', not a JSON list of texts"):
        load_task("popqa", data=popqa)
    path.write_text("<html>")
    with pytest.raises(UserError, match="has no rows"):
        load_task("popqa", data=popqa)
