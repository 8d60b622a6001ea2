"""Reads and writes weight files one tensor at a time."""
