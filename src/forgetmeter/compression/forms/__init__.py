"""The forms a weight can have between the steps of a recipe, each with its bytes and its installation."""
