"""Checkpoints compressed on disk: a tensor at a time, into a folder that is whole or not there."""
