"""Files that ``lm_eval --log_samples`` wrote for one model: samples of each task, and the results next to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from forgetmeter.basics.file_digest import sha256_of
from forgetmeter.basics.json_text import read_loose_json
from forgetmeter.basics.plural import counted, listed
from forgetmeter.basics.secret_arguments import is_secret
from forgetmeter.basics.visible_text import each_text, encodable
from forgetmeter.errors import UserError, one_line

# The date is that of the results file; colons are replaced.
_SAMPLES = re.compile(r"^samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?)\.jsonl$", re.DOTALL)
_MOST = 3
_NESTED = (dict, list)
SECRET = "…"
"""Stands for a value that is not recorded."""


@dataclass(frozen=True)
class LoggedResults:
    """Contents of a results file; empty if there is no such file."""

    document: Mapping[str, Any]

    def of_task(self, section: str, task: str) -> Any:  # noqa: ANN401 - of JSON
        """Return the entry of a task in one of the sections by task, such as ``versions``."""
        found = self.document.get(section)
        return found.get(task) if isinstance(found, dict) else None

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the model."""
        found = self.document.get("config")
        return found if isinstance(found, dict) else {}

    @property
    def model_args(self) -> str:
        """The model's arguments as text, without values that may be secret."""
        args = self.config.get("model_args") or ""
        if isinstance(args, dict):
            args = ",".join(f"{key}={SECRET if isinstance(value, _NESTED) else value}" for key, value in args.items())
        return ",".join(_without_secrets(str(args)))

    @property
    def tool(self) -> str:
        """The program and its version, if it is known."""
        return f"lm-eval {self.document.get('lm_eval_version') or ''}".strip()


def _without_secrets(args: str) -> Iterator[str]:
    is_hidden = False
    for part in args.split(","):
        name, equals, value = part.partition("=")
        # Without a name, it belongs to the value before.
        if equals:
            # Whatever is in brackets may hold a key under any name.
            is_hidden = is_secret(name.strip(), value.strip()) or value.strip().startswith(("{", "[", "("))
        if equals or not is_hidden:
            yield f"{name}={SECRET}" if is_hidden else part


@dataclass(frozen=True)
class TaskLog:
    """The newest samples of one task.

    Attributes:
        path: The samples file.
        results: What is known of the evaluation that wrote it.
    """

    task: str
    path: Path
    results: LoggedResults


@dataclass(frozen=True)
class Logs:
    """The logs of one model.

    Attributes:
        folder: The folder that the user named.
        tasks: The newest samples of each task, by name.
        notes: On tasks with several files.
    """

    folder: Path
    tasks: Mapping[str, TaskLog]
    notes: tuple[str, ...]

    @cached_property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of each samples file, by name."""
        return {log.path.name: sha256_of(log.path) for log in self.tasks.values()}

    @property
    def results(self) -> LoggedResults:
        """The recorded evaluation; that of the first task if there are several."""
        return next(iter(self.tasks.values())).results


def find_logs(folder: Path) -> Logs:
    """Find the logs of one model in a folder, or in one folder below it.

    Raises:
        UserError: There are none, or those of several models, or a results file cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"'{folder}' is not a folder; name the --output_path of lm_eval, or a folder in it")
    # Not folders, nor pipes, which would be waited for.
    files = (path for path in sorted(folder.rglob("samples_*.jsonl")) if path.is_file())
    found = [(path, match) for path in files if (match := _SAMPLES.match(path.name))]
    if not found:
        raise UserError(
            f"'{folder}' has no samples_TASK_DATE.jsonl; name the --output_path of an lm_eval run with --log_samples"
        )
    folders = list(dict.fromkeys(path.parent for path, _ in found))
    if len(folders) > 1:
        names = listed([f"'{each}'" for each in folders], _MOST)
        raise UserError(f"'{folder}' has the logs of several models; name one of {names}")
    dates: dict[str, list[tuple[str, Path]]] = {}
    for path, match in found:
        dates.setdefault(match["task"], []).append((match["date"], path))
    notes = tuple(
        f"{task}: the newest of {counted(len(each), 'samples file')}, of {max(each)[0]}"
        for task, each in dates.items()
        if len(each) > 1
    )
    read: dict[str, LoggedResults] = {}
    tasks = {}
    for task, each in dates.items():
        date, path = max(each)
        if date not in read:
            read[date] = _results(path.parent, date)
        tasks[task] = TaskLog(task, path, read[date])
    _refuse_mixture(folder, read.values())
    return Logs(folder, tasks, notes)


def _results(folder: Path, date: str) -> LoggedResults:
    # `--output_path NAME.json` replaces the first part of the name.
    for path in filter(Path.is_file, folder.glob(f"*_{date}.json")):
        try:
            return LoggedResults(each_text(read_loose_json(path.read_bytes()), encodable))
        except (OSError, ValueError) as error:
            raise UserError(
                f"'{path}' cannot be read ({one_line(error)}); restore it, or remove it to import the samples alone"
            ) from error
    return LoggedResults({})


def _refuse_mixture(folder: Path, read: Iterable[LoggedResults]) -> None:
    """Refuse logs of different models in one folder, such as one checkpoint loaded in two ways."""
    models = dict.fromkeys((str(each.config.get("model")), each.model_args) for each in read if each.document)
    if len(models) > 1:
        (_, one), (_, other), *_ = models
        raise UserError(
            f"'{folder}' mixes the logs of different models ('{one}' and '{other}'); move those of each into a folder "
            "of its own"
        )
