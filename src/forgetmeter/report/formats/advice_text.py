"""Advice for the terminal."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Sequence

from rich.text import Text

from forgetmeter.basics.plural import counted, listed, megabytes
from forgetmeter.report.columns import Column, in_columns
from forgetmeter.report.words.numbers import count, percent, percent_interval, points_interval
from forgetmeter.results.advice import Advice, Mix, Sized
from forgetmeter.results.standing import Standing
from forgetmeter.specs.model_reference import parse_model_reference

_MOST_LEFT = 5


def advice_text(advice: Advice, *, width: int) -> Text:
    """Return advice as styled text for a rich console."""
    text = Text()
    if advice.dense_bytes <= advice.most_bytes:
        text.append("The model is already within the size limit. Among the recipes, use ", "bold")
    else:
        text.append("Use ", "bold")
    text.append(advice.best.recipe, "bold green")
    text.append(f"\n{_in_a_sentence(advice, width)}\n\n")
    if advice.mix is not None:
        text.append(f"{_wrapped(_about_mix(advice.mix, advice), width)}\n\n")
    text.append_text(_table(advice, width))
    for line in _remarks(advice):
        text.append(_wrapped(line, width) + "\n")
    text.append("\ncreate it  ", "bold")
    text.append(f"{_command(advice)}\n")
    text.append("view it    ", "bold")
    text.append(f"forgetmeter report {shlex.quote(advice.runs[-1])}\n")
    return text


def _command(advice: Advice) -> str:
    size = advice.best_size
    if size.format is None:
        return f"forgetmeter.compress(loaded, {advice.best.recipe!r}), in Python ({size.no_format})"
    stored = "" if size.format == "dense" else f" --format {size.format}"
    recipe = advice.best.recipe
    quoted = shlex.quote(recipe) if "'" in recipe else f"'{recipe}'"
    return f"forgetmeter compress {shlex.quote(advice.model)} {quoted}{stored} --out DIR"


def _in_a_sentence(advice: Advice, width: int) -> str:
    best, size = advice.best, advice.sizes[advice.best.recipe]
    kept = percent_interval(best.retained)
    (takes,) = megabytes([size.bytes])
    (most,) = megabytes([advice.most_bytes])
    (whole,) = megabytes([advice.dense_bytes])
    tasks = len(best.tasks)
    known = sum(task.known for task in best.tasks)
    forgotten = sum(task.forgotten for task in best.tasks)
    over = f", the mean over {tasks} tasks" if tasks > 1 else ""
    sentence = (
        f"It takes {takes} MB (limit: {most} MB), {size.bytes / advice.dense_bytes:.0%} of the {whole} MB that "
        f"{advice.model} takes {_where(advice)}, and retains {kept} of what it knew{over}: {count(forgotten)} of "
        f"{count(known)} right answers are forgotten."
    )
    return _wrapped(sentence, width)


def _wrapped(sentence: str, width: int) -> str:
    return "\n".join(textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False))


def _about_mix(mix: Mix, advice: Advice) -> str:
    """Say whether mixed bits are better than the same bits everywhere, on the items that were not used for choosing."""
    if mix.held_out is None:
        return "The baseline knows none of the items that were held out, so mixed bits could not be validated."
    found = mix.held_out
    on = f"of the {count(found.known)} known items that were not used to choose"
    (mixed, other) = megabytes([advice.sizes[each].bytes for each in (mix.recipe, mix.uniform)])
    both = (
        f"the mix ({mixed} MB) retains {percent_interval(found.first)} and {mix.uniform} ({other} MB) "
        f"{percent_interval(found.other)}: a difference of {points_interval(found.gain)} points"
    )
    if found.gain.low > 0:
        return f"Bits mixed by sensitivity are better: {on}, {both}."
    if found.gain.high < 0:
        return f"Bits mixed by sensitivity are worse: {on}, {both}."
    return f"Mixing bits by sensitivity brings no demonstrable gain: {on}, {both}."


def _where(advice: Advice) -> str:
    is_gguf = parse_model_reference(advice.model).source in ("gguf", "package")
    return "dequantized to float32" if is_gguf else "on disk"


def _table(advice: Advice, width: int) -> Text:
    tasks = [task.task for task in advice.best.tasks] if len(advice.best.tasks) > 1 else []
    columns = [Column("recipe"), Column("MB", "right"), Column("retained [95%]"), Column("behind the first [95%]")]
    columns += [Column(task, "right", "start") for task in tasks]
    sizes = megabytes(advice.sizes[each.recipe].bytes for each in advice.finalists)
    rows = [
        (
            each.recipe,
            size,
            percent_interval(each.retained),
            _behind(each),
            *(percent(task.retained.value) for task in each.tasks if tasks),
        )
        for each, size in zip(advice.finalists, sizes, strict=True)
    ]
    styles = ["bold" if each.recipe == advice.best.recipe else "" for each in advice.finalists]
    return in_columns(columns, rows, width=width, styles=styles)


def _behind(standing: Standing) -> str:
    if standing.behind is None:
        return "—"
    return points_interval(standing.behind)


def _remarks(advice: Advice) -> Iterable[str]:
    yield ""
    smaller = [
        each for each in advice.alike if advice.sizes[each.recipe].bytes < advice.sizes[advice.best.recipe].bytes
    ]
    if smaller:
        (size,) = megabytes([advice.sizes[smaller[0].recipe].bytes])
        yield (
            f"Smaller, and statistically indistinguishable in what it retains: {smaller[0].recipe} ({size} MB). "
            "More items might separate them."
        )
    elif advice.alike:
        names = _names(each.recipe for each in advice.alike)
        yield f"Statistically indistinguishable in what they retain: {names}."
    yield (
        "Sizes are those of the weight files that forgetmeter compress writes. Pruned weights are stored as "
        "zeros because no format in common use stores them in less space. Sizes say nothing about speed."
    )
    if advice.source is not None:
        yield advice.source.sizes(advice.model)
    if advice.no_mix:
        yield f"No mix of bits was tried: {advice.no_mix}."
    in_memory = [each.recipe for each in advice.finalists if advice.sizes[each.recipe].format is None]
    if in_memory:
        yield f"Size in memory, because forgetmeter compress cannot write it: {_names(in_memory)}."
    rounds = (f"{counted(number, 'recipe')}, {counted(items, 'item')} each" for items, number in advice.rounds)
    yield f"Rounds: {'; '.join(rounds)}."
    if advice.left:
        shown = [f"{each.recipe} ({percent(each.retained)} on {counted(each.items, 'item')})" for each in advice.left]
        yield f"Eliminated in earlier rounds, with what they retained there: {_names(shown)}."
    if advice.too_large:
        yield f"Too large, not evaluated: {_names(_with_size(advice.too_large))}."
    for task, reason in advice.not_counted:
        yield f"Not counted: {task}, because {reason}."
    for reason in dict.fromkeys(reason for _, reason in advice.unusable):
        recipes = [recipe for recipe, other in advice.unusable if other == reason]
        yield f"Cannot be used: {reason if recipes[0] in reason else f'{_names(recipes)}: {reason}'}."


def _with_size(recipes: Sequence[Sized]) -> list[str]:
    ordered = sorted(recipes, key=lambda each: each.bytes)
    sizes = megabytes(each.bytes for each in ordered)
    return [f"{each.recipe} ({size} MB)" for each, size in zip(ordered, sizes, strict=True)]


def _names(names: Iterable[str]) -> str:
    return listed(list(names), _MOST_LEFT)
