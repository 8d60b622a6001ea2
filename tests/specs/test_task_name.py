"""Parsing and printing task names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetmeter.errors import UserError
from forgetmeter.probes.registry import canonical_name, declarations, find_task
from forgetmeter.specs.task_name import TaskName, TaskOption, natural_order

DECLARED = {each.name: each for each in declarations() if each.options}

relations = st.builds("{}{}".format, st.sampled_from(["", "P", "p", "Q_", "P0"]), st.integers(0, 9999))
lists = st.lists(relations, min_size=1, max_size=5).map("+".join)


paths = st.lists(st.sampled_from(["a", "b c", "..", ".", "ü.txt"]), min_size=1, max_size=4).map("/".join)
kinds = {"list": lists, "path": paths, "number": st.integers(1, 10**9 - 1).map(str)}


def values_of(option: TaskOption) -> st.SearchStrategy[str]:
    return st.sampled_from(option.allowed) if option.kind == "choice" else kinds[option.kind]


@st.composite
def names(draw: st.DrawFn) -> TaskName:
    declared = DECLARED[draw(st.sampled_from(sorted(DECLARED)))]
    chosen = draw(st.lists(st.sampled_from(sorted(declared.options)), unique=True))
    values = {key: values_of(declared.options[key]) for key in chosen}
    return declared.named({key: draw(value) for key, value in values.items()})


def parse_task_name(text: str) -> TaskName:
    declared = find_task(text)
    assert declared is not None
    return declared.parse(text)


@given(names())
def test_printing_and_parsing_round_trip(name: TaskName) -> None:
    assert parse_task_name(str(name)) == name
    assert str(parse_task_name(str(name))) == str(name)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("lama/trex", "lama/trex"),
        ("lama/trex:source=template:multi_token=false:relations=all", "lama/trex"),
        ("lama/trex:source=evidence:multi_token=true", "lama/trex:multi_token=true:source=evidence"),
        ("bear:relations=P103+P36+P19+P36", "bear:relations=P19+P36+P103"),
        (
            "lama/google_re:relations=place_of_death+date_of_birth",
            "lama/google_re:relations=date_of_birth+place_of_death",
        ),
        ("bear:relations=all+P36", "bear"),
        ("perplexity:window=model:file=./a//b/../c.txt", "perplexity:file=a/c.txt"),
        ("piqa", "piqa"),
        ("a plug-in's:name=odd", "a plug-in's:name=odd"),
    ],
)
def test_names_have_one_canonical_form(text: str, printed: str) -> None:
    assert canonical_name(text) == printed


def test_values() -> None:
    name = parse_task_name("lama/trex:relations=P36+P19")
    assert (name.value("source"), name.value("relations")) == ("template", "P19+P36")
    assert (name.listed("relations"), parse_task_name("bear").listed("relations")) == (("P19", "P36"), None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "lama/trex:sorce=evidence",
            "no option 'sorce'; did you mean 'source'? .allowed: source, multi_token, relations",
        ),
        (
            "lama/trex:source=evidences",
            "unknown value 'evidences'; did you mean 'evidence'? .allowed: template, evidence",
        ),
        ("lama/trex:multi_token=yes", "unknown value 'yes' .allowed: false, true"),
        ("lama/squad:source=evidence", "no option 'source' .allowed: multi_token"),
        ("lama/trex:evidence", "option 'evidence' of task 'lama/trex:evidence' is malformed"),
        ("lama/trex:", "malformed"),
        ("lama/trex:source=", "malformed"),
        ("lama/trex:source=evidence:source=template", "given twice"),
        ("bear:relations=P36,P37", "must be a list of names joined by"),
        ("bear:relations=../P36", "must be a list of names joined by"),
        ("bear:relations=P36+", "such as P19.P36"),
        ("bear:templates=0.5", r"such as 0\+1"),
    ],
)
def test_parse_errors_give_a_reason(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says.replace("?", r"\?")):
        parse_task_name(text)


def test_all_wrong_options_are_named() -> None:
    with pytest.raises(UserError) as caught:
        parse_task_name("lama/trex:a=1:b=2")
    assert len(str(caught.value).splitlines()) == 2


def test_numbers_in_names_count() -> None:
    assert sorted(["P103", "P19", "Q1", "P6", "P19b", "x"], key=natural_order) == [
        "P6",
        "P19",
        "P19b",
        "P103",
        "Q1",
        "x",
    ]
