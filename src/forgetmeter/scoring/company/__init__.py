"""Trials of which texts a model can read in one row or batch without changing the answers."""
