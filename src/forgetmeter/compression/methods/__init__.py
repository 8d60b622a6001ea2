"""The compression methods: one file per method, with its function and its declaration."""
