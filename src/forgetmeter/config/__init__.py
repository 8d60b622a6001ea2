"""The study file: read, checked, frozen. Nothing here imports torch."""
