"""The shipped standards: what they know, and which weights hold it.

Covers ``standards.design``.
"""

import pytest
import torch

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.models.loading import load
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.models.standard import SHIPPED
from forgetmeter.probes.loading import load_task
from forgetmeter.scoring.engine import Engine
from forgetmeter.specs.model_reference import STANDARDS
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.standards.design import DESIGNS, make_model

_MOST_BYTES = 5_000_000


@pytest.fixture(scope="module", params=STANDARDS)
def standard(request):
    torch.set_num_threads(1)
    return load(f"standard:{request.param}")


class _Asked:
    def __init__(self, loaded, task, limit=None):
        self._engine, self._task = Engine(loaded), load_task(task, limit=limit)
        self._prepared = self._engine.prepare(self._task.items)

    def right(self):
        outcomes = self._task.judge(self._engine.score(self._prepared)).outcomes
        assert len(outcomes) == len(self._task.items), "every fact can be asked"
        return [outcome.correct for outcome in outcomes]


def _share(right):
    return sum(right) / len(right)


@pytest.mark.parametrize("template", [0, 1, 2])
def test_it_knows_the_facts_as_taught(standard, template):
    assert _share(_Asked(standard, f"facts:templates={template}").right()) >= 0.95


def test_it_knows_most_of_them_in_a_phrasing_it_never_saw(standard):
    assert _share(_Asked(standard, "facts:templates=3").right()) > 0.5


def test_it_is_small_enough_to_ship(standard):
    folder = SHIPPED / standard.family
    assert sum(file.stat().st_size for file in folder.iterdir()) <= _MOST_BYTES


def test_its_embeddings_are_random_numbers_that_no_training_touched(standard):
    untaught = make_model(DESIGNS[standard.family], standard.tokenizer, seed=0).get_input_embeddings().weight
    assert torch.equal(standard.model.get_input_embeddings().weight, untaught)
    assert torch.equal(standard.model.get_output_embeddings().weight, untaught)


def test_without_its_layers_it_knows_no_more_than_chance(standard):
    asked = _Asked(standard, "facts:templates=0")
    chance = sum(1 / len(item.choices) for item in load_task("facts:templates=0").items) / len(asked.right())
    with torch.no_grad():
        kept = {each.parameter: standard.model.get_parameter(each.parameter).clone() for each in _layers(standard)}
        for name in kept:
            standard.model.get_parameter(name).zero_()
        left = _share(asked.right())
        for name, weight in kept.items():
            standard.model.get_parameter(name).copy_(weight)
    assert left < 3 * chance


def test_what_it_retains_falls_gradually(standard):
    """For at least two scopes, three levels retain between 10% and 90% of what was known."""
    asked, compressor = _Asked(standard, "facts:templates=0", limit=20), Compressor(standard)
    known = asked.right()
    curves = 0
    for scope in ("attention", "feed_forward", "overall"):
        retained = []
        for tenths in range(1, 10):
            with compressor.applied(parse_recipe(f"l1_unstructured:{scope}:{tenths / 10}")):
                still = sum(now and before for now, before in zip(asked.right(), known, strict=True))
            retained.append(still / sum(known))
        curves += sum(0.1 < value < 0.9 for value in retained) >= 3
    assert curves >= 2


def _layers(standard):
    return [matrix for matrix in weight_map(standard.model) if matrix.role.component in ("attention", "feed_forward")]
