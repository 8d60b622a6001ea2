"""Policies from files and options: every mistake with its line."""

from __future__ import annotations

import hashlib

import pytest

from forgetmeter.config.policy import policy_from_options, read_policy
from forgetmeter.errors import UserError
from forgetmeter.specs.budget import Budget

POLICY = """\
version: 1
conditions:
  - drop: {max: 1pt}
  - retained: {min: 98%, tasks: [facts, piqa], by: relation}
  - divergence: {max: 0.05, statistic: p99}
  - size: {max: 50%}
"""


def written(tmp_path, text):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    return path


def test_a_policy_is_read_with_its_hash(tmp_path) -> None:
    policy = read_policy(written(tmp_path, POLICY))
    drop, retained, divergence, size = policy.conditions
    assert (drop.quantity, drop.limit, drop.tasks, drop.extent) == ("drop", 0.01, (), "task")
    assert (retained.limit, retained.tasks, retained.extent) == (0.98, ("facts", "piqa"), "relation")
    assert (divergence.statistic, divergence.metric) == ("p99", "divergence_p99")
    assert size.limit == Budget(share=0.5)
    assert [each.source for each in policy.conditions] == [f"gate.yaml:{line}" for line in (3, 4, 5, 6)]
    assert policy.digest == hashlib.sha256(POLICY.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1", "gate.yaml:1: a policy is a mapping"),
        ("", "gate.yaml:1: a policy is a mapping"),
        ("version: 2\nconditions:\n- drop: {max: 1pt}", "gate.yaml:1: version must be the number 1, not '2'"),
        ("conditions:\n- drop: {max: 1pt}", "gate.yaml:1: version is missing; write 'version: 1'"),
        ("conditions:\n- drop: {max: 1pt}\nversion: true", "gate.yaml:3: version must be the number 1, not 'True'"),
        ("conditions:\n- drop: {max: 1pt}\nversion: 1.0", "gate.yaml:3: version must be the number 1, not '1.0'"),
        (
            'version: "1"\nconditions:\n- drop: {max: 1pt}',
            "gate.yaml:1: version must be the number 1, not the text '1'; remove the quotes",
        ),
        ("version: 1\nconditions: []", "gate.yaml:2: conditions must be a list"),
        ("version: 1\nmargin: 1pt\nconditions:\n- drop: {max: 1pt}", "gate.yaml:2: unknown key 'margin'"),
        ("version: 1\nconditions:\n- dropp: {max: 1pt}", "gate.yaml:3: unknown quantity 'dropp'; did you mean 'drop'"),
        (
            "version: 1\nconditions:\n- drop: 1pt",
            "gate.yaml:3: drop needs its limit, as in 'drop: {max: …}', not '1pt' (allowed: points such as 1pt, or",
        ),
        (
            "version: 1\nconditions:\n- drop: {by: task}",
            "gate.yaml:3: drop needs its limit, as in 'drop: {max: …}' (allowed: points such as 1pt, or",
        ),
        ("version: 1\nconditions:\n- retained: ", "gate.yaml:3: retained needs its limit, as in 'retained: {min: …}'"),
        (
            "version: 1\nconditions:\n- drop:\n    min: 1pt",
            "gate.yaml:4: drop has a largest value, not a smallest: write 'max: 1pt' instead of 'min: 1pt'",
        ),
        (
            "version: 1\nconditions:\n- retained: {max: 98%}",
            "gate.yaml:3: retained has a smallest value, not a largest: write 'min: 98%' instead of 'max: 98%'",
        ),
        ("version: 1\nconditions:\n- drop: {max: 1}", "gate.yaml:3: '1' is ambiguous"),
        ("version: 1\nconditions:\n- drop:\n    max: 1pt\n    task: [a]", "gate.yaml:5: unknown key 'task' in drop"),
        ("version: 1\nconditions:\n- drop: {max: 1pt, tasks: piqa}", "tasks must be a list of names, not 'piqa'"),
        ("version: 1\nconditions:\n- drop:\n    max: 1pt\n    tasks:", "gate.yaml:5: tasks must be a list of names"),
        ("version: 1\nconditions:\n- drop:\n    max: 1pt\n    tasks: []", "gate.yaml:5: tasks must be a list of names"),
        ("version: 1\nconditions:\n- drop: {max: 1pt, tasks: 5}", "gate.yaml:3: tasks must be a list of names"),
        ("version: 1\nconditions:\n- drop: {max: 1pt, by: }", "gate.yaml:3: unknown extent 'None'"),
        ("version: 1\nconditions:\n- drop: {max: 1pt, by: [task]}", "gate.yaml:3: unknown extent"),
        ("version: 1\nconditions:\n- divergence: {max: 1, statistic: }", "gate.yaml:3: unknown statistic 'None'"),
        ("version: 1\nconditions:\n- divergence: {max: .inf}", "gate.yaml:3: 'Infinity' is not a valid limit"),
        ("version: 1\nconditions:\n- drop: {max: -1pt}", "gate.yaml:3: '-1pt' is not a valid limit"),
        ("version: 1\nconditions:\n- &a drop: {max: *a}", "gate.yaml"),
        ("version: 1\nconditions:\n- drop: &a {max: 1pt, <<: *a}", "gate.yaml"),
        ('version: 1\nconditions:\n- "a\\nb": {max: 1pt}', "gate.yaml:3: unknown quantity 'a b'"),
        ("version: 1\nconditions:\n- drop: {max: " + "9" * 5000 + "}", "gate.yaml"),
        ("version: 1\nconditions:\n- drop: {max: 0x" + "f" * 5000 + "}", "gate.yaml:3: "),
        ("version: 1\nconditions:\n- size: {max: " + "9" * 5000 + "B}", "gate.yaml:3: "),
        ("version: 1\nconditions:\n-", "gate.yaml:3: a condition is one quantity"),
        ("version: 1\nconditions: {drop: {max: 1pt}}", "gate.yaml:2: conditions must be a list"),
        ("version: 1\nconditions:\n- drop: {max: 1pt, by: item}", "unknown extent 'item'"),
        ("version: 1\nconditions:\n- divergence: {max: 1, statistic: max}", "unknown statistic 'max'"),
        ("version: 1\nconditions:\n- size: {max: 50%, tasks: [a]}", "unknown key 'tasks' in size"),
        ("version: 1\nconditions: [{drop: {max: 1pt}, size: {max: 1}}]", "a condition is one quantity"),
        ("version: 1\nconditions: [drop", "not valid YAML"),
        ("version: 1\nversion: 1", "duplicate key"),
        (
            "version: 1\nconditions:\n  - drop: {max: 1pt}\nconditions:\n  - drop: {max: 2pt}\n",
            ":4: duplicate key 'conditions' (first on line 2)",
        ),
    ],
)
def test_mistakes_name_their_line(tmp_path, text, words) -> None:
    with pytest.raises(UserError) as caught:
        read_policy(written(tmp_path, text))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_small_numbers_and_aliases_are_read(tmp_path) -> None:
    text = "version: 1\nconditions:\n- divergence: {max: 0.00005}\n- divergence: &a {max: 5e-05}\n- divergence: *a"
    assert [each.limit for each in read_policy(written(tmp_path, text)).conditions] == [5e-5] * 3


