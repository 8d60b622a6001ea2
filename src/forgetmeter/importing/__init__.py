"""Runs made of answers that exist already: from logs of lm-evaluation-harness, or from a table."""
