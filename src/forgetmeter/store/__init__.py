"""A run as a folder or fsspec URL: written atomically, resumed, read back. Nothing here imports torch."""
