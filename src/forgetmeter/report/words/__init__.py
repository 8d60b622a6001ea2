"""Numbers, names and sentences for readers."""
