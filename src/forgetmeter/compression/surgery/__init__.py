"""Reversible in-place changes to a model: weights, ties, whole blocks."""
