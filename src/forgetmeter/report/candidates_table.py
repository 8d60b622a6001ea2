"""The table of a model's candidates: their format, maker and size, and how their weights are read."""

from __future__ import annotations

from forgetmeter.basics.plural import megabytes
from forgetmeter.records.packed_source import PackedSource
from forgetmeter.report.table import Table, TableRow, Term
from forgetmeter.report.words.candidate_sizes import candidate_sizes
from forgetmeter.report.words.numbers import MISSING
from forgetmeter.report.words.recipe_words import candidate_of
from forgetmeter.results.summary import Summary

CANDIDATES = "Candidates"
_MADE_BY = "made by"
_READ = Term(
    "read",
    "how the weights are read. unpacked: converted to floating-point numbers; kernel: the library that owns the format "
    "computes with the packed weights; plain: the files store floating-point numbers; engine: another runtime answers",
)
_MB = Term("MB", "size of the weight files on disk")
_SHARE = Term(
    "of original", "the same as a share of the original's weights as stored, without the headers of its files"
)
_BITS = Term("bits per weight", "by role, in the files, including scales and zero points")
_COLUMNS = (_MB.name, _SHARE.name, _READ.name, "format", _MADE_BY, _BITS.name)


def candidates_terms(summary: Summary) -> list[Term]:
    """Return the terms that explain the tables; empty without a table."""
    return [_MB, _SHARE, _READ, _BITS] if any(_names(model, summary) for model in summary.study.models) else []


def candidates_table(model: str, summary: Summary) -> Table | None:
    """Return the table of a model's candidates; ``None`` if it has none, or if the answers were imported."""
    names = _names(model, summary)
    if not names:
        return None
    sources, sizes = summary.study.sources, candidate_sizes(model, summary)
    stored = megabytes(sizes[name].bytes if name in sizes else None for name in names)
    shares = [(name in sizes and sizes[name].share) or MISSING for name in names]
    origins = [_origin(name, sources.get(name)) for name in names]
    values = [(size, share, *origin) for size, share, origin in zip(stored, shares, origins, strict=True)]
    shown = [place for place, name in enumerate(_COLUMNS) if name != _MADE_BY or any(each[place] for each in values)]
    return Table(
        model=model,
        name=CANDIDATES,
        facts=("as stored on disk",),
        columns=tuple(_COLUMNS[place] for place in shown),
        rows=tuple(
            TableRow(name, tuple(each[place] for place in shown)) for name, each in zip(names, values, strict=True)
        ),
        optional=1,
        key="candidate",
        texts=frozenset(_COLUMNS[2:]),
    )


def _names(model: str, summary: Summary) -> list[str]:
    """Return the names of a model's candidates; empty if the answers were imported."""
    if summary.study.origins:
        return []
    recipes = (each.recipe for each in summary.variants if each.model == model)
    return list(dict.fromkeys(name for each in recipes if (name := candidate_of(each)) is not None))


def _origin(name: str, source: PackedSource | None) -> tuple[str, str, str, str]:
    """Return how a candidate is read, its format, its maker and its bits per weight."""
    if source is None:
        is_engine = name.startswith("engine:")
        return "engine" if is_engine else "plain", MISSING if is_engine else "floating-point numbers", "", MISSING
    bits = ", ".join(f"{role.replace('_', '-')} {each:.3g}" for role, each in source.bits.items())
    return source.reading or MISSING, source.format, source.maker, bits or MISSING
