"""Rows and batches: laying tokens out, running the model on them, reading what is wanted."""
