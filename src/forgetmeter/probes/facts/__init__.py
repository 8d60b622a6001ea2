"""The built-in facts."""
