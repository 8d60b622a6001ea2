"""Runs made from existing answers: logs of lm-evaluation-harness, or a table."""
