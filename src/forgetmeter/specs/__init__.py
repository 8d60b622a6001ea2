"""User requests as values: models, recipes, scopes. Nothing here imports torch."""
