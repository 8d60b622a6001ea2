"""Verdicts of a gate, for terminals, job summaries, test reports and programs."""
