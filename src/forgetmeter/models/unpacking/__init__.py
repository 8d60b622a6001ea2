"""Reads weights that other tools have quantized, as plain numbers."""
