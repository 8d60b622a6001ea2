"""The study file: reading and validation. Nothing here imports torch."""
