"""Asking a model: one engine a family, with batching and reuse. Knows nothing of tasks or compression."""
