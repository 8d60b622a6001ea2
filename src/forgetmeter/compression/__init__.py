"""Compression methods: one file per method, pure functions on tensors, and a table of their names."""
