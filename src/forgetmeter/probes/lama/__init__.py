"""LAMA."""
