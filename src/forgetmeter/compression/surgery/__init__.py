"""Changing a model in place and undoing it: weights, ties, whole blocks."""
