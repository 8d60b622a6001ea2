"""Tasks: their items and how answers are judged, independent of models and compression."""
