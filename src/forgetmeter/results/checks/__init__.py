"""Checks that every number that follows from others that a run stores is what they give."""
