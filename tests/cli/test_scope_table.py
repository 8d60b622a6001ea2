"""The table of scopes as printed to a pipe."""

from __future__ import annotations

import io

from forgetmeter.cli.scope_table import print_scope_rows
from forgetmeter.models.roles.scope_rows import Row, ScopeRows

ROWS = ScopeRows(
    scopes=(Row("attention", 2, 1_500_000, 0.25), Row("paper/feed_forward", 10, 3_000_000, 0.5)),
    empty=("cross_attention", "head_transform"),
    left_alone=(Row("input embedding", 1, 1_500_000, 0.25),),
    unknown=("model.odd[table].weight", "model.0.mix.weight", "model.1.mix.weight"),
    without_part=("model.layers.0.mlp.extra.weight",),
    tied_to="model.embed_tokens.weight",
    keys_and_values=("model.layers.1.self_attn.k_proj.weight", "model.layers.5.self_attn.k_proj.weight"),
    components_without_part=("feed_forward",),
)


def printed(rows: ScopeRows) -> list[list[str]]:
    stream = io.StringIO()
    print_scope_rows(rows, stream)
    return [line.split() for line in stream.getvalue().splitlines()]


def test_numbers_are_aligned_in_rows() -> None:
    lines = printed(ROWS)
    assert ["attention", "2", "1,500,000", "25.0%"] in lines
    assert ["paper/feed_forward", "10", "3,000,000", "50.0%"] in lines
    assert ["input", "embedding", "1", "1,500,000", "25.0%"] in lines


def test_notes_follow_one_per_line() -> None:
    text = [" ".join(line) for line in printed(ROWS)]
    assert "The head shares its weights with model.embed_tokens.weight, until a recipe compresses it." in text
    assert (
        "attention.key also produces the values; there is no attention.value: model.layers.*.self_attn.k_proj.weight "
        "(2)."
    ) in text
    assert any(line.startswith("Unknown role (3 weights): model.odd[table].weight, model.*.mix.w") for line in text)
    assert any(line.endswith(r"regex(model\.odd\[table\]\.weight|model\.\d+\.mix\.weight).") for line in text)
    (part,) = (line for line in text if line.startswith("Unknown part (1 weight): model.layers.*.mlp.extra.weight."))
    assert "(feed_forward.…) are refused" in part
    assert "attention" not in part
    assert text[-1] == "Scopes that select nothing here: cross_attention, head_transform."
    plain = list(map(" ".join, printed(ScopeRows(ROWS.scopes, (), (), (), (), None))))
    assert not any("unknown" in line for line in plain)
    assert not any("left alone" in line for line in plain)
