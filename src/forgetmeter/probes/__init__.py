"""Tasks: where their items come from and how each is judged. Knows nothing of models or compression."""
