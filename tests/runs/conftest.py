"""A made-up study with its items and outcomes for the tests in this folder."""

from __future__ import annotations

import pytest

from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.item import Item, Request, Requests, TaskDescription
from forgetmeter.records.outcome import Outcome
from forgetmeter.runs.run_store import SCHEMA_VERSION
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

MODEL = parse_model_reference("org/tiny")


@pytest.fixture
def study() -> dict:
    return {
        "schema_version": SCHEMA_VERSION,
        "identity": {
            "models": ["org/tiny"],
            "recipes": ["baseline", "l1_unstructured:overall:0.5"],
            "tasks": ["piqa", "lama/trex"],
            "evaluation": {"limit": 100, "dtype": "float32"},
        },
        "variants": [
            {"id": "aaaa", "model": "org/tiny", "recipe": "baseline"},
            {"id": "bbbb", "model": "org/tiny", "recipe": "l1_unstructured:overall:0.5"},
        ],
    }


@pytest.fixture
def cell() -> Cell:
    return Cell(Variant("bbbb", MODEL, parse_recipe("l1_unstructured:overall:0.5")), "lama/trex")


@pytest.fixture
def description() -> TaskDescription:
    return TaskDescription("lama/trex", "1", "LAMA 1.1", "acc", 34039)


@pytest.fixture
def items() -> list[Item]:
    return [
        Item(
            id=f"lama/trex/P36/{index}",
            content_hash=f"{index:064x}",
            asks=Requests(
                [Request("The capital of France is", " Paris"), Request("The capital of France is", " Łódź")]
            ),
            choices=("Paris", "Łódź"),
            gold=(0,),
            fields={"relation": "P36", "subject": "France"},
        )
        for index in range(3)
    ]


@pytest.fixture
def outcomes() -> list[Outcome]:
    return [
        Outcome("lama/trex/P36/0", True, "Paris", "Paris", 1, 0.5, (-1.0, -1.5), {"acc": 1.0, "acc_norm": 0.0}),
        Outcome("lama/trex/P36/1", False, "Łódź", "Paris", 2, -0.5, (-2.0, -1.5), {"acc": 0.0}),
        Outcome("lama/trex/P36/2", False, "Łódź", "Paris", None, None, (), {}),
    ]
