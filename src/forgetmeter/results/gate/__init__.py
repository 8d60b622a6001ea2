"""Verdicts on whether variants meet conditions."""
