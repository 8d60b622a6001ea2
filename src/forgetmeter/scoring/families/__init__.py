"""Scoring for each model family."""
