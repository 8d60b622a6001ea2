"""Loads models and finds the roles of their weight matrices."""
