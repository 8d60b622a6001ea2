"""If memory runs out, batches are halved, and the answers stay those of smaller batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from forgetmeter.executors.executor import Progress
from forgetmeter.models.loading import load
from forgetmeter.probes.loading import load_task
from forgetmeter.results.results import open_run
from forgetmeter.scoring import engine as engines
from forgetmeter.scoring.engine import Engine
from forgetmeter.study.running import run

TASK = "facts:templates=0"
ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    MemoryError(),
)


def small_memory(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> None:
    """Have reading fail for batches of more than this many tokens."""
    read: Callable[..., Any] = engines.read

    def limited(model: Any, batch: Any, forward: Any) -> Any:
        if batch.tokens.numel() > most:
            raise error
        return read(model, batch, forward)

    monkeypatch.setattr(engines, "read", limited)


def check_halved(family: str, error: Exception) -> None:
    """Check that the answers are those of an engine that has the size of batches in the end from the start."""
    loaded, items = load(f"standard:{family}"), load_task(TASK, limit=40).items
    engine = Engine(loaded, batch_tokens=1024)
    prepared = engine.prepare(items)
    most = max(batch.tokens.shape[1] for batch in prepared.batches)
    assert most < max(batch.tokens.numel() for batch in prepared.batches) / 3
    with pytest.MonkeyPatch.context() as patch:
        small_memory(patch, most, error)
        found = engine.score(prepared)
    assert engine.batch_tokens < 1024
    plain = Engine(loaded, batch_tokens=engine.batch_tokens)
    assert found == plain.score(plain.prepare(items))


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu", "mps", "python"])
def test_batches_are_halved_until_they_fit(error: Exception) -> None:
    check_halved("decoder", error)


@pytest.mark.parametrize("family", ["encoder", "encoder-decoder"])
def test_other_families_do_the_same(family: str) -> None:
    check_halved(family, ERRORS[0])


def test_a_single_text_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    small_memory(monkeypatch, 0, ERRORS[0])
    engine = Engine(load("standard:decoder"))
    with pytest.raises(torch.OutOfMemoryError):
        engine.score(engine.prepare(load_task(TASK, limit=4).items))


def test_other_errors_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    small_memory(monkeypatch, 200, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    engine = Engine(load("standard:decoder"))
    with pytest.raises(RuntimeError, match="shapes"):
        engine.score(engine.prepare(load_task(TASK, limit=40).items))


class Said(Progress):
    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)


def test_a_run_says_so_once_and_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    study = {"models": ["standard:decoder"], "recipes": ["l1_unstructured:overall:0.5"], "tasks": [TASK]}
    run({**study, "output": str(tmp_path / "alone")})
    small_memory(monkeypatch, 600, ERRORS[0])
    progress = Said()
    finished = run({**study, "output": str(tmp_path / "run")}, progress=progress)
    assert finished.failures == ()
    said = [stage for stage in progress.stages if "memory" in stage]
    assert said == ["memory ran out: batches have at most 512 tokens from now on"]
    found, alone = (open_run(str(tmp_path / name)).outcomes for name in ("run", "alone"))
    assert list(found["correct"]) == list(alone["correct"])
    for one, other in zip(found["loglikelihoods"], alone["loglikelihoods"], strict=True):
        assert one == pytest.approx(other, abs=1e-4)
