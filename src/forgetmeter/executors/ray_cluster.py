"""Runs cells on a Ray cluster."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch

from forgetmeter.basics.plural import counted
from forgetmeter.basics.safe_path import SAFE_PATH, safe_path
from forgetmeter.errors import UserError, one_line
from forgetmeter.executors import ray_worker
from forgetmeter.executors.executor import Progress, Work
from forgetmeter.executors.handing_out import HandingOut, late, loss
from forgetmeter.executors.local import LocalExecutor, fail
from forgetmeter.models.on_disk.quantization import float32_bytes
from forgetmeter.records.cell import Cell
from forgetmeter.version import __version__

_COPIES = 2.5
"""Memory of a worker by that of a model's weights: those of a variant beside the original ones, and activations."""
_LIBRARIES = 2 * 2**30
"""Bytes that the libraries take."""
_PATIENCE = 10.0
"""Seconds in which a cluster has to accept a connection, and a worker to end by itself."""
_SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD")
_SETTINGS = (
    "HF_",
    "FORGETMETER_",
    "TRANSFORMERS_",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "THP_MEM_ALLOC_ENABLE",
)


class RayExecutor:
    """Runs cells on a Ray cluster, each worker with the model in its memory.

    A worker takes the cells of a variant, and the next one when it has stored them. With a precision, variants wait for
    their baseline. If a worker is lost, its cells are run by others. Engines answer in this process.

    Args:
        workers: Number of workers; by default, as many as the cluster's CPUs or GPUs and its memory allow.
        address: ``HOST:PORT`` of the cluster, ``auto`` for the one on this machine, or ``ray://HOST:PORT``; by default,
            one is started on this machine.
        time_limit: Seconds that a cell may take, with loading and compressing; its worker is ended and replaced.
    """

    def __init__(
        self, *, workers: int | None = None, address: str | None = None, time_limit: float | None = None
    ) -> None:
        self._workers, self._address, self._time_limit = workers, address, time_limit

    def execute(self, work: Work, progress: Progress) -> None:
        """Run all cells.

        Raises:
            UserError: As for ``LocalExecutor``; or the cluster cannot be reached, no node has enough memory, or a node
                does not see the run; or the cluster fails as a whole.
        """
        if not work.store.folder.is_shared:
            raise UserError(f"the workers of a cluster cannot write to '{work.store.location}'; choose another --out")
        others, of_engines = work.by_runtime()
        if others.cells:
            with _connected(self._address):
                _Workers(others, progress, self._workers, self._time_limit).run()
        LocalExecutor().execute(of_engines, progress)


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    with ExitStack() as opened:
        if not ray.is_initialized():
            # Ray's workers would import from the folder in which it is started, which may be a model's and contain
            # code. It must exist as long as they do.
            empty = opened.enter_context(tempfile.TemporaryDirectory())
            with chdir(empty), safe_path():
                _connect(address)
            opened.callback(ray.shutdown)
        try:
            yield
        except ray.exceptions.RayError as error:
            raise UserError(
                f"the Ray cluster has failed ({one_line(error)}); run the same command again to continue with what is "
                "stored"
            ) from error


def _connect(address: str | None) -> None:
    settings = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_SETTINGS) and not any(word in name for word in _SECRET)
    }
    try:
        if address not in (None, "auto"):
            host, _, port = address.removeprefix("ray://").rpartition(":")
            # Ray itself would try for a minute.
            socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
        on_termination = signal.getsignal(signal.SIGTERM)
        ray.init(
            address or "local",
            runtime_env={"env_vars": {**settings, SAFE_PATH: "1"}},
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=None if address else False,
            configure_logging=False,
        )
        # Ray would exit at once.
        signal.signal(signal.SIGTERM, on_termination)
    except Exception as error:  # Ray raises any
        where = f"the Ray cluster at '{address}' cannot be reached" if address else "Ray cannot be started"
        raise UserError(f"{where} ({one_line(error)}); check --address") from error


@dataclass(frozen=True)
class _Share:
    """What each worker takes of its node.

    Attributes:
        memory: Bytes.
        beside: Number of workers on a node, of which this is one.
    """

    workers: int
    cpus: int
    gpus: int
    memory: int
    beside: int


