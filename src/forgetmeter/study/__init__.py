"""Putting a run together: from a study to a finished folder."""
