"""The compression methods, one file each: its function and its declaration."""
