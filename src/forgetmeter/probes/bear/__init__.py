"""BEAR."""
