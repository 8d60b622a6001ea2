"""Answers in logs of lm-evaluation-harness."""
