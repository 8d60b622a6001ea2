"""The forms of a weight between the steps of a recipe: storage size and installation of each."""
