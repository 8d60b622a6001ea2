"""Made-up samples as ``lm_eval --log_samples`` writes them, and runs imported from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forgetmeter.importing.imported_run import write_imported
from forgetmeter.importing.lm_eval.logs import import_lm_eval
from forgetmeter.results.results import Results, open_run

_DATE = "2026-01-01T00-00-00.000000"
Sampled = dict[str, Any]


def choosing(
    number: int, loglikelihoods: Sequence[float], *, right: int, choices: Sequence[str] = "ABCD", context: str = ""
) -> Sampled:
    """Return a multiple-choice document, judged by ``acc``."""
    scores = [[str(each), "False"] for each in loglikelihoods]
    best = loglikelihoods.index(max(loglikelihoods))
    return {
        **_document(number, str(right), [(context or f"Q{number}", f" {each}") for each in choices[: len(scores)]]),
        "resps": [[each] for each in scores],
        "filtered_resps": scores,
        "metrics": ["acc"],
        "acc": float(best == right),
    }


def writing(number: int, said: str) -> Sampled:
    """Return a document whose generated answer is right if it is ``x``."""
    return {
        **_document(number, "x", [(f"Q{number}", {"until": ["."]})]),
        "resps": [[said]],
        "filtered_resps": [said],
        "metrics": ["exact_match"],
        "exact_match": float(said == "x"),
    }


def reading(number: int, loglikelihood: float) -> Sampled:
    """Return a whole text of 4 words and 18 bytes."""
    counts = {"word_perplexity": 4, "byte_perplexity": 18, "bits_per_byte": 18}
    return {
        **_document(number, "", [(f"some text number {number}",)]),
        "resps": [[str(loglikelihood)]],
        "filtered_resps": [str(loglikelihood)],
        "metrics": list(counts),
        **{name: [loglikelihood, count] for name, count in counts.items()},
    }


def _document(number: int, target: str, requests: Sequence[tuple[object, ...]]) -> Sampled:
    return {
        "doc_id": number,
        "doc_hash": str(number),
        "target": target,
        "filter": "none",
        "arguments": {
            f"gen_args_{place}": {f"arg_{each}": value for each, value in enumerate(request)}
            for place, request in enumerate(requests)
        },
    }


def imported(
    folder: Path,
    baseline: Sequence[Sampled],
    candidate: Sequence[Sampled],
    results: Mapping[str, Any] | None = None,
    *,
    metric: str | None = None,
) -> Results:
    """Import the samples of one task ``t`` of two models, ``a`` and ``b``."""
    for name, samples in (("a", baseline), ("b", candidate)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"samples_t_{_DATE}.jsonl").write_text("\n".join(map(json.dumps, samples)))
        if results is not None:
            (folder / name / f"results_{_DATE}.json").write_text(json.dumps(results))
    write_imported(import_lm_eval(folder / "a", [folder / "b"], metric=metric), str(folder / "run"))
    return open_run(folder / "run")


def notes(results: Results, variant: str) -> list[str]:
    """Return what is said of a variant, except that its results file is missing."""
    return [
        each
        for each in results.study["imported"][f"answers:{variant}"]["notes"]
        if "results file is missing" not in each
    ]
