"""Runs as files: the only package that knows how a study's results are stored."""
