"""What is special about each family of models."""
