"""Loads the definition and the data set of a task of lm-evaluation-harness."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from jinja2 import BaseLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from forgetmeter.basics.plural import counted
from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError, one_line
from forgetmeter.probes.lm_eval.few_shot import refuse_unanswered_examples
from forgetmeter.probes.lm_eval.form import read_whole_numbers, set_form
from forgetmeter.probes.lm_eval.json_files import refuse_bad_lines, texts_in
from forgetmeter.probes.lm_eval.prompting import not_null

_FEWSHOT_SEED = 1234  # the default of simple_evaluate
_SKIPPED = (0, *(2**power for power in range(20)))
"""Numbers of documents to skip, until one is found from which lm-eval can infer the form of all."""


def loaded_task(name: str, path: Path) -> Any:  # noqa: ANN401 - lm-eval's task class is not typed
    """Load a task's definition and data set.

    Raises:
        UserError: The definition is not valid, or the data set is not available or hidden by a folder.
    """
    first_error: Exception | None = None
    tried: set[int] = set()
    # lm-evaluation-harness also logs what it raises.
    with quiet(logging.ERROR):
        for skipped in _SKIPPED:
            before = len(tried)
            try:
                task = _made(name, path, skipped, tried)
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 - lm-eval and datasets raise many types
                first_error = first_error or error
                if isinstance(error, OSError) or len(tried) == before:
                    break
            else:
                task.set_fewshot_seed(seed=_FEWSHOT_SEED)
                return task
    assert first_error is not None
    cause = one_line(first_error, most=300)
    if tried:
        raise UserError(
            f"task '{name}': {counted(len(tried), 'document')} tried, none of them valid "
            f"({name}/0: {type(first_error).__name__}: {cause}); see the task's definition in lm-evaluation-harness"
        ) from first_error
    if not isinstance(first_error, OSError):
        # datasets says what is wrong only in the cause of its error.
        why = first_error.__cause__ or first_error
        raise UserError(f"task '{name}' cannot be loaded: {type(why).__name__}: {one_line(why)}") from first_error
    raise UserError(
        f"task '{name}': its data set is not in the datasets cache and cannot be downloaded ({cause}); "
        f"run once with network access, or set HF_DATASETS_CACHE to a folder that contains it"
    ) from first_error


def _made(name: str, path: Path, skipped: int, tried: set[int]) -> Any:  # noqa: ANN401
    """Load a task, letting lm-eval try the first document after ``skipped``, whose index is added to ``tried``.

    Otherwise, one bad first document would make the whole task unusable.
    """
    from lm_eval import utils
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager

    if not isinstance(utils.env, SandboxedEnvironment):
        # Templates must not reach anything except the document.
        filters, utils.env = (
            utils.env.filters,
            SandboxedEnvironment(
                loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True, finalize=not_null
            ),
        )
        utils.env.filters.update(filters)

    def without_first(task: ConfigurableTask) -> Any:  # noqa: ANN401
        docs = own.fget(task)
        first = min(skipped, len(docs) - 1)
        tried.add(first)
        return docs.select(range(first, len(docs))) if first else docs

    def not_from_here(task: ConfigurableTask, dataset_kwargs: Any = None, **more: Any) -> None:  # noqa: ANN401
        _check_source(name, task.DATASET_PATH or "", dataset_kwargs or {})
        try:
            download(task, dataset_kwargs, **more)
        except Exception:
            refuse_bad_lines(name, dataset_kwargs or {})
            raise

    own, download = ConfigurableTask.eval_docs, ConfigurableTask.download
    with (
        patch.object(ConfigurableTask, "eval_docs", property(without_first)),
        patch.object(ConfigurableTask, "download", not_from_here),
    ):
        task = TaskManager(include_defaults=False).load([str(path)])["tasks"][name]
    task.task_docs = task.eval_docs
    read_whole_numbers(task)
    refuse_unanswered_examples(task)
    set_form(task)
    return task


def _named_by_card(path: str) -> Iterator[str]:
    """Yield the values in the README.md of a data set's folder, which may name the files to read."""
    with suppress(OSError, UnicodeDecodeError):
        _, _, rest = (Path(path).expanduser() / "README.md").read_text(encoding="utf-8").partition("---")
        yield from (line.strip() for line in rest.partition("\n---")[0].splitlines())


_WRITING = {"storage_options", "cache_dir", "download_config"}


def _check_source(name: str, path: str, dataset_kwargs: Mapping[str, Any]) -> None:
    """Check that ``datasets`` would neither read pickles, nor a folder of the current directory in place of the Hub's.

    Nor may a definition choose where files are written: a cache could put them where Python runs them.

    Raises:
        UserError: It would.
    """
    for key in _WRITING & dataset_kwargs.keys():
        raise UserError(f"task '{name}': dataset_kwargs may not set {key}, which decides where files go; remove it")
    for file in texts_in([dataset_kwargs.get("data_files"), dataset_kwargs.get("data_dir"), *_named_by_card(path)]):
        if "::" in file:
            raise UserError(f"task '{name}': '{file}' chains several file systems; name a plain file or URL")
    if path == "pandas":
        raise UserError(
            f"task '{name}': dataset_path 'pandas' reads pickles, which can run code; save the data as JSON Lines or "
            "Parquet, and write dataset_path: json or parquet"
        )
    # Formats such as ``json`` are not looked for; the definition names their files.
    is_format = "/" not in path and "data_files" in dataset_kwargs
    if path and not path.startswith((".", "/")) and not is_format and Path(path).is_dir():
        raise UserError(
            f"task '{name}': the folder './{path}' in the current directory would be read in place of the data set "
            f"'{path}'; rename the folder, or run in another directory"
        )
