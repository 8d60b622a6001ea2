"""Checks of a model that is open: its vocabulary, token ids, shapes, and whether torch has compressed it."""
