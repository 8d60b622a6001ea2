"""Scoring of items by a model: batching and reuse, independent of tasks and compression."""
