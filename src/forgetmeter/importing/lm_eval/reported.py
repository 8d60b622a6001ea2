"""Notes on samples that do not agree with what their results file reports."""

from __future__ import annotations

import math
from collections.abc import Iterator

from forgetmeter.basics.plural import counted
from forgetmeter.importing.lm_eval.log_files import TaskLog
from forgetmeter.importing.lm_eval.samples import Samples

_NEAR = 1e-6


def reported_notes(log: TaskLog, samples: Samples) -> Iterator[str]:
    """Yield a sentence if documents are missing, and one for each mean that is not that of the samples.

    The samples count; a file that was cut off at the end of a line, or edited, shows no other sign.
    """
    sizes = log.results.of_task("n-samples", log.task)
    evaluated = sizes.get("effective") if isinstance(sizes, dict) else None
    if isinstance(evaluated, int) and evaluated != len(samples.samples):
        yield (
            f"{log.task}: {counted(len(samples.samples), 'document')} in the samples file, but {evaluated:,} evaluated "
            "according to the results file"
        )
        return
    reported = log.results.of_task("results", log.task)
    for metric in _means(log) if isinstance(reported, dict) else ():
        said = reported.get(f"{metric},{samples.filter}")
        values = [each.metrics.get(metric) for each in samples.samples]
        numbers = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
        if not isinstance(said, int | float) or len(numbers) < len(values):
            continue
        mean = math.fsum(numbers) / len(numbers)
        if not math.isclose(mean, said, rel_tol=_NEAR, abs_tol=_NEAR):
            yield f"{log.task}: mean {metric} is {mean:.4g} in the samples file, but {said:.4g} in the results file"


def _means(log: TaskLog) -> list[str]:
    """Return the metrics of a task that lm-eval aggregates by their mean."""
    config = log.results.of_task("configs", log.task)
    listed = config.get("metric_list") if isinstance(config, dict) else None
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [str(each.get("metric")) for each in entries if each.get("aggregation") == "mean"]
