"""Writing texts greedily, for questions that are answered by a text."""
