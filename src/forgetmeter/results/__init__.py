"""What follows from a run: comparisons, curves, frontiers, ledgers, findings."""
