"""The forms of a weight between the steps of a recipe, each with its bytes and its installation."""
