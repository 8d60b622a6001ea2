"""How many heads an attention projection has."""

from __future__ import annotations

from typing import Any

from forgetmeter.specs.role import Matrix


def head_count(config: Any, matrix: Matrix) -> int | None:  # noqa: ANN401 - each architecture has its own configuration
    """Return the number of heads that an attention projection's units fall into.

    Args:
        config: The model's configuration.
        matrix: A projection. Its units are head by head, as transformers' attention reshapes them.

    Returns:
        The number of query heads for query and output, of key-value heads for key and value; ``None`` where the
        matrix is not attention's or its size does not agree.
    """
    if matrix.role.component != "attention" or matrix.role.part is None or len(matrix.shape) != 2:
        return None
    queries = _query_heads(config, matrix)
    heads = _key_value_heads(config, queries) if matrix.role.part in ("key", "value") else queries
    outputs = matrix.shape[1 - matrix.input_axis]
    units = matrix.inputs if matrix.role.part == "output" else outputs
    return heads if heads and units % heads == 0 else None


def _query_heads(config: Any, matrix: Matrix) -> int | None:  # noqa: ANN401
    # BART has as many in each stack as it says for that stack.
    heads = getattr(config, f"{matrix.stack}_attention_heads", None) or getattr(config, "num_attention_heads", None)
    return heads if isinstance(heads, int) else None


def _key_value_heads(config: Any, queries: int | None) -> int | None:  # noqa: ANN401
    if config.model_type == "falcon":
        if config.new_decoder_architecture:
            return int(config.num_kv_heads)
        return 1 if config.multi_query else queries
    return getattr(config, "num_key_value_heads", None) or queries
