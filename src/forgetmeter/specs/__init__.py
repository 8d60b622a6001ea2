"""What the user asks for, as values: models, recipes, scopes. Nothing here imports torch."""
