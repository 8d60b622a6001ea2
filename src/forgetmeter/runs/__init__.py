"""Runs as files: what is stored of a study, written and read. Nothing else knows the format."""
