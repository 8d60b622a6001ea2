"""The page's ledger, decoded as its script does, against the run's data frames.

Covers ``report.html.ledger_changes``, ``report.html.ledger_texts`` and ``runs.content.given_answers``.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.report.html.ledger_changes import most_of_each
from forgetmeter.report.html.ledger_data import ledger_data
from forgetmeter.report.html.ledger_texts import shortened
from forgetmeter.results.results import open_run

RECIPES = ("l1_unstructured:overall:0.3", "l1_unstructured:overall:0.6", "dynamic_int8:overall")


def half_right(task, _recipe, random):
    return random.random(task.items) < 0.5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    tasks = [MadeUpTask("one", 60, 3, 8), MadeUpTask("two", 40)]
    location = str(tmp_path_factory.mktemp("ledger") / "run")
    write_made_up_run(
        location,
        recipes=RECIPES,
        right=half_right,
        tasks=tasks,
        models=("org/a", "org/b"),
    )
    return open_run(location)


def entries(data):
    """Decode the document as the page's script does."""
    found = set()
    for change in data.document["changes"]:
        task = data.document["tasks"][change["task"]]
        texts = task["strings"]
        for place, item in enumerate(accumulate(change["item"])):
            found.add(
                (
                    *(change["model"], change["recipe"], task["name"], change["kind"]),
                    *(texts[task["statement"][item]], texts[task["gold"][item]]),
                    *(texts[change["before"][place]], texts[change["after"][place]], change["rank"][place]),
                )
            )
    return found


def expected(run):
    """Return the same from the data frames, row by row."""
    rows = {(r.model, r.recipe, r.task, r.item_id): r for r in run.outcomes.itertuples()}
    found = set()
    for (model, recipe, task, item), row in rows.items():
        before = rows[model, "baseline", task, item]
        if before.correct != row.correct:
            number = item.rpartition("/")[2]
            statement = f"Thing {number} is ___." if task == "one" else f"What is thing {number}?"
            rank = (row if before.correct else before).rank
            kind = "forgotten" if before.correct else "gained"
            answers = (row.gold, before.prediction, row.prediction, int(rank))
            found.add((model, recipe, task, kind, statement, *answers))
    return found


def test_it_has_exactly_the_changed_answers(run):
    data = ledger_data(run.run)
    assert entries(data) == expected(run)
    assert (data.entries, data.left_out, data.most) == (len(expected(run)), 0, None)


def test_without_room_the_baselines_surest_answers_are_kept(run):
    data = ledger_data(run.run, most_entries=60)
    everything = expected(run)
    assert data.entries + data.left_out == len(everything)
    assert data.entries <= 60
    assert entries(data) < everything
    margins = {
        (r.model, r.task, r.item_id.rpartition("/")[2]): r.margin
        for r in run.outcomes.itertuples()
        if r.recipe == "baseline"
    }
    kept = entries(data)
    for model, task in (("org/a", "one"), ("org/b", "two")):
        own = [each for each in everything if each[:4] == (model, RECIPES[0], task, "forgotten")]
        sure = sorted(own, key=lambda each: -margins[model, task, "".join(filter(str.isdigit, each[4]))])
        assert {each for each in kept if each in own} == set(sure[: data.most])


def test_texts_that_are_too_large_leave_fewer_entries(run):
    whole = ledger_data(run.run)
    less = ledger_data(run.run, most_bytes=400)
    assert 0 < less.entries < whole.entries
    assert less.entries + less.left_out == whole.entries


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(1, 500))
def test_the_largest_number_that_fits_is_found(sizes, room):
    most = most_of_each(sizes, room)
    fits = [each for each in range(1, max(*sizes, 1) + 1) if sum(min(size, each) for size in sizes) <= room]
    assert most == max(fits, default=1)


@given(st.text(), st.integers(20, 60))
@example(f"{'0' * 19} 0", 20)
def test_shortened_texts_keep_both_ends(text, longest):
    short = shortened(text, longest)
    plain = " ".join(text.split())
    assert len(short) <= longest
    if len(plain) <= longest:
        assert short == plain
    else:
        assert plain.startswith(short.split(" … ")[0].rstrip()[:5])
        assert np.char.endswith(plain, short[-3:])
