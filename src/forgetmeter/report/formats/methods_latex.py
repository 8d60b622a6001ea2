"""A paragraph on how a run was made and tested, in LaTeX, and the references that it cites, in BibTeX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from forgetmeter.basics.plural import counted, joined
from forgetmeter.config.study import FACTS, PYTHON
from forgetmeter.probes.on_text.divergence import AGREEMENT, DIVERGENCE
from forgetmeter.probes.registry import counted_things
from forgetmeter.report.formats.show_latex import escaped_latex
from forgetmeter.report.words.public_names import public_model, public_task
from forgetmeter.report.words.recipe_words import variant_noun
from forgetmeter.results.gate.gate import Gate
from forgetmeter.results.summary import Summary
from forgetmeter.specs.condition import Condition
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.resampling import FEWEST_CLUSTERS
from forgetmeter.version import __version__

_REFERENCES = {
    "forgetmeter": r"""@software{forgetmeter,
  title = {forgetmeter: what language models forget when they are compressed},
  author = {{The forgetmeter authors}},
  version = {VERSION},
  license = {Apache-2.0}
}""",
    "namburi2023cost": r"""@inproceedings{namburi2023cost,
  title = {The Cost of Compression: Investigating the Impact of Compression on Parametric Knowledge in Language Models},
  author = {Namburi, Satya Sai Srinath and Sreedhar, Makesh and Srinivasan, Srinath and Sala, Frederic},
  booktitle = {Findings of the Association for Computational Linguistics: EMNLP 2023},
  year = {2023},
  eprint = {2312.00960},
  archivePrefix = {arXiv}
}""",
    "wilson1927probable": r"""@article{wilson1927probable,
  title = {Probable Inference, the Law of Succession, and Statistical Inference},
  author = {Wilson, Edwin B.},
  journal = {Journal of the American Statistical Association},
  volume = {22}, number = {158}, pages = {209--212}, year = {1927}
}""",
    "bonett2012adjusted": r"""@article{bonett2012adjusted,
  title = {Adjusted {W}ald Confidence Interval for a Difference of Binomial Proportions Based on Paired Data},
  author = {Bonett, Douglas G. and Price, Robert M.},
  journal = {Journal of Educational and Behavioral Statistics},
  volume = {37}, number = {4}, pages = {479--488}, year = {2012}
}""",
    "clopper1934use": r"""@article{clopper1934use,
  title = {The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial},
  author = {Clopper, C. J. and Pearson, E. S.},
  journal = {Biometrika},
  volume = {26}, number = {4}, pages = {404--413}, year = {1934}
}""",
    "mcnemar1947note": r"""@article{mcnemar1947note,
  title = {Note on the Sampling Error of the Difference Between Correlated Proportions or Percentages},
  author = {McNemar, Quinn},
  journal = {Psychometrika},
  volume = {12}, number = {2}, pages = {153--157}, year = {1947}
}""",
    "holm1979simple": r"""@article{holm1979simple,
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  author = {Holm, Sture},
  journal = {Scandinavian Journal of Statistics},
  volume = {6}, number = {2}, pages = {65--70}, year = {1979}
}""",
    "korn1998confidence": r"""@article{korn1998confidence,
  title = {Confidence Intervals for Proportions with Small Expected Number of Positive Counts
    Estimated from Survey Data},
  author = {Korn, Edward L. and Graubard, Barry I.},
  journal = {Survey Methodology},
  volume = {24}, number = {2}, pages = {193--201}, year = {1998}
}""",
    "zou2008construction": r"""@article{zou2008construction,
  title = {Construction of Confidence Limits about Effect Measures: A General Approach},
  author = {Zou, Guang Yong and Donner, Allan},
  journal = {Statistics in Medicine},
  volume = {27}, number = {10}, pages = {1693--1702}, year = {2008}
}""",
    "waudbysmith2024estimating": r"""@article{waudbysmith2024estimating,
  title = {Estimating Means of Bounded Random Variables by Betting},
  author = {Waudby-Smith, Ian and Ramdas, Aaditya},
  journal = {Journal of the Royal Statistical Society Series B},
  volume = {86}, number = {1}, pages = {1--27}, year = {2024}
}""",
}

_TEXTS = {FACTS: "statements of forgetmeter's built-in facts", PYTHON: "the documentation that Python contains"}


def methods_latex(summary: Summary, gate: Gate | None = None) -> str:
    """Return a paragraph on what was compared on which items, how it was tested, and what a gate accepted."""
    sentences = [*_compared(summary), *_tested(summary), *_measured(summary)]
    sentences += [] if gate is None else _accepted(gate)
    return " ".join(sentences) + "\n"


def references_bibtex(methods: str) -> str:
    """Return the references that the paragraph cites."""
    cited = [entry for key, entry in _REFERENCES.items() if key in methods]
    return "\n\n".join(cited).replace("VERSION", __version__) + "\n"


def _compared(summary: Summary) -> Iterator[str]:
    models = list(dict.fromkeys(variant.model for variant in summary.variants))
    recipes = [variant.recipe for variant in summary.variants if variant.recipe != BASELINE]
    noun = "candidate" if variant_noun(recipes) == "candidate" else "compressed variant"
    names = joined(rf"\texttt{{{escaped_latex(public_model(model))}}}" for model in models)
    version = summary.study.versions.get("forgetmeter", __version__)
    yield (
        f"We compared {counted(len(recipes), noun)} of {names} with the original{'s' if len(models) > 1 else ''}, "
        f"using forgetmeter {escaped_latex(version)}~\\cite{{forgetmeter}}, which builds on \\citet{{namburi2023cost}}."
    )
    if tools := list(dict.fromkeys(origin.tool for origin in summary.study.origins.values())):
        yield f"The answers were not computed by forgetmeter but imported from {escaped_latex(joined(tools))}."
    if summary.tasks:
        yield from _asked(summary)
    settings = summary.study.settings
    if settings.get("dtype"):
        limit = settings.get("limit")
        only = f", limited to {limit:,} items per task or relation" if isinstance(limit, int) else ""
        yield f"Models were evaluated in {escaped_latex(str(settings['dtype']))}{only}."
    if calibration := settings.get("calibration"):
        texts = joined([_TEXTS.get(text, escaped_latex(PurePath(text).name)) for text in calibration["sha256"]])
        yield (
            f"Methods that need activations saw {calibration['sequences']:,} sequences of up to "
            f"{calibration['length']:,} tokens of {texts}."
        )


def _asked(summary: Summary) -> Iterator[str]:
    everyone = len(summary.variants)
    names, partial = [], []
    for task in summary.tasks:
        answered = [cell.items for cell in summary.all_cells if cell.task == task.task]
        # Without stored items, the task's number of items is that of one of the cells.
        size = max([task.items, *answered])
        relations = f" in {counted(task.relations, 'relation')}" if task.relations else ""
        names.append(
            rf"\texttt{{{escaped_latex(public_task(task.task))}}} ({counted_things(task.task, size)}{relations})"
        )
        if answered != [size] * everyone:
            partial.append(_partial(task.task, answered, everyone))
    if not partial:
        yield f"All of them answered the same items: {joined(names)}."
        return
    yield (
        f"The items were those of {joined(names)}. Not every one of the {everyone} models, originals included, "
        f"answered all of them: {'; '.join(partial)}. Accuracies are over all items that a model answered, drops in "
        "accuracy and retained shares over those that the original answered, too."
    )


def _partial(task: str, answered: Sequence[int], everyone: int) -> str:
    name = rf"\texttt{{{escaped_latex(public_task(task))}}}"
    if not answered:
        return f"no model answered {name}"
    models = "each model" if len(answered) == everyone else counted(len(answered), "model")
    low, high = min(answered), max(answered)
    return f"{models} answered {'' if low == high else f'{low:,} to '}{counted_things(task, high)} of {name}"


def _tested(summary: Summary) -> Iterator[str]:
    compared = [cell for cell in summary.cells if cell.drop is not None]
    if not compared:
        return
    yield (
        "Accuracies have 95\\% Wilson intervals~\\cite{wilson1927probable}. Drops in accuracy are paired by item, with "
        "the adjusted Wald interval of \\citet{bonett2012adjusted}."
    )
    if any(cell.relations for cell in compared):
        yield (
            f"Where a task has at least {FEWEST_CLUSTERS} relations, intervals of drops and of retained shares also "
            "cover the variation between relations: the interval of \\citet{korn1998confidence} for an effective "
            "number of items, and for differences its limits combined as by \\citet{zou2008construction}; the wider "
            "limits are reported."
        )
    if any(cell.aim is not None for cell in compared):
        yield (
            "Evaluation of some variants was to stop once enough was known about their drop; their intervals and "
            "p-values are instead valid at any stopping time~\\cite{waudbysmith2024estimating}."
        )
    beyond = "beyond zero and beyond the share of items that change when the original is scored again"
    yield (
        "A drop is called significant if the p-value of McNemar's exact test~\\cite{mcnemar1947note}, corrected by "
        f"Holm's method~\\cite{{holm1979simple}} for {counted(len(compared), 'comparison')}, is below 0.05 and its "
        f"whole interval lies {beyond if any(cell.noise_floor for cell in compared) else 'on one side of zero'}. "
        "Retained is the share of the items that the original answers correctly and that the compressed model still "
        "answers correctly."
    )


def _measured(summary: Summary) -> Iterator[str]:
    names = {name for cell in summary.measured if cell.recipe != BASELINE for name in cell.metrics}
    if DIVERGENCE in names:
        yield (
            "Divergence is the Kullback--Leibler divergence of a variant's predictions of the next token from the "
            "original's, in nats, averaged over tokens."
        )
    if AGREEMENT in names:
        yield ("Top-1 agreement is the share of tokens for which the most likely next token is that of the original.")
    if any(cell.intervals for cell in summary.measured):
        shares = ", and for shares the interval of \\citet{korn1998confidence} for an effective number of tokens"
        yield (
            "Averages have 95\\% intervals over texts: Student's t with jackknife standard errors"
            f"{shares if AGREEMENT in names else ''}."
        )


def _accepted(gate: Gate) -> Iterator[str]:
    conditions = gate.policy.conditions
    yield (
        "A variant was accepted only if the whole 95\\% interval met each of these conditions: "
        f"{'; '.join(map(_condition, conditions))}. It was rejected if, for any of them, the whole interval, "
        f"corrected by Bonferroni's method for {counted(gate.checks, 'check')}, was beyond the limit; otherwise the "
        "answers do not decide."
    )
    if any(each.quantity in ("drop", "retained", "accuracy") for each in conditions):
        yield (
            "These intervals contain, besides those above, the exact ones of \\citet{clopper1934use}, and for drops "
            "their combination by \\citet{zou2008construction}."
        )
    if any(each.metric == DIVERGENCE for each in conditions):
        yield "The upper limit of a mean divergence is that of its logarithm's interval."


def _condition(condition: Condition) -> str:
    limit = escaped_latex(str(condition)).replace("≤", r"$\leq$").replace("≥", r"$\geq$")
    if condition.quantity == "size" or (condition.is_of_texts and not condition.tasks):
        return limit
    where = {"task": "on", "relation": "in each relation of", "all": "on average over"}[condition.extent]
    tasks = "all tasks" if condition.extent == "all" else "each task"
    if condition.tasks:
        tasks = joined(rf"\texttt{{{escaped_latex(public_task(task))}}}" for task in condition.tasks)
    return f"{limit} {where} {tasks}"