def test_all_mistakes_are_reported_together(tmp_path) -> None:
    with pytest.raises(UserError) as caught:
        read_policy(written(tmp_path, "version: 1\nconditions:\n- drop: {max: 1}\n- size: {max: x}\n- foo: {}"))
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == [
        "gate.yaml:3:",
        "gate.yaml:4:",
        "gate.yaml:5:",
    ]


def test_a_file_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_policy(tmp_path / "missing.yaml")
    with pytest.raises(UserError, match="is a folder"):
        read_policy(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not UTF-8; save it as UTF-8"):
        read_policy(tmp_path / "binary.yaml")


def test_options_are_conditions_and_tasks_apply_to_those_with_right_answers() -> None:
    policy = policy_from_options({"drop": "1pt", "divergence": 0.1, "size": "50%"}, tasks=["piqa"])
    assert [(each.quantity, each.tasks, each.source) for each in policy.conditions] == [
        ("drop", ("piqa",), "--margin"),
        ("divergence", (), "--max-divergence"),
        ("size", (), "--max-size"),
    ]
    assert policy.digest is None
    (agreement,) = policy_from_options({"agreement": "99%"}).conditions
    assert (agreement.limit, agreement.source) == (0.99, "--min-agreement")
    with pytest.raises(UserError) as caught:
        policy_from_options({"drop": "1", "retained": "2"})
    assert str(caught.value).count("\n") == 1
    assert "--min-retained: '2' is not a valid limit" in str(caught.value)


@pytest.mark.parametrize("limits", [{}, {"divergence": 0.1}, {"size": "50%", "agreement": "99%"}])
def test_tasks_without_a_condition_on_right_answers_are_refused(limits) -> None:
    with pytest.raises(UserError, match=r"--tasks needs --margin, --min-retained or --min-accuracy, and would have no"):
        policy_from_options(limits, tasks=["piqa"])
