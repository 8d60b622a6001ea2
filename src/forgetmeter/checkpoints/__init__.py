"""Compressing checkpoints on disk: one tensor at a time, into a folder that is complete or absent."""
