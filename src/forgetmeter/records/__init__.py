"""What is asked of a model and what it did: items, outcomes, variants. Nothing here imports torch."""
