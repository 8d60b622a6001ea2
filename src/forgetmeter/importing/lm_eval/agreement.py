"""Checks that two variants were evaluated alike: task settings, prompts and documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError
from forgetmeter.importing.imported_run import paired_notes
from forgetmeter.importing.lm_eval.log_files import TaskLog
from forgetmeter.importing.lm_eval.samples import Sample, Samples

_ADVICE = "evaluate one of them again, or leave the task out with --tasks"
_LONGEST = 60


@dataclass(frozen=True)
class PairedLogs:
    """A candidate's samples of documents that the baseline also has.

    Attributes:
        samples: In the baseline's order, by document.
        notes: On documents that do not pair.
    """

    samples: Mapping[tuple[str, int], Sample]
    notes: tuple[str, ...]


def refuse_other_settings(name: str, log: TaskLog, baseline: TaskLog) -> None:
    """Check that a task has the same version, number of examples, chat template and system instruction.

    Args:
        name: The candidate's name.

    Raises:
        UserError: One of these differs.
    """
    if not log.results.document or not baseline.results.document:
        return
    for what, one, other in zip(_SETTINGS, _settings(log), _settings(baseline), strict=True):
        if one != other:
            raise UserError(
                f"task '{log.task}' cannot be paired: '{name}' was run with {what} {_short(one)}, the baseline with "
                f"{_short(other)}; {_ADVICE}"
            )


_SETTINGS = ("version", "number of examples", "chat template", "system instruction", "filter settings")


def _settings(log: TaskLog) -> tuple[object, ...]:
    document, config = log.results.document, log.results.of_task("configs", log.task)
    return (
        log.results.of_task("versions", log.task),
        log.results.of_task("n-shot", log.task),
        # The same template may come from different files.
        document.get("chat_template_sha"),
        document.get("system_instruction_sha"),
        config.get("filter_list") if isinstance(config, dict) else None,
    )


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def paired(name: str, task: str, own: Samples, baseline: Samples) -> PairedLogs:
    """Pair a candidate's samples with the baseline's by document.

    Raises:
        UserError: The two have no document in common, or documents differ in their wording.
    """
    if own.filter != baseline.filter:
        raise UserError(
            f"task '{task}' cannot be paired: the answers of '{name}' were filtered by '{own.filter}', those of the "
            f"baseline by '{baseline.filter}'; {_ADVICE}"
        )
    found = {sample.key: sample for sample in own.samples}
    both = {sample.key: found[sample.key] for sample in baseline.samples if sample.key in found}
    if not both:
        raise UserError(
            f"task '{task}' cannot be paired: none of the {counted(len(own.samples), 'document')} of '{name}' is among "
            f"the baseline's {len(baseline.samples):,}; {_ADVICE}"
        )
    other = [sample for sample in baseline.samples if sample.key in both and both[sample.key].asked != sample.asked]
    if other:
        raise UserError(
            f"task '{task}' cannot be paired: for '{name}', {len(other):,} of {counted(len(both), 'document')} differ "
            "from the baseline's in wording, target or generation settings "
            f"(first: document {other[0].doc_id}); {_ADVICE}"
        )
    notes = paired_notes(task, answered=len(both), of=len(baseline.samples), others=len(own.samples) - len(both))
    there = {sample.doc_id for sample in baseline.samples}
    changed = sum(sample.doc_id in there for sample in own.samples if sample.key not in both)
    if changed:
        other_content = "with other content than the baseline's document of the same number"
        notes.append(f"{task}: {counted(changed, 'document')} {other_content}")
    return PairedLogs(both, tuple(notes))
