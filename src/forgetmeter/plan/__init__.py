"""Which cells a study has. Nothing here imports torch."""
