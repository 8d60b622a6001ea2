"""Checks of models that are open."""
