"""Finds the roles of a model's weights: which matrices recipes can select, and why they leave others alone."""
