"""Rows and batches: packing tokens, running the model, reading log-probabilities."""
