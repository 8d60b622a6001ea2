"""The frontier as a text table.

Covers ``report.words.size_words``.
"""

from __future__ import annotations

from forgetmeter.records.packed_source import PackedSource
from forgetmeter.report.formats.frontier_text import frontier_text
from forgetmeter.results.compared.clustered import Estimate
from forgetmeter.results.frontier import Frontier, FrontierPoint


def point(recipe, retained, sizes, speed, pareto, *, simulated=False):
    names = ("dense_bytes", "bitmask_bytes", "quantized_bytes", "smallest_bytes")
    costs = dict(zip(names, sizes, strict=False)) | ({} if speed is None else {"tokens_per_second": speed})
    return FrontierPoint(recipe, Estimate(retained, retained - 0.01, min(1, retained + 0.01)), costs, simulated, pareto)


def test_variants_are_sorted_by_what_they_retain_and_the_undominated_marked():
    small = point("dynamic_int8:overall", 0.5, (4e6, 4e6, 1e6, 1e6), 50.0, ("quantized_bytes",), simulated=True)
    pruned = point("l1_unstructured:overall:0.3", 0.7, (4e6, 3e6, 4e6), None, ("bitmask_bytes",))
    whole = point("baseline", 1.0, (4e6, 4e6, 4e6, 4e6), 1234.0, ("dense_bytes", "tokens_per_second"))
    text = str(frontier_text(Frontier("m", "t", (small, pruned, whole)), width=140))
    lines = text.splitlines()
    assert lines[0] == "m · t · sizes in MB"
    rows = [line.split() for line in lines[3:6]]
    assert [row[0] for row in rows] == ["baseline", "l1_unstructured:overall:0.3", "dynamic_int8:overall"]
    assert rows[0][1:] == ["100.0%", "[99.0,", "100.0]", "4.00", "*", "4.00", "4.00", "4.00", "1,234", "*"]
    # An older record lacks the smallest size; a simulated variant shows no speed.
    assert rows[1][4:] == ["4.00", "3.00", "*", "4.00", "—", "—"]
    assert rows[2][4:] == ["4.00", "4.00", "1.00", "*", "1.00", "—"]
    assert len({len(line.rstrip()) for line in lines[3:6]}) <= 3
    assert "as stored" not in text


def test_a_packed_source_is_named_with_its_own_size():
    whole = point("baseline", 1.0, (4e6, 4e6, 4e6, 4e6), None, ("dense_bytes",))
    text = str(frontier_text(Frontier("m", "t", (whole,), PackedSource("GGUF", 500_000, 4_000_000)), width=200))
    assert text.splitlines()[-1] == (
        "m takes 0.500 MB as stored (GGUF), and 4.00 MB as float32. Variants' sizes are counted from the latter, and "
        "may exceed the file's."
    )