class _Workers:
    """Starts workers, passes on what they report, and starts others if they are lost."""

    def __init__(self, work: Work, progress: Progress, number: int | None, time_limit: float | None) -> None:
        self._work, self._progress, self._time_limit = work, progress, time_limit
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._share = _share_of(work, nodes, number)
        units = HandingOut(work, self._share.workers)
        self._number = min(self._share.workers, units.most_workers)
        # On the node that starts the run, so that losing any other node does not lose the list of cells.
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        desk = ray.remote(ray_worker.Desk).options(num_cpus=0, scheduling_strategy=here)
        self._desk: Any = desk.remote(units, time_limit)
        share = self._share
        # A process of its own for each worker, so that a model's memory is free afterwards.
        resources = {"num_cpus": share.cpus, "num_gpus": share.gpus, "memory": share.memory}
        self._task = ray.remote(**resources, max_retries=0, max_calls=1)(ray_worker.run_share)
        try:
            self._sent = ray.put(work)
        except Exception as error:
            raise UserError(
                f"the study cannot be sent to other processes ({one_line(error)}); run it without --executor ray"
            ) from error
        self._running: dict[Any, int] = {}
        self._overdue: dict[int, Cell] = {}
        self._started = 0
        self._is_done = False

    def run(self) -> None:
        self._progress.stage(f"starting {counted(self._number, 'worker')}")
        try:
            for _ in range(self._number):
                self._start()
            news = self._desk.news.remote()
            # A worker that has nothing left to do may hang at its end.
            while not self._is_done:
                if not self._running and ray.get(self._desk.left.remote()):
                    # A share that was reported late makes another unit.
                    self._start()
                done, _ = ray.wait([news, *self._running])
                for each in done:
                    if each is news:
                        self._report(ray.get(news))
                        news = self._desk.news.remote()
                    else:
                        self._end(each)
            if self._running:
                ray.wait(list(self._running), num_returns=len(self._running), timeout=_PATIENCE)
        finally:
            for each in self._running:
                ray.cancel(each, force=True)
            ray.kill(self._desk)

    def _start(self) -> None:
        self._started += 1
        share = self._share
        start = ray_worker.WorkerStart(self._started, share.cpus, share.beside, str(Path.cwd()), __version__)
        task = self._task.remote(self._desk, start, [self._sent])
        self._running[task] = self._started

    def _report(self, news: ray_worker.News) -> None:
        for name, given, named in news.told:
            getattr(self._progress, name)(*given, **named)
        self._is_done = news.is_done
        self._overdue.update(news.overdue)
        for task, worker in self._running.items():
            if worker in news.overdue:
                ray.cancel(task, force=True)

    def _end(self, task: Any) -> None:  # noqa: ANN401
        """Have the cells of a worker that was lost run elsewhere."""
        worker = self._running.pop(task)
        try:
            ray.get(task)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise UserError(str(cause) if isinstance(cause, UserError) else one_line(cause)) from error
        except ray.exceptions.RayError as error:
            self._retry(worker, one_line(error))

    def _retry(self, worker: int, why: str) -> None:
        hopeless = self._overdue.get(worker)
        cells = self._work.undone(ray.get(self._desk.taken.remote(worker)))
        put_back = self._desk.put_back.remote(worker, cells, hopeless=hopeless, others=len(self._running))
        given_up, again, units = ray.get(put_back)
        for cell in given_up:
            fail(self._work, self._progress, cell, late(self._time_limit) if cell == hopeless else loss(why))
        if again:
            self._progress.stage(f"worker {worker} was lost; {counted(len(again), 'cell')} will be run by others")
        # Also those that were not replaced before.
        while len(self._running) < min(self._number, units):
            self._start()


def _share_of(work: Work, nodes: Sequence[Mapping[str, float]], number: int | None) -> _Share:
    """Return how much of a node each worker takes.

    Raises:
        UserError: No node has enough memory.
    """
    models = {cell.variant.source for cell in work.cells}
    width = getattr(torch, work.evaluation.dtype).itemsize / torch.float32.itemsize
    sizes = {model: width * float32_bytes(work.checkpoints[model].skeleton) for model in models}
    largest = max(sizes, key=sizes.__getitem__)
    memory = int(_COPIES * sizes[largest]) + _LIBRARIES
    wants_gpu = str(work.evaluation.device).startswith("cuda") or (
        work.evaluation.device == "auto" and any(node.get("GPU", 0) >= 1 for node in nodes)
    )

    def room(node: Mapping[str, float]) -> int:
        by = [node.get("CPU", 0), node.get("memory", 0) // memory, *([node.get("GPU", 0)] if wants_gpu else ())]
        return int(min(by))

    rooms = [room(node) for node in nodes]
    if not any(rooms):
        most = max((node.get("memory", 0) for node in nodes), default=0)
        gpu = ", a GPU" if wants_gpu else ""
        raise UserError(
            f"a worker with model {largest} needs a node with a CPU{gpu} and {memory / 1e9:.1f} GB of memory, and the "
            f"cluster has none (most memory of a node: {most / 1e9:.1f} GB); add such a node"
        )
    workers = number or sum(rooms)
    beside = max(1, min(max(rooms), -(-workers // sum(each > 0 for each in rooms))))
    cpus = max(1, int(min(node["CPU"] for node, each in zip(nodes, rooms, strict=True) if each) // beside))
    return _Share(workers, cpus, int(wants_gpu), memory, beside)
