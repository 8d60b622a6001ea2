"""Reads weights that other tools have quantized, as floating-point numbers."""
