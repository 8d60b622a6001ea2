"""Tests whether a model's answers depend on what shares a row or batch, and what may be shared."""
