"""Reads GGUF files as transformers models."""
