"""The cells of a study, their order and ids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forgetmeter.config.study import Evaluation, Study
from forgetmeter.errors import UserError
from forgetmeter.plan.planning import make_plan
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import Recipe, parse_recipe

ONE, OTHER = parse_model_reference("./one"), parse_model_reference("./other")
STUDY = Study((ONE, OTHER), (Recipe(), parse_recipe("dynamic_int8:head")), ("piqa", "boolq"), Evaluation(), "out")
IDENTITIES = {ONE: "aa", OTHER: "bb"}


def ids(study: Study, **identities: str) -> list[str]:
    merged = IDENTITIES | {model: identities[model.place[2:]] for model in IDENTITIES if model.place[2:] in identities}
    return [variant.id for variant in make_plan(study, merged).variants]


def test_cells_come_model_by_model_and_variant_by_variant() -> None:
    plan = make_plan(STUDY, IDENTITIES)
    order = [(str(cell.variant.model), str(cell.variant.recipe), cell.task) for cell in plan.cells]
    assert order == [
        (model, recipe, task)
        for model in ("./one", "./other")
        for recipe in ("baseline", "dynamic_int8:head")
        for task in ("piqa", "boolq")
    ]
    assert len({variant.id for variant in plan.variants}) == 4


def test_ids_depend_only_on_what_changes_answers() -> None:
    before = ids(STUDY)
    assert ids(STUDY) == before
    assert ids(replace(STUDY, output="elsewhere", evaluation=Evaluation(device="cpu", batch_tokens=7))) == before
    assert ids(STUDY, one="cc")[:2] != before[:2]
    assert ids(STUDY, one="cc")[2:] == before[2:]
    for changed in (Evaluation(dtype="bfloat16"), Evaluation(seed=1)):
        assert not set(ids(replace(STUDY, evaluation=changed))) & set(before)
    # The same content under another name is the same variant, so paths do not matter.
    elsewhere = make_plan(replace(STUDY, models=(OTHER,)), {OTHER: "aa"})
    assert [variant.id for variant in elsewhere.variants] == before[:2]


def test_one_model_under_two_names_is_refused() -> None:
    with pytest.raises(UserError, match="have the same content"):
        ids(STUDY, other="aa")
