"""What pruning methods share: exact ranking of magnitudes, masks of whole units, and what a fraction counts."""
