"""Cells on a Ray cluster of two nodes: the same answers, also if a node is lost.

Covers ``executors.ray_worker``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from stored_tables import stored

from forgetmeter.errors import UserError
from forgetmeter.executors import ray_worker
from forgetmeter.executors.executor import CellUnit, Progress, Read
from forgetmeter.executors.handing_out import SHARE_READ, HandingOut
from forgetmeter.executors.ray_worker import Desk, WorkerStart, run_share
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.results.results import open_run
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.study.running import run

MEMORY = 4 * 2**30


class Seen(Progress):
    """Notes stages and finished cells, and does something once, after a call."""

    def __init__(self, then: Any = None, *, after: str = "cell_finished") -> None:
        self.stages: list[str] = []
        self.finished: list[str] = []
        self.started: Counter[str] = Counter()
        self._then, self._after = then, after

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def cell_started(self, cell: Cell, *, items: int) -> None:
        self.started[f"{cell.variant.id} {cell.task}"] += 1
        self._do("cell_started")

    def cell_finished(self, cell: Cell, *, seconds: float) -> None:
        self.finished.append(f"{cell.variant.recipe} {cell.task}")
        self._do("cell_finished")

    def _do(self, name: str) -> None:
        if self._then is not None and name == self._after:
            then, self._then = self._then, None
            then()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    node = {"num_cpus": 1, "memory": MEMORY, "object_store_memory": 100 * 2**20}
    # A lost node is noticed soon.
    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    found = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False, "_system_config": soon})
    found.add_node(**node)
    yield found
    found.shutdown()


def test_the_answers_are_those_of_one_process(
    study: dict[str, Any], tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forgetmeter.executors.handing_out._FEWEST_ITEMS", 1)
    # Paths may be relative.
    monkeypatch.chdir(tmp_path)
    study |= {"candidates": ["./other"], "output": "run"}
    alone = undisturbed(study, tmp_path)
    progress = Seen()
    finished = run(study, executor="ray", address=cluster.address, progress=progress)
    assert (finished.computed, finished.failures) == (15, ())
    assert stored(study["output"]) == stored(alone["output"])
    assert "starting 2 workers" in progress.stages
    assert sorted(progress.finished) == sorted({f"{cell.recipe} {cell.task}" for cell in cells(study)})
    # Some are read in shares.
    assert max(progress.started.values()) >= 3
    assert not ray.is_initialized()
    assert run(study, executor="ray", address=cluster.address).computed == 0


@ray.remote(num_cpus=1)
class Busy:
    """Takes the only CPU of a node."""


@pytest.mark.timeout(900)
def test_cells_of_a_lost_node_are_run_by_others(study: dict[str, Any], tmp_path: Path, cluster: Cluster) -> None:
    study |= {"tasks": study["tasks"][:2], "evaluation.limit": 10}
    alone = undisturbed(study, tmp_path)
    ray.init(cluster.address, log_to_driver=False)
    try:
        busy = [Busy.remote() for _ in range(2)]
        ray.get([each.__ray_ready__.remote() for each in busy])
        # The only node with room for a worker, until it is lost.
        added = cluster.add_node(num_cpus=1, memory=MEMORY, object_store_memory=100 * 2**20)

        def lose() -> None:
            for each in busy:
                ray.kill(each)
            cluster.remove_node(added, allow_graceful=False)

        progress = Seen(then=lose, after="cell_started")
        finished = run(study, executor="ray", workers=1, address=cluster.address, progress=progress)
    finally:
        ray.shutdown()
    assert (finished.computed, finished.failures) == (10, ())
    assert stored(study["output"]) == stored(alone["output"])
    assert any("was lost" in stage for stage in progress.stages)


class Killing(Seen):
    """Ends a node at random, without notice, and adds another one, as often as told."""

    def __init__(self, cluster: Cluster, *, times: int) -> None:
        super().__init__()
        self._cluster, self._dice, self.left = cluster, random.Random(0), times
        self.node = self._added()

    def cell_started(self, cell: Cell, *, items: int) -> None:
        if self.left and self._dice.random() < 0.3:
            self.left -= 1
            self._cluster.remove_node(self.node, allow_graceful=False)
            self.node = self._added()

    def _added(self) -> Any:
        return self._cluster.add_node(num_cpus=1, memory=MEMORY, object_store_memory=100 * 2**20)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_nodes_killed_at_random_change_nothing(study: dict[str, Any], tmp_path: Path, cluster: Cluster) -> None:
    levels = [f"l1_unstructured:overall:{level / 100}" for level in range(1, 30)]
    study |= {"recipes": levels, "tasks": study["tasks"][:2], "evaluation.limit": 10}
    alone = undisturbed(study, tmp_path)
    progress = Killing(cluster, times=max(2, int(os.environ.get("FORGETMETER_KILLS", "8")) // 10))
    finished = run(study, executor="ray", address=cluster.address, progress=progress)
    cluster.remove_node(progress.node)
    assert progress.left == 0
    assert finished.failures == ()
    assert stored(study["output"]) == stored(alone["output"])
    assert any("was lost" in stage for stage in progress.stages)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_that_hangs_is_ended_and_its_cell_fails(study: dict[str, Any], cluster: Cluster) -> None:
    def stop() -> None:
        found = [each for each in psutil.process_iter() if each.name().startswith("ray::run_share")]
        found[0].suspend()

    study |= {"tasks": study["tasks"][1:2], "evaluation.limit": 400}
    progress = Seen(then=stop, after="cell_started")
    finished = run(study, executor="ray", address=cluster.address, time_limit=20, progress=progress)
    errors = {failure.error for failure in finished.failures}
    assert errors == {"TimeoutError: it took longer than 20 s (--time-limit)"}
    assert run(study).failures == ()


@pytest.mark.slow
def test_variants_stop_as_on_one_machine(study: dict[str, Any], tmp_path: Path, cluster: Cluster) -> None:
    study |= {"tasks": study["tasks"][1:2], "evaluation.limit": 400, "evaluation.precision": 0.2}
    alone = undisturbed(study, tmp_path)
    run(study, executor="ray", address=cluster.address)
    items = {cell.recipe: cell.items for cell in cells(study)}
    assert min(items.values()) < items["baseline"]
    assert items == {cell.recipe: cell.items for cell in cells(alone)}


def test_what_cannot_run_on_a_cluster_is_said_in_one_line(
    study: dict[str, Any], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(says: str, **options: Any) -> None:
        with pytest.raises(UserError, match=says) as caught:
            run({**study, "tasks": ["facts:templates=0"], **options.pop("changes", {})}, **options)
        assert "\n" not in str(caught.value)

    refused("executor local takes no address; omit --address", address="auto")
    for address in ("127.0.0.1:1", "nonsense"):
        refused(
            f"the Ray cluster at '{address}' cannot be reached .*; check --address", executor="ray", address=address
        )
    refused("cannot write to 'memory://x'", executor="ray", changes={"output": "memory://x"})
    monkeypatch.setattr("forgetmeter.executors.ray_cluster._LIBRARIES", 10**12)
    refused(
        "needs a node with a CPU and 1,?000.. GB of memory, and the cluster has none",
        executor="ray",
        address=cluster.address,
    )
    find = importlib.util.find_spec
    monkeypatch.setattr("forgetmeter.executors.registry.find_spec", lambda name: None if name == "ray" else find(name))
    refused(r"executor ray needs Ray; install it with: pip install 'forgetmeter\[ray\]'", executor="ray")


def test_cells_of_a_lost_worker_are_taken_until_they_are_put_back() -> None:
    """Otherwise, whoever looks in between finds no cell taken and none left, and stops."""

    async def lose() -> None:
        model = parse_model_reference("org/model")
        given = [Cell(Variant("v", model, parse_recipe("baseline")), task) for task in ("one", "two")]
        task = SimpleNamespace(items=[])
        work: Any = SimpleNamespace(cells=given, stop=None, tasks={"one": task, "two": task})
        desk = Desk(HandingOut(work, 1))
        assert await desk.take(1, [("stage", ("loading",), {})]) == CellUnit(given)
        assert await desk.taken(1) == given
        news = await desk.news()
        assert (list(news.told), news.is_done) == ([("stage", ("loading",), {})], False)
        assert await desk.put_back(1, given[1:], hopeless=None, others=0) == ([], given[1:], 1)
        assert await desk.take(2, []) == CellUnit(given[1:])
        assert await desk.take(2, [("cell_finished", (given[1],), {})]) == CellUnit(())
        assert (await desk.news()).is_done

    asyncio.run(lose())


def test_a_worker_that_waits_is_woken_by_the_last_share_of_a_cell() -> None:
    async def read() -> None:
        cell = Cell(Variant("v", parse_model_reference("org/model"), parse_recipe("baseline")), "one")
        work: Any = SimpleNamespace(
            cells=[cell], stop=None, tasks={"one": SimpleNamespace(items=[SimpleNamespace(asks=None)] * 256)}
        )
        desk = Desk(HandingOut(work, 1))
        first = await desk.take(1, [])
        second = await desk.take(1, [(SHARE_READ, (first, Read()), {})])
        waiting = asyncio.create_task(desk.take(2, []))
        await asyncio.sleep(0)
        await desk.tell(1, [(SHARE_READ, (second, Read()), {})])
        stored = await asyncio.wait_for(waiting, 10)
        assert (stored.cells, stored.share) == ([cell], None)
        assert await desk.left() == 0

    asyncio.run(read())


def test_calls_to_the_desk_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray may run calls to an asynchronous actor in another order."""
    sent: list[str] = []
    arrived: list[str] = []

    def remote(call: str, answer: CellUnit | None) -> SimpleNamespace:
        def send(*_: object) -> tuple[str, CellUnit | None]:
            assert sent == arrived
            sent.append(call)
            return call, answer

        return SimpleNamespace(remote=send)

    def get(reference: tuple[str, CellUnit | None]) -> CellUnit | None:
        arrived.append(reference[0])
        return reference[1]

    monkeypatch.setattr(ray_worker, "ray", SimpleNamespace(get=get))
    mail = ray_worker._Mail(SimpleNamespace(tell=remote("tell", None), take=remote("take", CellUnit(()))), 1)
    mail.tell("stage", ("one",), {})
    mail._sent = 0.0
    mail.tell("stage", ("two",), {})
    assert list(mail.taken()) == []
    assert arrived == ["tell", "tell", "take"]


def test_a_node_with_another_version_says_so() -> None:
    start = WorkerStart(worker=1, cpus=1, beside=1, folder=".", version="0.0.1")
    with pytest.raises(UserError, match="has forgetmeter .*, but 0.0.1 started the run; install the same version"):
        run_share(None, start, None)  # type: ignore[arg-type]


def undisturbed(study: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Run a study in this process, and return it as it was run."""
    alone = study | {"output": str(tmp_path / "alone")}
    run(alone)
    return alone


def cells(study: dict[str, Any]) -> Any:
    return open_run(study["output"]).summary.all_cells
