"""Samples of one task as lm-evaluation-harness logs them, one line per document and filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forgetmeter.basics.visible_text import each_text, encodable
from forgetmeter.probes.json_lines import JsonLine, read_json_lines
from forgetmeter.records.item import RequestScore, RequestScores

Response = RequestScore | float | str
Key = tuple[str, int]
"""A document's hash and the number of earlier documents with the same one."""
RequestKind = Literal["multiple_choice", "loglikelihood", "generate_until", "loglikelihood_rolling"]

_FIX = "restore the file, or leave its task out with --tasks"
_KNOWN = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}
_NO_FILTER = "none"
LARGEST = 2**53
"""No larger integer is a metric of one document, or is exact as a float."""


@dataclass(frozen=True)
class Sample:
    """A document with a model's answer.

    Attributes:
        doc_id: Index of the document in the task's order.
        doc_hash: Hash of the document.
        occurrence: Number of earlier documents with the same hash, as a data set may repeat one.
        requests: The arguments of each request: a context with a continuation or with settings of generation, or a
            whole text alone.
        target: The right answer as text.
        responses: The model's first response to each request: a score, the log-likelihood of a whole text, or text.
        filtered: The same after lm-eval's filter.
        metrics: Metrics of this document by name.
    """

    doc_id: int
    doc_hash: str
    occurrence: int
    requests: tuple[tuple[Any, ...], ...]
    target: str
    responses: tuple[Response, ...]
    filtered: tuple[Any, ...]
    metrics: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """The key by which it is paired."""
        return self.doc_hash, self.occurrence

    @property
    def scores(self) -> RequestScores:
        """Its responses to requests for continuations; empty for other requests."""
        return RequestScores(each for each in self.responses if isinstance(each, RequestScore))

    @property
    def loglikelihoods(self) -> list[float]:
        """The log-likelihoods in its responses; empty if these are texts."""
        return [
            each if isinstance(each, float) else each.loglikelihood
            for each in self.responses
            if not isinstance(each, str)
        ]

    @property
    def asked(self) -> tuple[object, str]:
        """The whole question and the right answer."""
        return self.requests, self.target

    @property
    def kind(self) -> RequestKind:
        """The output type of its task, as far as it follows from its own requests."""
        if len(self.requests[0]) == 1:
            return "loglikelihood_rolling"
        if not isinstance(self.requests[0][1], str):
            return "generate_until"
        return "multiple_choice" if len(self.requests) > 1 else "loglikelihood"


@dataclass(frozen=True)
class Samples:
    """The samples of a task under one filter.

    Attributes:
        samples: In the task's order.
        filter: The filter.
        filters: All filters in the file, in order.
    """

    path: Path
    samples: tuple[Sample, ...]
    filter: str
    filters: tuple[str, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the task's order."""
        return tuple(dict.fromkeys(name for each in self.samples for name in each.metrics))

    @property
    def contexts(self) -> frozenset[str]:
        """The contexts of all requests."""
        return frozenset(str(request[0]) for each in self.samples for request in each.requests)

    def kind(self, output_type: object) -> RequestKind:
        """Return the output type of the task.

        Args:
            output_type: What its definition says, if known. A multiple-choice document with a single choice looks like
                one that asks for a completion.
        """
        kinds = {each.kind for each in self.samples}
        is_choice = "multiple_choice" in kinds or (output_type == "multiple_choice" and "loglikelihood" in kinds)
        return "multiple_choice" if is_choice else next(iter(kinds))


def read_samples(path: Path, *, filter_name: str | None = None) -> Samples:
    """Read a file of samples.

    Args:
        path: The file.
        filter_name: The filter whose answers count, if the file has it; otherwise the first one.

    Raises:
        UserError: The file cannot be read, or a line is not a sample.
    """
    by_filter: dict[str, list[Sample]] = {}
    kinds: set[type] = set()
    seen: dict[str, set[int]] = {}
    for line in read_json_lines(path, fix=_FIX):
        name = encodable(str(line.record.get("filter", _NO_FILTER)))
        sample = _sample(line)
        if sample.doc_id in seen.setdefault(name, set()):
            # lm-eval appends to a file of the same name.
            raise line.wrong(f"document {sample.doc_id} is a duplicate")
        seen[name].add(sample.doc_id)
        kinds.update(map(type, sample.responses))
        if len(kinds) > 1:
            raise line.wrong("its requests are of a different kind from those of the previous lines")
        by_filter.setdefault(name, []).append(sample)
    chosen = filter_name if filter_name is not None and filter_name in by_filter else next(iter(by_filter))
    return Samples(path, _in_order(by_filter[chosen]), chosen, tuple(by_filter))


def _in_order(samples: list[Sample]) -> tuple[Sample, ...]:
    """Return samples in the task's order, with repeated documents counted."""
    counts: dict[str, int] = {}
    found = []
    for sample in sorted(samples, key=lambda each: each.doc_id):
        occurrence = counts.get(sample.doc_hash, 0)
        counts[sample.doc_hash] = occurrence + 1
        found.append(Sample(**{**vars(sample), "occurrence": occurrence}) if occurrence else sample)
    return tuple(found)


def _sample(line: JsonLine) -> Sample:
    record = each_text({name: value for name, value in line.record.items() if name != "doc"}, encodable)
    doc_id, arguments = record.get("doc_id"), record.get("arguments")
    if not isinstance(doc_id, int):
        raise line.wrong_type("doc_id", int)
    if not isinstance(arguments, dict) or not all(isinstance(each, dict) and each for each in arguments.values()):
        raise line.wrong("'arguments' is not what lm-eval's --log_samples writes")
    requests = tuple(tuple(each.values()) for each in arguments.values())
    responses, filtered = record.get("resps"), record.get("filtered_resps")
    if not isinstance(responses, list) or not isinstance(filtered, list) or len(responses) != len(requests):
        raise line.wrong("'resps' or 'filtered_resps' does not have one entry per request")
    if not requests or not all(isinstance(each[0], str) for each in requests):
        raise line.wrong("its requests are missing or not text")
    if len(requests) > 1 and any(len(each) == 1 for each in requests):
        raise line.wrong("it scores several whole texts, which is not supported")
    names = record.get("metrics")
    names = names if isinstance(names, list) else [name for name in record if name not in _KNOWN]
    return Sample(
        doc_id=doc_id,
        doc_hash=line.text("doc_hash"),
        occurrence=0,
        requests=requests,
        target=str(record.get("target", "")),
        responses=tuple(_response(line, *each) for each in zip(requests, responses, strict=True)),
        filtered=tuple(filtered),
        metrics={
            str(name): record[str(name)] for name in names if str(name) in record and _is_sound(record[str(name)])
        },
    )


def _is_sound(value: object) -> bool:
    return not isinstance(value, int) or abs(value) < LARGEST


def _response(line: JsonLine, arguments: Sequence[object], responses: object) -> Response:
    # Numbers and truth values are logged as text; of repeated requests, only the first response counts.
    said = responses[0] if isinstance(responses, list) and responses else responses
    try:
        if len(arguments) == 1:
            return float(said)  # type: ignore[arg-type]
        if isinstance(arguments[1], str):
            loglikelihood, is_greedy = said  # type: ignore[misc]
            return RequestScore(float(loglikelihood), str(is_greedy) == "True")
    except (TypeError, ValueError, OverflowError):
        raise line.wrong(f"'resps' has {said!r:.60}, which is not an answer to its request") from None
    return str(said)
