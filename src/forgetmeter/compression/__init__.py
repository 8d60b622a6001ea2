"""Compression methods: one file a method, pure functions on tensors, a table that names them."""
