"""Reads the weights of checkpoints that other tools have quantized as plain numbers."""
