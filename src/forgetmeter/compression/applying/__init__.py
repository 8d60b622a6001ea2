"""Applying recipes: checking them, running their steps, counting what they reached."""
